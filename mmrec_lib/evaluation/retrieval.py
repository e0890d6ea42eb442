"""Search across modalities, measured: does the query find the item that it belongs to?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .. import ranking
from ..errors import DataError
from . import bootstrap
from .report import Report, summarise

_MEDIANS_BYTES = 64 * 2**20


def retrieval_metrics(
    queries: np.ndarray,
    items: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    groups: Sequence | None = None,
    ks: Sequence[int] = (1, 5, 10),
    name: str = "retrieval",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Report:
    """Row ``i`` of the queries should find row ``i`` of the items, by cosine, among all items.

    Parameters
    ----------
    queries, items : array (n, dim)
        Vectors of one space: sentences and pictures of the same things, for example.
    mask : bool (n,), optional
        Pairs to look at; the others are neither asked nor found. Give held-out pairs, not those that were learned from.
    groups
        One per item: items of the same group (the same sentence twice) are equally right. Default: one item is right.
    ks
        Lengths of the lists.
    name, confidence, n_boot, seed
        Name of the report; bootstrap interval over queries.

    Returns
    -------
    Report
        ``recall@k``: share of queries that have a right item among the first k. ``mrr``: mean of one over its rank.
        ``median_rank``: 1 is perfect; chance is about half the number of items. An item at the same cosine as the right
        one counts half in the rank, so that vectors that are all alike do not look perfect. ``per_user`` has a row a
        query (recall@k, mrr, rank), for :func:`~mmrec_lib.evaluation.compare`.

    Raises
    ------
    DataError
        Shapes that do not fit, values that are not finite, fewer than two pairs.

    Examples
    --------
    >>> retrieval_metrics(np.eye(4), np.eye(4)[[0, 1, 3, 2]], ks=[1])["recall@1"]
    0.5
    """
    bootstrap.check(confidence, n_boot)
    ks = [ranking.check_k(k, "ks") for k in ks]
    queries, items, codes, rows = _checked(queries, items, mask, groups)
    rank = _ranks(queries, items, codes)
    columns = {f"recall@{k}": (rank <= k).astype(float) for k in ks} | {"mrr": 1 / rank, "rank": rank}
    per_query = pd.DataFrame(columns, index=pd.Index(rows, name="query"))
    summary = summarise(per_query, {}, list(columns)[:-1], confidence, n_boot, seed)
    low, high = bootstrap.interval(_resampled_medians(rank, n_boot, seed)[:, None], confidence)
    summary.loc["median_rank"] = (np.median(rank), low[0], high[0])
    info = {"n_queries": len(rows), "n_items": len(rows), "confidence": confidence, "n_boot": n_boot, "seed": seed}
    return Report(summary, per_query, name, info)


def _checked(queries, items, mask, groups) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of the pairs in ``mask``, the groups as numbers, and which pairs these are."""
    queries, items = np.asarray(queries), np.asarray(items)
    if queries.ndim != 2 or queries.shape != items.shape:
        raise DataError(
            f"queries {queries.shape} and items {items.shape}: both must have shape (n, dim), one pair a row; "
            "vectors of two encoders have no common space before an alignment"
        )
    mask = np.ones(len(items), bool) if mask is None else np.asarray(mask, bool)
    groups = np.arange(len(items)) if groups is None else np.asarray(groups)
    if mask.shape != (len(items),) or groups.shape != (len(items),):
        raise DataError(
            f"mask {mask.shape} and groups {groups.shape} must have shape ({len(items)},), one entry a pair"
        )
    rows = np.flatnonzero(mask)
    if len(rows) < 2:
        raise DataError(f"{len(rows)} pairs are left by the mask; at least 2 are needed")
    if not (np.isfinite(queries[rows]).all() and np.isfinite(items[rows]).all()):
        raise DataError("vectors hold NaN or infinity in rows that the mask keeps: mask these rows")
    return _unit(queries[rows]), _unit(items[rows]), pd.factorize(groups[rows])[0], rows


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _ranks(queries: np.ndarray, items: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Rank of the best right item of each query, among the items that are not right; block by block."""
    rank = np.empty(len(queries))
    for block in ranking.blocks(np.arange(len(queries)), len(items)):
        scores = queries[block] @ items.T
        right = codes[block][:, None] == codes[None, :]
        best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
        better, level = (scores > best) & ~right, (scores == best) & ~right
        rank[block] = 1 + better.sum(axis=1) + level.sum(axis=1) / 2
    return rank


def _resampled_medians(values: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    step = max(1, _MEDIANS_BYTES // (8 * len(values)))
    sizes = [min(step, n_boot - start) for start in range(0, n_boot, step)]
    return np.concatenate([np.median(rng.choice(values, (size, len(values))), axis=1) for size in sizes])
