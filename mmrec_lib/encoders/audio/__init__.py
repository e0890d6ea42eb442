"""Sounds to vectors: opening and cleaning files, measures without learning, small networks, pretrained models."""

from . import augment, spectra
from .loading import denoise, normalise, open_sound, resample, trim_silence

__all__ = ["augment", "denoise", "normalise", "open_sound", "resample", "spectra", "trim_silence"]
