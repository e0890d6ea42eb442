"""Variants of a sound that should mean the same: noise, echo, speed, pitch, gain.

All take a float32 wave ``(n,)`` and return one; what is random takes ``seed``, a number or a generator.
"""

from __future__ import annotations

import numpy as np

from ...errors import MissingPackageError, ParameterError
from .loading import RATE, resample


def decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    """Signal-to-noise ratio of two waves, in decibels: :math:`10 \\log_{10}` of the ratio of their mean powers."""
    return float(10 * np.log10((signal.astype(float) ** 2).mean() / (noise.astype(float) ** 2).mean()))


def add_noise(
    wave: np.ndarray, snr: float, seed: int | np.random.Generator = 0, noise: np.ndarray | None = None
) -> np.ndarray:
    """The wave with noise ``snr`` decibels quieter than it, so that :func:`decibels` of the two is ``snr`` exactly.

    ``noise``: a recording to take a random stretch of (repeated where it is too short); default: white noise.
    """
    rng = np.random.default_rng(seed)
    if noise is None:
        noise = rng.standard_normal(len(wave))
    else:
        longer = np.resize(noise, max(len(noise), len(wave)))
        start = rng.integers(len(longer) - len(wave) + 1)
        noise = longer[start : start + len(wave)]
    power = (noise.astype(float) ** 2).mean()
    if not power:
        raise ParameterError("noise: the recording is silent, so it cannot be brought to a level")
    scale = np.sqrt((wave.astype(float) ** 2).mean() / power * 10 ** (-snr / 10))
    return (wave + scale * noise).astype(np.float32)


def gain(wave: np.ndarray, db: float) -> np.ndarray:
    """Louder (above 0) or quieter by so many decibels; values may exceed 1."""
    return (wave * np.float32(10 ** (db / 20))).astype(np.float32)


def echo(wave: np.ndarray, rate: int = RATE, delay: float = 0.15, decay: float = 0.4, times: int = 3) -> np.ndarray:
    """With ``times`` echoes, ``delay`` seconds apart, each ``decay`` times the one before; longer by all delays."""
    if not (delay > 0 and 0 <= decay < 1 and times >= 0):
        raise ParameterError(
            f"echo: delay={delay!r} above 0, decay={decay!r} from 0 to below 1, times={times!r} from 0"
        )
    step = max(1, round(delay * rate))
    out = np.zeros(len(wave) + times * step, np.float32)
    for n in range(times + 1):
        out[n * step : n * step + len(wave)] += np.float32(decay**n) * wave
    return out


def speed(wave: np.ndarray, factor: float) -> np.ndarray:
    """Played ``factor`` times as fast: shorter and higher, as a tape would be (Ko et al., 2015)."""
    if not 0.1 <= factor <= 10:
        raise ParameterError(f"factor={factor!r}: give a number from 0.1 to 10; 1 changes nothing")
    if round(len(wave) / factor) < 1:
        return wave
    return resample(wave, round(1000 * factor), 1000)


def pitch(wave: np.ndarray, rate: int = RATE, semitones: float = 2.0) -> np.ndarray:
    """Higher (or lower) by so many semitones, at the same length (phase vocoder of librosa)."""
    try:
        import librosa
    except ImportError:
        raise MissingPackageError("librosa", "shifting the pitch") from None
    size = 2048 if len(wave) >= 2048 else max(64, 2 ** int(np.log2(max(len(wave), 1))))
    padded = np.pad(wave, (0, max(0, size - len(wave))))
    shifted = librosa.effects.pitch_shift(padded, sr=rate, n_steps=semitones, n_fft=size)
    return shifted[: len(wave)].astype(np.float32)


def variant(
    wave: np.ndarray, rate: int = RATE, seed: int | np.random.Generator = 0, strength: float = 1.0
) -> np.ndarray:
    """A random variant: speed (within 10 %), gain (within 6 dB), noise (10 to 30 dB below), and an echo every second
    time. ``strength`` scales all of them; 0 changes nothing."""
    rng = np.random.default_rng(seed)
    if not strength > 0:
        return wave
    wave = speed(wave, 1 + 0.1 * strength * rng.uniform(-1, 1))
    if rng.random() < 0.5:
        wave = echo(wave, rate, rng.uniform(0.05, 0.2), min(0.3 * strength, 0.9), times=2)
    wave = gain(wave, 6 * strength * rng.uniform(-1, 1))
    return add_noise(wave, rng.uniform(10, 30) / strength, rng)
