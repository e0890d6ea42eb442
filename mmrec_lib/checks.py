"""Checks of hyperparameters that several layers share: each returns the value or says what it must be."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real

from .errors import ParameterError


def whole(name: str, value: int, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
    return int(value)


def at_least(name: str, value: float, low: float, below: float = math.inf) -> float:
    """A finite number of at least ``low``, and smaller than ``below``."""
    if not _is_number(value) or not low <= value < below:
        limit = "" if math.isinf(below) else f" and below {below:g}"
        raise ParameterError(f"{name}={value!r}: give a number of at least {low:g}{limit}")
    return value


def above(name: str, value: float, low: float) -> float:
    """A finite number greater than ``low``."""
    if not _is_number(value) or value <= low:
        raise ParameterError(f"{name}={value!r}: give a number above {low:g}")
    return value


def between(name: str, value: float, low: float, high: float) -> float:
    """A finite number from ``low`` to ``high``, both included."""
    if not _is_number(value) or not low <= value <= high:
        raise ParameterError(f"{name}={value!r}: give a number from {low:g} to {high:g}")
    return value


def one_of(name: str, value: str, known: Collection[str]) -> str:
    """One of the known words."""
    if value not in known:
        raise ParameterError(f"{name}={value!r}: choose one of {', '.join(known)}")
    return value


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
