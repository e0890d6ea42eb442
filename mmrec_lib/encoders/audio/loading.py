"""Sound files to waves: any common format, any rate, with errors that name the file; cleaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataError, MissingPackageError, ParameterError
from ..base import Encoder

RATE = 22_050  # samples a second: frequencies up to 11 kHz, where nearly all of a voice or a bird lies
_SILENT = 1e-5  # of full scale; a third of the smallest step of a 16-bit recording
_LOUDNESS = 0.1  # root mean square that "loudness" brings a wave to: 20 dB below full scale
_PEAK = 0.95
_GATE = 1024  # samples of a window of the gate


def open_sound(
    path: str | Path, rate: int = RATE, mono: bool = True, max_seconds: float | None = 30.0, offset: float = 0.0
) -> np.ndarray:
    """The wave of a sound file, or the sound of a video, float32 between about -1 and 1.

    Parameters
    ----------
    path
        WAV, FLAC, Ogg and MP3 are read by libsndfile; M4A, AAC, WMA and the sound inside a video by PyAV (FFmpeg).
    rate
        Samples a second of the result; the file is resampled (soxr) where it has another.
    mono
        The mean of all channels, shape ``(n,)``; otherwise ``(channels, n)``.
    max_seconds, offset
        Read at most so much (``None``: everything), from so many seconds after the start. The rest is not decoded.

    Raises
    ------
    DataError
        The file is missing, damaged, has no sound in it, is silent throughout, holds values that are no numbers, or
        ends before ``offset``. The message begins with its name.
    """
    if isinstance(rate, bool) or int(rate) != rate or rate < 1:
        raise ParameterError(f"rate={rate!r}: give a whole number of samples a second, such as {RATE}")
    for name, value in (("max_seconds", max_seconds), ("offset", offset)):
        if value is not None and not (value >= 0 and (value > 0 or name == "offset")):
            raise ParameterError(f"{name}={value!r}: give seconds" + (" above 0, or None" if name != "offset" else ""))
    try:
        return _decoded(Path(path), rate, mono, max_seconds, offset)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _decoded(path: Path, rate: int, mono: bool, max_seconds: float | None, offset: float = 0.0) -> np.ndarray:
    """:func:`open_sound`, with errors that do not name the file: for those who add the name themselves."""
    if not path.is_file():
        raise DataError("there is no such file")
    wave, found = _read(path, max_seconds, offset)
    if not wave.shape[1]:
        raise DataError(f"shorter than the offset of {offset} seconds" if offset else "there is no sound in it")
    if not np.isfinite(wave).all():
        raise DataError("holds values that are no numbers (NaN or infinite): record or convert it again")
    if np.abs(wave).max() < _SILENT:
        raise DataError("silent throughout: replace the file, or give None for this item")
    if mono:
        wave = wave.mean(axis=0, keepdims=True)
    wave = resample(wave, found, rate)
    return wave[0] if mono else wave


def _read(path: Path, max_seconds: float | None, offset: float) -> tuple[np.ndarray, int]:
    """Wave ``(channels, n)`` as float32, and its rate."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            file.seek(min(round(offset * rate), max(file.frames, 0)))
            frames = -1 if max_seconds is None else round(max_seconds * rate)
            return file.read(frames, dtype="float32", always_2d=True).T, rate
    except soundfile.SoundFileError as error:
        return _read_with_av(path, max_seconds, offset, error)


def _read_with_av(path: Path, max_seconds, offset: float, first: Exception) -> tuple[np.ndarray, int]:
    try:
        import av
    except ImportError:
        raise MissingPackageError("av", f"reading {path.name}, which libsndfile cannot ({first}),") from None
    parts, seconds = [], 0.0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise DataError("there is no sound in it")
            stream = container.streams.audio[0]
            stream.thread_type = "AUTO"
            planes = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            for frame in container.decode(stream):
                for part in planes.resample(frame):
                    parts.append(part.to_ndarray())
                    seconds += part.samples / part.rate
                if max_seconds is not None and seconds >= offset + max_seconds:
                    break
            rate = stream.rate
    except av.FFmpegError as error:
        raise DataError(f"not a sound that can be read ({error.strerror or error})") from None
    wave = np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)
    start = round(offset * rate)
    return wave[:, start : None if max_seconds is None else start + round(max_seconds * rate)], rate


def resample(wave: np.ndarray, found: int, rate: int) -> np.ndarray:
    """A wave of ``found`` samples a second at ``rate`` samples a second; time runs along the last axis."""
    if found == rate:
        return np.ascontiguousarray(wave, np.float32)
    try:
        import soxr
    except ImportError:
        raise MissingPackageError("soxr", "changing a sound's rate") from None
    return np.ascontiguousarray(np.atleast_1d(soxr.resample(wave.T, found, rate).T), np.float32)


# -- cleaning ------------------------------------------------------------------------------------------------------
def denoise(wave: np.ndarray, rate: int = RATE, strength: float = 1.0, noise: np.ndarray | None = None) -> np.ndarray:
    """Spectral gating: in each band of frequency, what is not louder than the band's noise is turned down.

    Sainburg et al., 2020 (package noisereduce), with a threshold that stays the same for the whole sound.

    Parameters
    ----------
    wave : float32 (n,)
    rate
        Samples a second.
    strength
        How far to turn down, from 0 (nothing) to 1 (to nothing).
    noise : float32 (m,), optional
        A stretch of noise alone, to take the threshold from. Default: the quietest tenth of the sound. That is a guess:
        of a recording that is clean throughout it takes away quiet parts that belong to the sound.
    """
    if not 0 <= strength <= 1:
        raise ParameterError(f"strength={strength!r}: give a number from 0 (nothing) to 1")
    try:
        import noisereduce
    except ImportError:
        raise MissingPackageError("noisereduce", "denoising") from None
    padded = np.pad(wave, (0, max(0, 4 * _GATE - len(wave))))  # a gate needs a few windows to look at
    noise = _quietest(padded if len(wave) < _GATE else wave) if noise is None else noise
    noise = np.pad(noise, (0, max(0, 2 * _GATE - len(noise))), mode="wrap")
    # the gate is blurred over 60 Hz and 30 ms: the package's own 500 Hz would close it around every pure tone
    quieter = noisereduce.reduce_noise(
        padded, rate, stationary=True, y_noise=noise, prop_decrease=strength, n_fft=_GATE,
        freq_mask_smooth_hz=max(60, 2 * rate // _GATE), time_mask_smooth_ms=30, use_tqdm=False,
    )  # fmt: skip
    return np.nan_to_num(quieter[: len(wave)]).astype(np.float32)


def _quietest(wave: np.ndarray, share: float = 0.1) -> np.ndarray:
    """The quietest windows of a wave, joined in their order."""
    windows = wave[: len(wave) // _GATE * _GATE].reshape(-1, _GATE)
    n = max(2, -(-len(windows) * share // 1))
    return windows[np.sort(np.argsort((windows**2).mean(axis=1), kind="stable")[: int(n)])].ravel()


def trim_silence(wave: np.ndarray, rate: int = RATE, below: float = 40.0) -> np.ndarray:
    """The wave without its beginning and end that are ``below`` decibels quieter than its loudest window (23 ms)."""
    size = max(1, round(0.023 * rate))
    n = -(-len(wave) // size)
    power = (np.pad(wave, (0, n * size - len(wave))).reshape(n, size).astype(float) ** 2).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-below / 10))
    return wave[loud[0] * size : (loud[-1] + 1) * size]


def normalise(wave: np.ndarray, how: str = "loudness") -> np.ndarray:
    """The wave brought to one level: ``"peak"`` (largest value 0.95), ``"loudness"`` (root mean square 0.1), or
    ``"none"``. A silent wave stays as it is."""
    if how not in ("none", "peak", "loudness"):
        raise ParameterError(f'normalise={how!r}: choose "none", "peak" or "loudness"')
    level = {"none": 1.0, "peak": float(np.abs(wave).max(initial=0)), "loudness": float(np.sqrt((wave**2).mean()))}[how]
    target = {"none": 1.0, "peak": _PEAK, "loudness": _LOUDNESS}[how]
    return (wave * np.float32(target / level)).astype(np.float32) if level > _SILENT / 10 else wave


class SoundEncoder(Encoder):
    """Base of encoders of sound: opens a file as a wave of one rate, cleaned as asked.

    Parameters
    ----------
    rate
        Samples a second that files are brought to.
    max_seconds
        What comes later in a file is not looked at.
    level : {"none", "peak", "loudness"}
        Bring all sounds to one level (:func:`normalise`). Default: no, as how loud a thing is belongs to the thing.
    trim
        Cut silence at both ends.
    gate
        Denoise by spectral gating (:func:`denoise`).
    """

    modality = "audio"
    reads_files = True

    def __init__(self, rate=RATE, max_seconds=30.0, level="none", trim=False, gate=False) -> None:
        if isinstance(rate, bool) or int(rate) != rate or rate < 1000:
            raise ParameterError(f"rate={rate!r}: give a whole number of samples a second, at least 1000")
        if not max_seconds > 0:
            raise ParameterError(f"max_seconds={max_seconds!r}: give seconds above 0")
        normalise(np.zeros(1, np.float32), level)
        self.rate, self.max_seconds, self.level, self.trim, self.gate = int(rate), max_seconds, level, trim, gate

    def _open(self, item) -> np.ndarray:
        """The wave of a file as this encoder hears it, float32 ``(n,)``."""
        return self.prepare(_decoded(Path(item), self.rate, True, self.max_seconds))

    def prepare(self, wave: np.ndarray) -> np.ndarray:
        """A wave, denoised, trimmed and brought to one level where that was asked for."""
        if self.gate:
            wave = denoise(wave, self.rate)
        if self.trim:
            wave = trim_silence(wave, self.rate)
        return normalise(wave, self.level)

    def _cost(self, item) -> float:
        """Size of the file: batches then hold sounds of like length."""
        try:
            return float(Path(item).stat().st_size)
        except OSError:
            return 0.0
