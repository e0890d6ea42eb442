"""Arrays of scores ``(n_users, n_items)``, one of each recommender, made one: the arithmetic of late fusion.

Minus infinity means "never recommend": an item that one part excludes is excluded from the result. Items in
``seen_mask`` do not count in means, ranks and other statistics, since they compete with no item that can be
recommended; they still get a score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import ranking
from ..errors import DataError, ParameterError

CALIBRATIONS = ("zscore", "minmax", "rank", "softmax", "none")


# -- scores to one scale -------------------------------------------------------------------------------------------
def calibrate(scores: np.ndarray, how: str = "zscore", seen_mask: np.ndarray | None = None) -> np.ndarray:
    """Bring each user's scores to a scale that parts can share: float32 like ``scores``.

    ``how``: ``"zscore"`` (mean 0, variance 1), ``"minmax"`` (0 to 1), ``"rank"`` (share of the other items that are
    worse, ties count half), ``"softmax"`` (shares that sum to 1), ``"none"``. A user whose scores are all equal gets
    equal values. Raises :class:`ParameterError` for another ``how``, :class:`DataError` for scores that hold NaN.
    """
    (values,), banned, counted = aligned([scores], seen_mask)
    return ban(calibrated(values, check_calibration(how), counted), banned)


def calibrated(values: np.ndarray, how: str, counted: np.ndarray) -> np.ndarray:
    if how == "none":
        return values
    if how == "rank":
        return mean_ranks(values, counted)
    along = {"axis": 1, "keepdims": True, "where": counted}
    high = values.max(initial=-np.inf, **along)
    low = values.min(initial=np.inf, **along)
    differ = high > low  # false for equal scores, whose standard deviation may be a rounding error instead of 0
    low, high = np.where(differ, low, 0), np.where(np.isfinite(high), high, 0)
    if how == "minmax":
        return np.where(differ, (values - low) / np.where(differ, high - low, 1), 0).astype(np.float32)
    if how == "softmax":
        # a seen item may lie above the best of the others; it counts as equally good, so that nothing overflows
        weight = np.exp(np.minimum(values - high, 0))
        return weight / np.maximum(weight.sum(**along), 1e-30)
    n = np.maximum(counted.sum(axis=1, keepdims=True), 1)
    centred = values - values.sum(dtype=np.float64, **along) / n
    deviation = np.sqrt(np.square(centred).sum(**along) / n)
    return np.where(differ, centred / np.where(differ, deviation, 1), 0).astype(np.float32)


def mean_ranks(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Share of the other counted items that are worse, ties half; float64. What is not counted is placed among them."""
    order = values.argsort(axis=1)
    ordered, counts = (np.take_along_axis(a, order, axis=1) for a in (values, counted.astype(np.int64)))
    new = np.ones(values.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.roll(new, -1, axis=1)  # of a run of equal scores; the first place is always new, so the last one is last
    place = np.arange(values.shape[1])
    start = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    end = np.minimum.accumulate(np.where(last, place, len(place))[:, ::-1], axis=1)[:, ::-1]
    up_to = counts.cumsum(axis=1)
    below = np.take_along_axis(up_to - counts, start, axis=1)
    mean = (below + np.take_along_axis(up_to, end, axis=1) - 1) / 2
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.clip(mean / _others(counted), 0, 1), axis=1)
    return ranks


def _others(counted: np.ndarray) -> np.ndarray:
    """How many counted items there are besides one, at least 1: ``(n_users, 1)``."""
    return np.maximum(counted.sum(axis=1, keepdims=True) - 1, 1)


# -- several scores to one -----------------------------------------------------------------------------------------
def weighted_sum(scores, weights=None, calibration: str = "zscore", seen_mask=None) -> np.ndarray:
    """Sum of the calibrated scores, each times its weight (default 1): float32 ``(n_users, n_items)``."""
    parts, banned, counted = aligned(scores, seen_mask)
    how = check_calibration(calibration)
    return ban(add([calibrated(part, how, counted) for part in parts], weights), banned)


def borda(scores, weights=None, seen_mask=None) -> np.ndarray:
    """Borda count: each part gives an item a point for each item that it ranks below, half a point for a tie."""
    parts, banned, counted = aligned(scores, seen_mask)
    return ban(add([mean_ranks(part, counted) * _others(counted) for part in parts], weights), banned)


def votes(scores, k: int = 20, weights=None, seen_mask=None) -> np.ndarray:
    """How many parts have the item among their best ``k``: where fewer than ``k`` items are better.

    Ties are broken by the mean normalised rank, which adds at most half of the lightest vote.
    """
    parts, banned, counted = aligned(scores, seen_mask)
    weights = check_weights(weights, len(parts))
    if (weights <= 0).any():
        raise ParameterError(f"weights={weights.tolist()}: votes need weights above 0; leave a part out instead")
    place = parts[0].shape[1] - ranking.check_k(k)  # of the last one that is elected, from the worst
    total = np.zeros(parts[0].shape)
    for part, weight in zip(parts, weights, strict=True):
        among = np.where(counted, part, -np.inf)
        needed = np.partition(among, place, axis=1)[:, [place]] if place > 0 else -np.inf
        total += weight * (part >= needed)
    ranks = add([mean_ranks(part, counted) for part in parts], weights) / weights.sum()
    return ban(total + ranks * weights.min() / 2, banned)


def reciprocal_rank(scores, k: float = 60, weights=None, seen_mask=None) -> np.ndarray:
    """Reciprocal rank fusion: sum of ``1 / (k + rank)``, ranks from 1, ties share theirs (Cormack et al., 2009)."""
    if not k >= 0:
        raise ParameterError(f"k={k!r}: give a number of at least 0")
    parts, banned, counted = aligned(scores, seen_mask)
    ranks = [1 + (1 - mean_ranks(part, counted)) * _others(counted) for part in parts]
    return ban(add([1 / (k + rank) for rank in ranks], weights), banned)


def aligned(scores, seen_mask) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Finite float32 parts, and two masks: items that a part excludes, items that count in statistics."""
    parts = [np.asarray(part, dtype=np.float32) for part in scores]
    if not parts:
        raise ParameterError("there are no scores to combine: give one array for each part")
    shapes = [part.shape for part in parts]
    if len(set(shapes)) > 1 or parts[0].ndim != 2:
        raise DataError(f"scores have shapes {shapes}; expected (n_users, n_items), the same for all parts")
    if not all((part < np.inf).all() for part in parts):
        raise DataError("scores hold NaN or plus infinity; minus infinity is allowed, and excludes an item")
    banned = np.any([np.isneginf(part) for part in parts], axis=0)
    counted = ~banned
    if seen_mask is not None:
        if np.shape(seen_mask) != shapes[0]:
            raise DataError(f"seen_mask has shape {np.shape(seen_mask)}, scores {shapes[0]}: they must agree")
        counted &= ~np.asarray(seen_mask, dtype=bool)
    return [np.where(banned, np.float32(0), part) for part in parts], banned, counted


def ban(values: np.ndarray, banned: np.ndarray) -> np.ndarray:
    return np.where(banned, -np.inf, values).astype(np.float32)


def add(parts: Sequence[np.ndarray], weights) -> np.ndarray:
    return sum(weight * part for weight, part in zip(check_weights(weights, len(parts)), parts, strict=True))


def check_weights(weights, n: int) -> np.ndarray:
    given = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (n,) or not np.isfinite(given).all() or not given.any():
        raise ParameterError(f"weights={weights!r}: give {n} finite numbers, one for each part, not all 0")
    return given


def check_calibration(how: str) -> str:
    if how not in CALIBRATIONS:
        raise ParameterError(f"calibration={how!r}: choose one of {', '.join(CALIBRATIONS)}")
    return how
