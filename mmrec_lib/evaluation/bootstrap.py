"""How sure can we be: resampling of users."""

from __future__ import annotations

import numpy as np

from ..errors import ParameterError

_SCRATCH_BYTES = 64 * 2**20


def check(confidence: float, n_boot: int) -> None:
    """Raise :class:`ParameterError` for a confidence outside (0, 1) or fewer than one resample."""
    if not 0 < confidence < 1:
        raise ParameterError(f"confidence={confidence!r}: give a share between 0 and 1, such as 0.95")
    if isinstance(n_boot, bool) or not isinstance(n_boot, (int, np.integer)) or n_boot < 1:
        raise ParameterError(f"n_boot={n_boot!r}: the number of resamples must be a whole number of at least 1")


def resampled_means(values: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    """Column means of ``values`` when its rows are drawn anew with replacement (Efron, 1979).

    Parameters
    ----------
    values : float array (n_users, n_metrics)
        NaN marks a user without a value; the mean is over the others.
    n_boot, seed

    Returns
    -------
    float64 array (n_boot, n_metrics)

    Users with the same values are interchangeable, so the draw is over the distinct rows, with their numbers as
    weights: the same distribution, and much cheaper where most users share a row (all zeros, for instance).
    """
    if not values.size:
        return np.empty((n_boot, values.shape[1]))
    rows, counts = _distinct_rows(np.ascontiguousarray(values, dtype=np.float64))
    n = int(counts.sum())
    rng = np.random.default_rng(seed)
    known = np.isfinite(rows)
    filled = np.where(known, rows, 0.0)
    means = np.empty((n_boot, values.shape[1]))
    step = max(1, _SCRATCH_BYTES // (16 * len(rows)))
    for start in range(0, n_boot, step):
        weights = rng.multinomial(n, counts / n, size=min(step, n_boot - start)).astype(np.float64)
        total = weights @ filled
        weight = np.full_like(total, n) if known.all() else weights @ known
        means[start : start + len(weights)] = np.divide(
            total, weight, out=np.full_like(total, np.nan), where=weight > 0
        )
    return means


def interval(means: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of resampled means, by column: ``(low, high)``; NaN where a mean is NaN."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def _distinct_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows and how often each occurs; rows are compared byte by byte, which is fast and exact."""
    as_bytes = values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()
    _, index, counts = np.unique(as_bytes, return_index=True, return_counts=True)
    return values[index], counts
