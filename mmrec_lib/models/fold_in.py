"""People who were not there when a factor model learned: their vectors from what they met (fold-in)."""

from __future__ import annotations

import numpy as np
from scipy import sparse

#: Ridge penalty of the regression, as a share of the mean square of its inputs.
RIDGE = 0.01
#: How often each history is thinned out at random, so that short histories are learned from as well.
THINNINGS = 2


class FoldsIn:
    """For models that score by ``user_factors_`` and ``item_factors_`` but learned the former by gradient descent.

    No formula gives the vector of somebody who was not there. It is estimated: the vectors of the users are regressed
    on the vectors of the items that they met, and the regression is applied to the new history (compare Gantner et al.,
    ICDM 2010, who map attributes to vectors). It is learned when it is first asked for.
    """

    histories = "fitted"
    _history_map: tuple[np.ndarray, np.ndarray] | None = None  # the vectors of users that it was learned from, and it

    def fold_in(self, histories: sparse.csr_matrix) -> np.ndarray:
        """Vectors of people with the given histories (CSR ``(n, n_items)`` of ones), float32 ``(n, length)``."""
        users, items = self.user_factors_, self.item_factors_
        if self._history_map is None or self._history_map[0] is not users:
            self._history_map = users, history_map(self.seen_, items, users)
        return history_inputs(histories, items) @ self._history_map[1]

    def _score_histories(self, histories, users):
        return self.fold_in(histories) @ self.item_factors_.T


def history_map(seen: sparse.csr_matrix, items: np.ndarray, users: np.ndarray) -> np.ndarray:
    """The matrix ``W`` for which ``history_inputs(seen, items) @ W`` is nearest to the vectors of the users.

    Each history counts whole and thinned out, to a number of items between 1 and all, few as often as many. Ridge
    regression; float32 ``(2 n + 1, length)`` for items of length ``n``.
    """
    there = np.diff(seen.indptr) > 0
    seen, targets = seen[there], users[there]
    rng = np.random.default_rng(0)
    products, right = 0.0, 0.0
    for histories in (seen, *(thinned(seen, rng) for _ in range(THINNINGS))):
        x = history_inputs(histories, items)
        products, right = products + x.T @ x, right + x.T @ targets
    products[np.diag_indices_from(products)] += np.float32(RIDGE * np.trace(products) / len(products))
    return np.linalg.solve(products, right).astype(np.float32)


def history_inputs(histories: sparse.csr_matrix, items: np.ndarray) -> np.ndarray:
    """The sum of the items' vectors over the root of their number, and over their number, and a one."""
    count = np.maximum(np.diff(histories.indptr), 1).astype(np.float32)[:, None]
    total = histories @ items
    return np.concatenate([total / np.sqrt(count), total / count, np.ones_like(count)], axis=1)


def thinned(histories: sparse.csr_matrix, rng: np.random.Generator) -> sparse.csr_matrix:
    """Each row with a random part of its items: ``n ** r`` of ``n``, rounded up, ``r`` uniform between 0 and 1."""
    count = np.diff(histories.indptr)
    kept = np.ceil(count ** rng.random(len(count)))
    rows = np.repeat(np.arange(len(count)), count)
    order = np.lexsort((rng.random(len(rows)), rows))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - np.repeat(histories.indptr[:-1], count)
    keep = place < kept[rows]
    return sparse.csr_matrix((histories.data[keep], (rows[keep], histories.indices[keep])), histories.shape)
