"""From a wave to what is in it over time: spectrogram, mel bands, cepstrum, pitch classes, onsets.

NumPy and SciPy alone: librosa has the same measures, and compiles for ten to thirty seconds when it is first used.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft, signal

WINDOW, HOP = 1024, 512  # samples: 46 ms and 23 ms at 22,050 a second
BANDS = 64
FLOOR = -80.0  # decibels; what is quieter counts as this


def spectrogram(wave: np.ndarray, window: int = WINDOW, hop: int = HOP) -> np.ndarray:
    """Power at each time and frequency, float32 ``(frames, window // 2 + 1)``; 1 is a sine at full scale.

    Frames of ``window`` samples begin every ``hop`` samples and are weighted by a Hann window. A wave shorter than a
    window is filled up with zeros, and so is the last frame: nothing is cut off.
    """
    n = 1 + max(0, -(-(len(wave) - window) // hop))
    padded = np.pad(np.asarray(wave, np.float32), (0, (n - 1) * hop + window - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    weight = signal.get_window("hann", window).astype(np.float32)
    return np.abs(fft.rfft(frames * weight, axis=1)) ** 2 * np.float32(4 / weight.sum() ** 2)


def to_mel(frequency):
    """Hertz to mel, :math:`2595 \\log_{10}(1 + f / 700)` (O'Shaughnessy, 1987)."""
    return 2595 * np.log10(1 + np.asarray(frequency, float) / 700)


def to_hertz(mel):
    """Mel to hertz, the inverse of :func:`to_mel`."""
    return 700 * (10 ** (np.asarray(mel, float) / 2595) - 1)


@lru_cache(maxsize=16)
def mel_filters(rate: int, bands: int = BANDS, window: int = WINDOW) -> np.ndarray:
    """Triangles of height 1, evenly spaced in mel from 0 to half the rate, float32 ``(window // 2 + 1, bands)``.

    Neighbours overlap so that the weights of a frequency add up to 1 (but for both ends).
    """
    edges = to_hertz(np.linspace(0, to_mel(rate / 2), bands + 2))
    frequency = np.fft.rfftfreq(window, 1 / rate)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters.flags.writeable = False  # shared by all callers
    return filters


def log_mel(
    wave: np.ndarray, rate: int, bands: int = BANDS, window: int = WINDOW, hop: int = HOP, floor: float = FLOOR
) -> np.ndarray:
    """Power in mel bands, float32 ``(frames, bands)``, in decibels: 0 is a sine at full scale, ``floor`` the least."""
    power = spectrogram(wave, window, hop) @ mel_filters(rate, bands, window)
    return 10 * np.log10(np.maximum(power, np.float32(10 ** (floor / 10))))


def cepstrum(log_bands: np.ndarray, coefficients: int = 20) -> np.ndarray:
    """Mel-frequency cepstral coefficients of log-mel frames: the first terms of their cosine transform.

    Davis and Mermelstein, 1980. Coefficient 0 is the level, the next few the rough shape of the spectrum.
    """
    return fft.dct(log_bands, axis=1, norm="ortho")[:, :coefficients]


def change(frames: np.ndarray, width: int = 9) -> np.ndarray:
    """Slope of each column over time: a straight line through ``width`` frames; 0 where there is one frame."""
    return signal.savgol_filter(frames, width, polyorder=1, deriv=1, axis=0, mode="nearest")


def pitch_classes(wave: np.ndarray, rate: int, window: int = 4096, hop: int = 2048) -> np.ndarray:
    """Share of each pitch class (C, C sharp, ..., B; A is 440 Hz) in the power of each frame, ``(frames, 12)``.

    Frequencies from 55 to 5,000 Hz count, each for the nearest semitone; a frame without power has zeros.
    """
    frequency = np.fft.rfftfreq(window, 1 / rate)
    heard = np.flatnonzero((frequency >= 55) & (frequency <= 5000))
    semitone = np.rint(12 * np.log2(frequency[heard] / 440)).astype(int) + 9  # A is nine semitones above C
    classes = np.zeros((len(frequency), 12), np.float32)
    classes[heard, semitone % 12] = 1
    power = spectrogram(wave, window, hop) @ classes
    total = power.sum(axis=1, keepdims=True)
    return np.divide(power, total, out=np.zeros_like(power), where=total > 1e-12)


def onset_strength(wave: np.ndarray, rate: int, hop: int = 256) -> np.ndarray:
    """How much louder the mel bands become from one frame to the next, in decibels, mean over bands, ``(frames,)``."""
    bands = log_mel(wave, rate, 40, 1024, hop, floor=-60)
    rise = np.diff(bands, axis=0, prepend=bands[:1])
    return np.maximum(rise, 0).mean(axis=1)


def tempo(onsets: np.ndarray, frame_rate: float, slowest: float = 40, fastest: float = 240) -> tuple[float, float]:
    """Beats a minute and their strength, from 0 (none) to 1 (all the same), of a curve of onset strength.

    The delay at which the curve is most like itself, with a preference for about 120 a minute (Ellis, 2007). Both are
    0 where the curve is shorter than two beats of the fastest tempo.
    """
    onsets = onsets - onsets.mean()
    first, last = int(np.ceil(60 * frame_rate / fastest)), int(60 * frame_rate / slowest)
    last = min(last, len(onsets) // 2)
    if last <= first + 1 or not onsets.any():
        return 0.0, 0.0
    alike = signal.correlate(onsets, onsets, method="fft")[len(onsets) - 1 :]
    alike = alike / alike[0] * len(onsets) / (len(onsets) - np.arange(len(onsets)))  # as many terms at each delay
    delay = np.arange(first, last)
    preferred = np.exp(-0.5 * np.log2(60 * frame_rate / delay / 120) ** 2)
    best = delay[np.argmax(alike[first:last] * preferred)]
    before, here, after = alike[best - 1 : best + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0  # top of the parabola through three points
    strength = float(np.clip(here, 0, 1))
    return (60 * frame_rate / (best + float(np.clip(shift, -0.5, 0.5))), strength) if strength else (0.0, 0.0)
