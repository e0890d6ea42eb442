"""Candidates by an index, for models whose scores are products of a user's and an item's vector."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ..models import Recommender
from .index import Index
from .newitems import NewItems

_TRIED = 8  # users on whom it is tried whether scores are products
_FAR = np.float32(-np.inf)


class Lookup:
    """Scores the items that an index finds, and leaves all others out: what a large catalogue is served by.

    Parameters
    ----------
    model : Recommender
        Such that :meth:`fits` holds.
    index : Index
        Over ``model.item_factors_``.
    """

    def __init__(self, model: Recommender, index: Index) -> None:
        self.model, self.index = model, index

    @staticmethod
    def fits(model: Recommender, index: Index | None) -> bool:
        """Does the index hold the vectors of the model's items, and are the model's scores products with them?

        The second is tried on a few users and their histories: with biases or a calibration the lists were others.
        """
        users, items = getattr(model, "user_factors_", None), getattr(model, "item_factors_", None)
        if index is None or users is None or items is None or not np.array_equal(index.vectors_, items):
            return False
        tried = np.flatnonzero(np.diff(model.seen_.indptr))[:_TRIED]
        pairs = [(model.score(tried), users[tried] @ items.T)]
        if model.histories and not model.reads_values:
            rows = model.seen_[tried]
            if not hasattr(model, "fold_in"):
                return False
            pairs.append((model.score_histories(rows, tried), model.fold_in(rows) @ items.T))
        return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)

    def of_user(self, code: int) -> np.ndarray:
        """Vector of a user of the model."""
        return self.model.user_factors_[code]

    def of_history(self, row: sparse.csr_matrix) -> np.ndarray:
        """Vector of somebody who met these items, CSR ``(1, n_items)``."""
        return self.model.fold_in(row)[0]

    def scores(self, vector: np.ndarray, n: int, allowed: np.ndarray, new: NewItems | None) -> np.ndarray:
        """Scores of the ``n`` best known items that are allowed, and of all new ones; minus infinity elsewhere."""
        n_known = len(self.index.vectors_)
        found, values = self.index.search(vector[None], n, allowed[:n_known])
        scores = np.full(n_known, _FAR)
        there = found[0] >= 0
        scores[found[0][there]] = values[0][there]
        if not new:
            return scores
        return np.concatenate([scores, new.placed(self.index.vectors_) @ vector]).astype(np.float32)
