"""Top-k lists and what is right in them: the kernel that ``recommend``, early stopping and evaluation share.

Everything works on blocks of users, so that memory does not grow with their number, and without a Python loop over
users or items. Torch is imported when first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from .errors import ParameterError

#: One block's scores should stay below this many bytes.
BLOCK_BYTES = 64 * 2**20

ScoreFunction = Callable[[np.ndarray], np.ndarray]


def check_k(k: int, name: str = "k") -> int:
    """Return ``k`` as an int, or raise :class:`ParameterError` unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ParameterError(f"{name}={k!r}: the length of a list must be a whole number of at least 1")
    return int(k)


def blocks(users: np.ndarray, n_items: int, block_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """Cut ``users`` into pieces whose float32 scores over ``n_items`` fit into ``block_bytes``."""
    size = max(1, block_bytes // (4 * max(n_items, 1)))
    for start in range(0, len(users), size):
        yield users[start : start + size]


def mask_seen(scores: np.ndarray, users: np.ndarray, seen: sparse.csr_matrix) -> np.ndarray:
    """Set to minus infinity, in place, the scores of the items that each user has in ``seen``."""
    starts, ends = seen.indptr[users], seen.indptr[users + 1]
    counts = ends - starts
    rows = np.repeat(np.arange(len(users)), counts)
    # positions of all entries of the wanted rows, without a loop: start of the row plus a running number
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    scores[rows, seen.indices[np.repeat(starts, counts) + offsets]] = -np.inf
    return scores


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` best items of each row: ``(items, scores)``, best first.

    Equal scores within the list are ordered by item code. Entries of minus infinity may fill the end of a list
    when fewer than ``k`` items are left; their item is -1.
    """
    import torch

    k = min(check_k(k), scores.shape[1])
    values, items = torch.topk(torch.from_numpy(np.ascontiguousarray(scores)), k, dim=1, sorted=True)
    values, items = values.numpy(), items.numpy()
    tied = (values[:, 1:] == values[:, :-1]).any(axis=1)
    if tied.any():
        order = np.lexsort((items[tied], -values[tied]), axis=1)
        items[tied] = np.take_along_axis(items[tied], order, axis=1)
    items[np.isneginf(values)] = -1
    return items, values


def iter_top_k(
    score: ScoreFunction, users: np.ndarray, k: int, n_items: int, exclude: sparse.csr_matrix | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blockwise top-k lists: yields ``(users, items, scores)`` for each block of users."""
    for block in blocks(np.asarray(users), n_items):
        scores = np.array(score(block), dtype=np.float32, copy=exclude is not None)
        if exclude is not None:
            mask_seen(scores, block, exclude)
        yield block, *top_k(scores, k)


def hits(items: np.ndarray, users: np.ndarray, relevant: sparse.csr_matrix) -> np.ndarray:
    """Boolean array like ``items``: is the recommended item relevant for the user of that row?

    Looks the pairs up by binary search in the sorted keys of ``relevant`` (entry values do not matter).
    """
    n_items = relevant.shape[1]
    rows = np.repeat(np.arange(relevant.shape[0], dtype=np.int64), np.diff(relevant.indptr))
    keys = rows * n_items + relevant.indices
    wanted = np.asarray(users, dtype=np.int64)[:, None] * n_items + items
    if not len(keys):
        return np.zeros(items.shape, bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return (keys[place] == wanted) & (items >= 0)


# -- metrics of one list, vectorised over users ------------------------------------------------------------------
# hit: bool (n_users, >= k), best first.  n_relevant: int (n_users,), all at least 1.  Result: float64 (n_users,).


def precision(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Relevant items among the first ``k``, divided by ``k`` (also when fewer than ``k`` items are relevant)."""
    return hit[:, :k].sum(axis=1) / k


def recall(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Relevant items among the first ``k``, divided by the number of relevant items."""
    return hit[:, :k].sum(axis=1) / n_relevant


def f1(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Harmonic mean of the user's precision and recall: ``2 h / (k + n_relevant)``."""
    return 2 * hit[:, :k].sum(axis=1) / (k + n_relevant)


def hit_rate(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """1 when at least one relevant item is among the first ``k``, else 0."""
    return hit[:, :k].any(axis=1).astype(float)


def ndcg(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Binary NDCG: gain ``1 / log2(rank + 1)``, divided by that of the best possible list of length ``k``.

    Järvelin and Kekäläinen, 2002; the ideal list holds ``min(k, n_relevant)`` relevant items.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(n_relevant, k) - 1]
    return hit[:, :k] @ discount[: hit.shape[1]] / ideal


def mrr(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """One over the rank of the first relevant item within the first ``k``; 0 when there is none."""
    first = hit[:, :k].argmax(axis=1)
    return np.where(hit[:, :k].any(axis=1), 1 / (first + 1), 0.0)


def average_precision(hit: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Sum of the precision at each relevant rank up to ``k``, divided by ``min(k, n_relevant)``.

    Its mean over users is MAP@k. The divisor is the number of relevant items that a list of length ``k`` can hold,
    so that a perfect list scores 1.
    """
    h = hit[:, :k]
    at_rank = np.cumsum(h, axis=1) / np.arange(1, h.shape[1] + 1)
    return (at_rank * h).sum(axis=1) / np.minimum(n_relevant, k)


#: Name to function, for metrics that look at one user's list only.
LIST_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "hit": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
}
