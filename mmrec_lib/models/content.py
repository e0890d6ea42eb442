"""Content-based recommendation: what looks, reads or sounds like the things that the user chose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from .. import ranking
from ..checks import above, at_least, one_of
from ..data import Features
from ..errors import ParameterError
from .base import Recommender
from .neighbours import ItemKNN


class ContentKNN(Recommender):
    """Score of an item: the sum of its content similarities to those of its neighbours that the user met.

    The similarity of two items is the weighted sum of their cosines, modality by modality; a modality that one of
    them lacks adds nothing. Interactions say only what the user met, so an item that nobody has met is recommended as
    well as any other. Pazzani and Billsus, 2007, survey the family.

    Parameters
    ----------
    k : int, default 50
        Neighbours kept for each item, those with a positive similarity only.
    weights : dict, optional
        Modality to its weight, 0 or more. Default: all 1. Modalities that are not named keep 1.
    scale : {"standard", "none"}, default "standard"
        ``"standard"`` gives each dimension mean 0 and variance 1 over the items first, so that what all vectors share
        does not make everything similar to everything.

    Attributes
    ----------
    similarity_ : CSR ``(n_items, n_items)``
        Row ``i`` holds the neighbours of item ``i``, never ``i`` itself.
    """

    name = "contentknn"
    histories = "exact"
    needs_features = True
    scores_new_items = True

    def __init__(self, k: int = 50, weights: Mapping[str, float] | None = None, scale: str = "standard") -> None:
        self.k = ranking.check_k(k)
        self.weights = None if weights is None else {m: at_least(f"weights[{m!r}]", w, 0) for m, w in weights.items()}
        self.scale = one_of("scale", scale, ("standard", "none"))

    def _fit(self, train, features, valid) -> None:
        self.similarity_ = nearest_by_content(joined(features, self.weights, self.scale == "standard"), self.k)

    _score_histories = ItemKNN._score_histories
    neighbours = ItemKNN.neighbours


class ContentProfile(Recommender):
    """A profile of each user in the space of the content, compared with every item.

    ``how="mean"``: the profile is the mean vector of what the user met (Rocchio, 1971), and scores are cosines, summed
    over the modalities. ``how="ridge"``: the profile is a taste ``w`` that predicts what the user met from the content
    of all items, ``min |y - X w|^2 + l2 |w|^2``. The matrix to invert is the same for all users, so that everybody's
    taste is found at once. Interactions say only what the user met, so an item that nobody has met is recommended as
    well as any other.

    Parameters
    ----------
    how : {"ridge", "mean"}, default "ridge"
    l2 : float, default 100
        Above 0; of ``how="ridge"``.
    weights : dict, optional
        Modality to its weight, 0 or more. Default: all 1.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)
        Profiles and vectors, all modalities side by side.
    dims_ : int (n_modalities,)
        How many columns each modality has.
    """

    name = "contentprofile"
    histories = "exact"
    needs_features = True
    scores_new_items = True

    def __init__(self, how: str = "ridge", l2: float = 100.0, weights: Mapping[str, float] | None = None) -> None:
        self.how = one_of("how", how, ("ridge", "mean"))
        self.l2 = above("l2", l2, 0)
        self.weights = None if weights is None else {m: at_least(f"weights[{m!r}]", w, 0) for m, w in weights.items()}

    def _fit(self, train, features, valid) -> None:
        self.item_factors_ = joined(features, self.weights, unit=self.how == "mean")
        self.dims_ = np.array(list(features.dims.values()))
        self.user_factors_ = self.fold_in(self.seen_)

    def fold_in(self, histories: sparse.csr_matrix) -> np.ndarray:
        """Profiles of people with the given histories (CSR ``(n, n_items)`` of ones), float32 ``(n, dim)``."""
        x = self.item_factors_
        sums = histories @ x
        if self.how == "mean":
            return np.concatenate([unit_rows(p) for p in np.split(sums, np.cumsum(self.dims_)[:-1], axis=1)], axis=1)
        products = x.T @ x
        products[np.diag_indices_from(products)] += np.float32(self.l2)
        return np.linalg.solve(products, sums.T).T.astype(np.float32)

    def _score(self, users):
        return self.user_factors_[users] @ self.item_factors_.T

    def _score_histories(self, histories, users):
        return self.fold_in(histories) @ self.item_factors_.T


def joined(
    features: Features, weights: Mapping[str, float] | None = None, standard: bool = True, unit: bool = True
) -> np.ndarray:
    """All modalities side by side, float32 ``(n_items, sum of dims)``, each times the root of its weight (default 1).

    With ``unit`` rows of a modality have length 1, so that scalar products are the weighted sums of cosines. Zeros
    where an item lacks a modality. Raises :class:`ParameterError` for a weight of a modality that is not there.
    """
    weights = weights or {}
    for modality in weights:
        if modality not in features:
            raise ParameterError(f"weights names modality {modality!r}; features have {', '.join(features)}")
    parts = []
    for modality, vectors in features.items():
        mask = features.mask[modality]
        x = standardise(vectors, mask) if standard else vectors
        x = unit_rows(x) if unit else x
        parts.append(np.sqrt(np.float32(weights.get(modality, 1.0))) * x * mask[:, None])
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def standardise(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 in each dimension over the rows in ``mask``; the others stay zero."""
    there = vectors[mask]
    if not len(there):
        return vectors
    deviation = there.std(axis=0)
    return (vectors - there.mean(axis=0)) / np.where(deviation > 0, deviation, 1) * mask[:, None]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest_by_content(vectors: np.ndarray, k: int) -> sparse.csr_matrix:
    """CSR with the ``k`` largest positive scalar products of each row with the others, in blocks of rows."""
    n = len(vectors)
    parts = []
    for block in ranking.blocks(np.arange(n), n):
        products = vectors[block] @ vectors.T
        products[np.arange(len(block)), block] = -np.inf  # nothing is its own neighbour
        items, values = ranking.top_k(products, k)
        rows = np.repeat(block, items.shape[1])
        keep = values.ravel() > 0
        parts.append((rows[keep], items.ravel()[keep], values.ravel()[keep]))
    rows, cols, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sparse.coo_matrix((values, (rows, cols)), shape=(n, n)).tocsr()
