"""Top-k lists and what is right in them: the kernel that ``recommend``, early stopping and evaluation share.

Everything works on blocks of users, so that memory does not grow with their number, and without a Python loop over
users or items. Torch is imported when first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from .errors import DataError, ParameterError

#: One block's scores should stay below this many bytes.
BLOCK_BYTES = 64 * 2**20

ScoreFunction = Callable[[np.ndarray], np.ndarray]


def check_k(k: int, name: str = "k") -> int:
    """Return ``k`` as an int, or raise :class:`ParameterError` unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ParameterError(f"{name}={k!r}: the length of a list must be a whole number of at least 1")
    return int(k)


def blocks(users: np.ndarray, n_items: int, block_bytes: int | None = None) -> Iterator[np.ndarray]:
    """Cut ``users`` into pieces whose float32 scores over ``n_items`` fit into ``block_bytes`` (BLOCK_BYTES)."""
    size = max(1, (block_bytes or BLOCK_BYTES) // (4 * max(n_items, 1)))
    for start in range(0, len(users), size):
        yield users[start : start + size]


def positions(users: np.ndarray, matrix: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows ``users`` of a sparse matrix have entries: ``(place in users, column)``, one pair per entry."""
    starts, ends = matrix.indptr[users], matrix.indptr[users + 1]
    counts = ends - starts
    rows = np.repeat(np.arange(len(users)), counts)
    # positions of all entries of the wanted rows, without a loop: start of the row plus a running number
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, matrix.indices[np.repeat(starts, counts) + offsets]


def mask_seen(scores, users: np.ndarray, seen: sparse.csr_matrix):
    """Set to minus infinity, in place, the scores (array or tensor) of the items that each user has in ``seen``."""
    rows, cols = positions(users, seen)
    if isinstance(scores, np.ndarray) or scores.device.type == "cpu":
        np.asarray(scores)[rows, cols] = -np.inf  # shares the tensor's memory; torch is far slower at this
        return scores
    import torch

    rows, cols = (torch.from_numpy(index.astype(np.int64)).to(scores.device) for index in (rows, cols))
    scores[rows, cols] = -torch.inf
    return scores


def top_k(scores, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` best items of each row of an array or tensor: ``(items, scores)``, best first, as arrays.

    Among equal scores the item with the lower code comes first, also where the list ends: the list does not depend
    on ``k`` or on how users are cut into blocks. Entries of minus infinity may fill the end of a list when fewer
    than ``k`` items are left; their item is -1. A NaN counts as larger than any number (see :func:`check_scores`).
    """
    import torch

    scores = _tensor(scores)
    n_items = scores.shape[1]
    k = min(check_k(k), n_items)
    # one item more than asked for, to see whether the list ends within a group of equal scores
    values, items = torch.topk(scores, min(k + 1, n_items), dim=1, sorted=True)
    values_np, items_np = values[:, :k].cpu().numpy(), items[:, :k].cpu().numpy()
    if n_items > k:
        cut = (values[:, k] == values[:, k - 1]) & (values[:, k] > -torch.inf)
        if cut.any():
            rows = cut.nonzero().squeeze(1)
            items_np[rows.cpu().numpy()] = _fill_lowest(scores[rows], values[rows, :k], items[rows, :k]).cpu().numpy()
    tied = (values_np[:, 1:] == values_np[:, :-1]).any(axis=1)
    if tied.any():
        order = np.lexsort((items_np[tied], -values_np[tied]), axis=1)
        items_np[tied] = np.take_along_axis(items_np[tied], order, axis=1)
    items_np[np.isneginf(values_np)] = -1
    return items_np, values_np


def _fill_lowest(scores, values, items):
    """Replace the items whose score equals the last one of the list by the lowest codes with that score."""
    import torch

    k = values.shape[1]
    codes = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)
    # the largest of the negative codes are the lowest codes; other items get a number that is never among them
    key = torch.where(scores == values[:, -1:], -codes, torch.iinfo(torch.int32).min)
    lowest = -torch.topk(key, k, dim=1, sorted=True).values.long()
    n_better = (values > values[:, -1:]).sum(dim=1, keepdim=True)
    place = torch.arange(k, device=scores.device) - n_better
    return torch.where(place >= 0, lowest.gather(1, place.clamp(min=0)), items)


def check_scores(users: np.ndarray, best: np.ndarray) -> None:
    """Raise :class:`DataError` if a user's scores hold NaN, given the users' best scores from :func:`top_k`.

    NaN counts as the largest value there, so that the first entry tells, and no pass over all scores is needed.
    """
    bad = np.flatnonzero(np.isnan(best[:, 0]))
    if len(bad):
        raise DataError(
            f"the model scores user {users[bad[0]]} with NaN ({len(bad)} such users in this block): "
            "look for a division by zero or a diverged training run"
        )


def _tensor(scores):
    """A tensor over the same memory where possible; a copy when the array cannot be shared."""
    import torch

    if isinstance(scores, torch.Tensor):
        return scores.detach()
    return torch.from_numpy(np.require(scores, requirements=["C", "W"]))


def score_blocks(
    score: ScoreFunction, users: np.ndarray, n_items: int, exclude: sparse.csr_matrix | None = None, device="cpu"
) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield ``(users, scores)`` block by block: float32 tensors on ``device``, excluded items at minus infinity.

    A tensor is valid until the next one is asked for. A model's float32 array is masked where it lies and put back as
    it was afterwards, since copying it would take a quarter as long as finding the best; anything else is copied into
    a buffer that all blocks share. Raises :class:`DataError` when ``score`` returns another shape than
    ``(len(users), n_items)``.
    """
    import torch

    users = np.asarray(users)
    buffer = None
    for block in blocks(users, n_items):
        scores = score(block)
        shape = tuple(np.shape(scores))
        if shape != (len(block), n_items):
            raise DataError(
                f"score(users) returned shape {shape} for {len(block)} users; expected {(len(block), n_items)}: "
                "one row per user, one column per item"
            )
        if torch.device(device).type == "cpu" and _shareable(scores):
            with _masked(scores, block, exclude):
                yield block, torch.from_numpy(scores)
            continue
        if buffer is None:
            buffer = torch.empty(shape, dtype=torch.float32, device=device)
        own = buffer[: len(block)].copy_(_tensor(scores))
        yield block, own if exclude is None else mask_seen(own, block, exclude)


def _shareable(scores) -> bool:
    """Can torch work on this array where it lies?"""
    plain = isinstance(scores, np.ndarray) and scores.dtype == np.float32
    return plain and scores.flags.c_contiguous and scores.flags.writeable


@contextmanager
def _masked(scores: np.ndarray, users: np.ndarray, seen: sparse.csr_matrix | None):
    """Minus infinity at the items that each user has in ``seen``, as long as the block of this ``with`` runs."""
    if seen is None:
        yield
        return
    place = positions(users, seen)
    before = scores[place]
    scores[place] = -np.inf
    try:
        yield
    finally:
        scores[place] = before


def iter_top_k(
    score: ScoreFunction,
    users: np.ndarray,
    k: int,
    n_items: int,
    exclude: sparse.csr_matrix | None = None,
    device="cpu",
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blockwise top-k lists: yields ``(users, items, scores)``, arrays, for each block of users.

    Raises :class:`DataError` for scores of the wrong shape or with NaN.
    """
    for block, scores in score_blocks(score, users, n_items, exclude, device):
        items, values = top_k(scores, k)
        check_scores(block, values)
        yield block, items, values


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


def gini_index(amounts: np.ndarray) -> float:
    """Gini index of amounts that are not negative: 0 when all are equal (or all zero), near 1 when few have all."""
    amounts = np.sort(amounts).astype(float)
    n = len(amounts)
    return float(((2 * np.arange(1, n + 1) - n - 1) * amounts).sum() / (n * max(amounts.sum(), 1)))


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
