"""Things that came after the model had learned: each is scored as its nearest known things are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..checks import whole
from ..data import Features
from ..errors import FeatureError
from ..models.content import joined, unit_rows


class NewItems:
    """Scores of new items for any model, from the scores that it gives to known ones.

    A new item's score is the mean of those of its ``k`` nearest known items by content, weighted by the similarity.
    So a model of clicks alone recommends it, too, at the place that its neighbours have; nothing is learned again.

    Parameters
    ----------
    features : Features
        Of the known items.
    k : int, default 20
        Neighbours.
    """

    def __init__(self, features: Features, k: int = 20) -> None:
        self.k = min(whole("k", k), features.n_items)
        self._features = features
        self._known = joined(features)
        self.vectors: dict[str, list[np.ndarray]] = {name: [] for name in features}
        self.masks: dict[str, list[bool]] = {name: [] for name in features}
        self._neighbours = np.zeros((0, self.k), np.int64)
        self._weights = np.zeros((0, self.k), np.float32)

    def __len__(self) -> int:
        return len(self._neighbours)

    def add(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Take in one item, given its vectors by modality; a modality may be missing, not all.

        Raises :class:`FeatureError` for no vector at all, another modality or another length.
        """
        for name, vector in vectors.items():
            if name not in self._features:
                raise FeatureError(f"vector of {name!r}: the catalogue has {', '.join(self._features)}")
            if np.shape(vector) != (self._features.dims[name],) or not np.isfinite(vector).all():
                raise FeatureError(f"vector of {name!r}: give {self._features.dims[name]} finite numbers")
        if not vectors:
            raise FeatureError("an item without any vector cannot be placed: give a text, a picture or a sound")
        similarity = self._known @ self._prepared(vectors)
        nearest = np.argsort(-similarity, kind="stable")[: self.k]
        weight = np.maximum(similarity[nearest], 1e-6)
        for name, dim in self._features.dims.items():
            self.vectors[name].append(np.asarray(vectors.get(name, np.zeros(dim)), np.float32))
            self.masks[name].append(name in vectors)
        self._neighbours = np.vstack([self._neighbours, nearest])
        self._weights = np.vstack([self._weights, (weight / weight.sum()).astype(np.float32)])

    def remove_last(self) -> None:
        """Take the last item out again."""
        for columns in (self.vectors, self.masks):
            for column in columns.values():
                column.pop()
        self._neighbours, self._weights = self._neighbours[:-1], self._weights[:-1]

    def _prepared(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """As :func:`joined` would have prepared the item among the known ones."""
        parts = []
        for name, known in self._features.items():
            mask = self._features.mask[name]
            if name not in vectors:
                parts.append(np.zeros(known.shape[1]))
                continue
            there = known[mask]
            deviation = there.std(axis=0) if len(there) else np.ones(known.shape[1])
            middle = there.mean(axis=0) if len(there) else np.zeros(known.shape[1])
            parts.append(unit_rows(((vectors[name] - middle) / np.where(deviation > 0, deviation, 1))[None])[0])
        return np.concatenate(parts).astype(np.float32)

    def score(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the new items ``(n, n_new)`` from those of the known ones ``(n, n_known)``.

        A neighbour that the model leaves out (minus infinity) counts as the worst of those that it has scored.
        """
        there = np.isfinite(scores)
        if not there.all():
            worst = np.where(there, scores, np.inf).min(axis=1, keepdims=True)
            scores = np.where(there, scores, np.where(np.isfinite(worst), worst, -np.inf)).astype(np.float32)
        return np.einsum("unk,nk->un", scores[:, self._neighbours], self._weights)

    def placed(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of the new items ``(n_new, dim)`` from those of the known: products agree with scores."""
        return np.einsum("nkd,nk->nd", vectors[self._neighbours], self._weights)

    def neighbours(self, new: int) -> np.ndarray:
        """Codes of the known items that the new one is placed by, nearest first."""
        return self._neighbours[new]
