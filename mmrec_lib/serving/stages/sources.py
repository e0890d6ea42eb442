"""Where candidates come from: a fitted model, content like the history, what is popular, what is new."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ... import models, ranking
from ...checks import one_of, whole
from ...errors import DataError, ParameterError
from ...models.content import unit_rows
from ..index import create_index, load_index

INDICES = ("exact", "flat", "ivf", "hnsw")
_BLOCK_BYTES = 64 * 2**20


class Source:
    """Base class: the first items of each user from one point of view.

    A subclass writes ``_fit(train, features, valid)`` and ``_search(users, k, allowed)``; ``scores(users, items)``
    where it has an opinion on any pair; ``arrays()``, ``take(arrays)`` for what it learned.

    Parameters
    ----------
    quota : int
        How many candidates it gives a user, at most.
    """

    #: Does it score any pair of user and item?
    opinion = False
    needs_features = False

    def __init__(self, quota: int) -> None:
        self.quota = whole("quota", quota, least=0)

    def fit(self, train, features, valid, seen, popularity) -> Source:
        self.seen, self.popularity = seen, popularity
        self._fit(train, features, valid)
        return self

    def first(self, users, k: int, seen, allowed) -> np.ndarray:
        """Item codes ``(len(users), k)``, best first, without what each user has in ``seen``; -1 at the end."""
        met = np.diff(seen.indptr)[users] if seen is not None else np.zeros(len(users), int)
        lists = np.full((len(users), k), -1, np.int64)
        order = np.argsort(met, kind="stable")  # users with histories of about the same length share a search
        for block in np.array_split(order, max(1, min(8, len(order) // 64))):
            if not len(block) or not k:
                continue
            items = self._search(users[block], k + int(met[block].max()), allowed)
            gone = items < 0
            if seen is not None:
                gone |= ranking.hits(items, np.arange(len(block)), seen[users[block]])
            kept = np.take_along_axis(np.where(gone, -1, items), np.argsort(gone, axis=1, kind="stable"), axis=1)
            lists[block, : kept.shape[1]] = kept[:, :k]
        return lists

    def _fit(self, train, features, valid) -> None:
        pass

    def _search(self, users, k: int, allowed) -> np.ndarray:
        raise NotImplementedError

    def scores(self, users, items) -> np.ndarray:
        """Float32 like ``items`` ``(len(users), width)``; NaN where there is no opinion."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    def take(self, arrays: dict[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            setattr(self, name, array)

    def write(self, folder: Path) -> None:
        """Whatever is no plain array."""

    def read(self, folder: Path) -> None:
        """What :meth:`write` wrote; arrays are there already."""


class ModelSource(Source):
    """What a recommender scores highest, by an index over its vectors where products of these are its scores."""

    opinion = True

    def __init__(self, quota: int, model: str, params: dict, index: str, index_params: dict, seed: int) -> None:
        super().__init__(quota)
        self.index_kind, self.index_params = one_of("index", index, INDICES), index_params
        self.model = models.create(model, **params)
        if "seed" in self.model.get_params() and "seed" not in params:
            self.model = models.create(model, seed=seed, **params)
        self.needs_features = self.model.needs_features

    def _fit(self, train, features, valid) -> None:
        self.model.fit(train, features=features, valid=valid)
        self.index = None
        if self._by_vectors():
            self.index = create_index(self.index_kind, **self.index_params).build(self.model.item_factors_)
        elif self.index_kind != "exact":
            raise ParameterError(
                f"index={self.index_kind!r}: {type(self.model).__name__} does not score by products of user_factors_ "
                'and item_factors_; use index="exact", which asks the model for all scores'
            )

    def _by_vectors(self) -> bool:
        users = getattr(self.model, "user_factors_", None)
        items = getattr(self.model, "item_factors_", None)
        if users is None or items is None:
            return False
        some = np.flatnonzero(np.diff(self.seen.indptr))[:3]
        scores = self.model.score(some)
        return np.allclose(users[some] @ items.T, scores, atol=1e-4 * max(np.abs(scores).max(), 1e-6))

    def _known(self, users) -> np.ndarray:
        if self.model.scores_new_users:
            return np.ones(len(users), bool)
        return np.diff(self.seen.indptr)[users] > 0

    def _search(self, users, k, allowed):
        if not self.model.scores_new_items:  # what nobody met has no place in its order
            allowed = self.popularity > 0 if allowed is None else allowed & (self.popularity > 0)
        if self.index is not None:
            items = self.index.search(self.model.user_factors_[users], k, allowed)[0]
            items = np.array(items)
        else:
            parts = []
            for block in ranking.blocks(users, self.seen.shape[1]):
                scores = np.array(self.model.score(block))
                if allowed is not None:
                    scores[:, ~allowed] = -np.inf
                parts.append(ranking.top_k(scores, k)[0])
            items = np.concatenate(parts)
        items[~self._known(users)] = -1
        return items

    def scores(self, users, items):
        if self.index is not None:
            scores = pair_products(self.model.user_factors_[users], self.model.item_factors_, items)
        else:
            scores = np.empty(items.shape, np.float32)
            for rows in ranking.blocks(np.arange(len(users)), self.seen.shape[1]):
                scores[rows] = np.take_along_axis(self.model.score(users[rows]), np.maximum(items[rows], 0), axis=1)
        scores[~self._known(users)] = np.nan
        return scores

    def write(self, folder):
        self.model.save(folder / "model")
        if self.index is not None:
            self.index.save(folder / "index")

    def read(self, folder):
        self.model = models.load(folder / "model")
        self.index = load_index(folder / "index") if (folder / "index").is_dir() else None


class ContentSource(Source):
    """What is most like the things in the history: mean cosine over these and over the modalities.

    Where an item lacks a modality its cosine counts as 0, and an item that lacks all is never found.
    """

    opinion = needs_features = True

    def __init__(self, quota: int, modalities, index: str, index_params: dict) -> None:
        super().__init__(quota)
        self.modalities = [modalities] if isinstance(modalities, str) else modalities
        self.index_kind, self.index_params = one_of("index", index, INDICES), index_params

    def _fit(self, train, features, valid) -> None:
        if features is None:
            raise DataError("a source of content needs item vectors: call fit(train, features=...)")
        chosen = features if self.modalities is None else features.only(*self.modalities)
        self.vectors = np.concatenate([unit_rows(chosen[m]) for m in chosen], axis=1) / np.float32(np.sqrt(len(chosen)))
        self.has = np.any([chosen.mask[m] for m in chosen], axis=0)
        self.index = create_index(self.index_kind, **self.index_params).build(self.vectors)

    def profiles(self, users) -> np.ndarray:
        """Mean vector of the history, float32 ``(len(users), dim)``; zeros where there is none."""
        return mean_rows(self.seen[users], self.vectors, self.has)

    def _search(self, users, k, allowed):
        profiles = self.profiles(users)
        items = np.array(self.index.search(profiles, k, self.has if allowed is None else allowed & self.has)[0])
        items[~profiles.any(axis=1)] = -1
        return items

    def scores(self, users, items):
        profiles = self.profiles(users)
        scores = pair_products(profiles, self.vectors, items)
        scores[~profiles.any(axis=1)] = np.nan
        scores[~self.has[np.maximum(items, 0)]] = np.nan
        return scores

    def arrays(self):
        return {"vectors": self.vectors, "has": self.has}

    def write(self, folder):
        self.index.save(folder / "index")

    def read(self, folder):
        self.index = load_index(folder / "index")


class PopularSource(Source):
    """What most people met; equal numbers by item code."""

    def _fit(self, train, features, valid) -> None:
        self.order = np.argsort(-self.popularity, kind="stable")

    def _search(self, users, k, allowed):
        order = self.order[self.popularity[self.order] > 0]
        if allowed is not None:
            order = order[allowed[order]]
        return np.tile(order[:k], (len(users), 1))

    def arrays(self):
        return {"order": self.order}


class NewSource(Source):
    """What fewer than ``below`` people met, the most like the history first.

    Without item vectors, and for who has no history, in an order that is drawn once.
    """

    def __init__(self, quota: int, below: int, modalities, seed: int) -> None:
        super().__init__(quota)
        self.below, self.seed = whole("below", below), seed
        self.content = ContentSource(quota, modalities, "exact", {})

    def _fit(self, train, features, valid) -> None:
        self.new = self.popularity < self.below
        self.order = np.random.default_rng(self.seed).permutation(len(self.popularity))
        self.by_content = features is not None and len(features) > 0
        if self.by_content:
            self.content.fit(train, features, valid, self.seen, self.popularity)

    def _search(self, users, k, allowed):
        new = self.new if allowed is None else self.new & allowed
        items = np.tile(self.order[new[self.order]][:k], (len(users), 1))
        if not self.by_content or not new.any():
            return items
        found = self.content._search(users, items.shape[1], new)
        found[~new[found]] = -1
        # things without vectors come after those with, in the drawn order
        both = np.concatenate([found, np.tile(self.order[(new & ~self.content.has)[self.order]], (len(users), 1))], 1)
        both = np.take_along_axis(both, np.argsort(both < 0, axis=1, kind="stable"), axis=1)[:, :k]
        none = (found < 0).all(axis=1)
        width = min(both.shape[1], items.shape[1])
        both[none, :width] = items[none, :width]
        return both

    def arrays(self):
        own = {"new": self.new, "order": self.order, "by_content": np.array([self.by_content])}
        return own | (self.content.arrays() if self.by_content else {})

    def take(self, arrays):
        self.new, self.order, self.by_content = arrays["new"], arrays["order"], bool(arrays["by_content"][0])
        if self.by_content:
            self.content.take({name: arrays[name] for name in ("vectors", "has")})
            self.content.seen, self.content.popularity = self.seen, self.popularity
            self.content.index = create_index().build(self.content.vectors)


# -- pieces --------------------------------------------------------------------------------------------------------
def mean_rows(histories, vectors: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Mean over the items of each history that have a vector; zeros where there are none."""
    count = np.asarray(histories @ has.astype(np.float32))[:, None]
    return np.asarray(histories @ vectors, dtype=np.float32) / np.maximum(count, 1)


def pair_products(queries: np.ndarray, vectors: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Product of query ``u`` with the vectors of ``items[u]``, float32 ``(n, width)``; code -1 gives any number."""
    n_items, dim = vectors.shape
    safe, out = np.maximum(items, 0), np.empty(items.shape, np.float32)
    if not items.size:
        return out
    if n_items <= 8 * items.shape[1]:  # one matrix product is faster than gathering
        for rows in ranking.blocks(np.arange(len(items)), n_items):
            out[rows] = np.take_along_axis(queries[rows] @ vectors.T, safe[rows], axis=1)
        return out
    for rows in ranking.blocks(np.arange(len(items)), items.shape[1] * dim, _BLOCK_BYTES):
        out[rows] = np.matmul(vectors[safe[rows]], queries[rows][:, :, None])[:, :, 0]
    return out
