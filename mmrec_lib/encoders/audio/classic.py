"""Sounds as vectors without learning: statistics over time of mel bands, cepstrum, pitch classes and onsets."""

from __future__ import annotations

import numpy as np
from scipy import signal

from ...errors import ParameterError
from . import spectra
from .loading import RATE, SoundEncoder


def summary(frames: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of ``(frames, d)``, as one vector ``(2 d,)``."""
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


class _Statistics(SoundEncoder):
    """A vector computed from one wave at a time; reading threads do the work."""

    def _open(self, item):
        return self.describe(super()._open(item)).astype(np.float32)

    def describe(self, wave: np.ndarray) -> np.ndarray:
        """The vector of a wave."""
        raise NotImplementedError

    def _encode(self, batch, device) -> np.ndarray:
        return np.stack(batch)


class LogMel(_Statistics):
    """Mean and standard deviation over time of log-mel bands, in decibels.

    Knows how loud the sound is in each band, and how much that varies; forgets order and duration.

    Parameters
    ----------
    bands
        Number of mel bands, default 64; the vector is twice as long.
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.
    """

    name = "log-mel"

    def __init__(self, bands=spectra.BANDS, rate=RATE, max_seconds=30.0, level="none", trim=False, gate=False) -> None:
        super().__init__(rate, max_seconds, level, trim, gate)
        self.bands = _at_least_one("bands", bands)

    @property
    def dim(self) -> int:
        return 2 * self.bands

    def describe(self, wave: np.ndarray) -> np.ndarray:
        """See :class:`LogMel`."""
        return summary(spectra.log_mel(wave, self.rate, self.bands))


class MFCC(_Statistics):
    """Mean and standard deviation over time of cepstral coefficients and of their slopes.

    Davis and Mermelstein, 1980; slopes: Furui, 1986.

    Parameters
    ----------
    coefficients
        Default 20, of 40 mel bands; the vector is four times as long: means and deviations of the coefficients, then
        of their slopes.
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.
    """

    name = "mfcc"

    def __init__(self, coefficients=20, rate=RATE, max_seconds=30.0, level="none", trim=False, gate=False) -> None:
        super().__init__(rate, max_seconds, level, trim, gate)
        self.coefficients = _at_least_one("coefficients", coefficients)
        if self.coefficients > spectra.BANDS:
            raise ParameterError(f"coefficients={coefficients}: {spectra.BANDS} mel bands have no more than that many")

    @property
    def dim(self) -> int:
        return 4 * self.coefficients

    def describe(self, wave: np.ndarray) -> np.ndarray:
        """See :class:`MFCC`."""
        frames = spectra.cepstrum(spectra.log_mel(wave, self.rate), self.coefficients)
        return np.concatenate([summary(frames), summary(spectra.change(frames))])


class Chroma(_Statistics):
    """Mean and standard deviation over time of the twelve pitch classes' shares (C, C sharp, ..., B).

    For music; what has no pitch has twelve nearly equal shares. Loudness does not count.

    Parameters
    ----------
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.
    """

    name = "chroma"
    dim = 24

    def describe(self, wave: np.ndarray) -> np.ndarray:
        """See :class:`Chroma`."""
        return summary(spectra.pitch_classes(wave, self.rate))


class Tempo(_Statistics):
    """Tempo (in octaves above 120 beats a minute), how strong the beat is (0 to 1), onsets a second, their mean
    strength (decibels).

    A sound too short for two beats has no tempo: 0 octaves at strength 0.

    Parameters
    ----------
    rate, max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.
    """

    name = "tempo"
    dim = 4
    _HOP = 256

    def describe(self, wave: np.ndarray) -> np.ndarray:
        """See :class:`Tempo`."""
        frame_rate = self.rate / self._HOP
        curve = spectra.onset_strength(wave, self.rate, self._HOP)
        beats, strength = spectra.tempo(curve, frame_rate)
        apart = max(1, round(0.05 * frame_rate))
        onsets, _ = signal.find_peaks(np.pad(curve, 1), height=max(3.0, curve.mean() + curve.std()), distance=apart)
        octaves = np.log2(beats / 120) if strength else 0.0
        mean = curve[onsets - 1].mean() if len(onsets) else 0.0
        return np.array([octaves, strength, len(onsets) * self.rate / len(wave), mean])


def _at_least_one(name: str, value) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")
    return int(value)
