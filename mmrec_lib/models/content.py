"""Content-based recommendation: what looks, reads or sounds like the things that the user chose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from .. import ranking
from ..data import Features
from ..errors import ParameterError
from .base import Recommender
from .checks import at_least, one_of
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
    needs_features = True

    def __init__(self, k: int = 50, weights: Mapping[str, float] | None = None, scale: str = "standard") -> None:
        self.k = ranking.check_k(k)
        self.weights = None if weights is None else {m: at_least(f"weights[{m!r}]", w, 0) for m, w in weights.items()}
        self.scale = one_of("scale", scale, ("standard", "none"))

    def _fit(self, train, features, valid) -> None:
        self.similarity_ = nearest_by_content(self._joined(features), self.k)

    def _joined(self, features: Features) -> np.ndarray:
        """One row an item, whose scalar products are the weighted sums of cosines."""
        weights = self.weights or {}
        for modality in weights:
            if modality not in features:
                raise ParameterError(f"weights names modality {modality!r}; features have {', '.join(features)}")
        parts = []
        for modality, vectors in features.items():
            mask = features.mask[modality]
            unit = unit_rows(standardise(vectors, mask) if self.scale == "standard" else vectors)
            parts.append(np.sqrt(np.float32(weights.get(modality, 1.0))) * unit * mask[:, None])
        return np.concatenate(parts, axis=1)

    _score = ItemKNN._score
    neighbours = ItemKNN.neighbours


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
