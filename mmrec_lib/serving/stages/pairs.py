"""What a ranker is told about a pair of user and item: numbers about both sides and about the two together."""

from __future__ import annotations

import numpy as np

from ...data import Features, Interactions
from ...evaluation.groups import as_shares, group_matrix, history_shares
from ...models.content import unit_rows
from .retrieval import Candidates, Retriever
from .sources import mean_rows, pair_products

_DAY = 86_400


class PairTable:
    """The columns of a ranker: fitted on a history, made for any candidates.

    For each source: ``from:NAME`` (did it propose the item?), and where it has an opinion ``score:NAME`` (in standard
    deviations over the user's candidates, so that it does not depend on how long histories are) and ``rank:NAME``
    (``log(1 + rank)`` among these, best 0). Of the item: ``popularity`` and ``item_mean`` (mean value, drawn to the
    mean of all by five events), ``age`` (days from its first event to the last of all), ``lacks:MODALITY``. Of the
    user: ``activity``, ``user_mean``. Of both: ``like:MODALITY`` (mean cosine with the history) and ``category``
    (share of the item's groups in the history). Popularity and activity are ``log(1 + n / mean n)``. NaN: not known.

    Attributes
    ----------
    names : list of str
        Of the columns.
    """

    def fit(self, train: Interactions, features: Features | None = None, groups=None) -> PairTable:
        """Take in what happened, item vectors and groups of items (as in ``evaluate``); return self."""
        self.seen = train.to_csr()
        users, items = self.seen.shape
        item_n, user_n = np.bincount(self.seen.indices, minlength=items), np.diff(self.seen.indptr)
        self.popularity, self.activity = _relative(item_n), _relative(user_n)
        mean = train.value.mean()
        self.item_mean = _shrunk(train.item, train.value, items, mean)
        self.user_mean = _shrunk(train.user, train.value, users, mean)
        self.age = np.full(items, np.nan, np.float32)
        if train.time is not None:
            first = np.full(items, np.iinfo(np.int64).max)
            np.minimum.at(first, train.item, train.time)
            self.age[item_n > 0] = (train.time.max() - first[item_n > 0]) / _DAY
        self.modalities = [] if features is None else list(features)
        self.vectors = {m: unit_rows(features[m]) for m in self.modalities}
        self.has = {m: features.mask[m] for m in self.modalities}
        self.shares = None if groups is None else as_shares(group_matrix(groups, items)).astype(np.float32)
        return self

    def make(self, pool: Candidates, retriever: Retriever) -> np.ndarray:
        """Float32 ``(number of candidates, number of columns)``, users one after the other."""
        there = pool.items >= 0
        users = np.broadcast_to(pool.users[:, None], pool.items.shape)[there]
        items = pool.items[there]
        columns = {f"from:{name}": mine[there] for name, mine in pool.proposed.items()}
        for name, scores in retriever.scores(pool).items():
            columns[f"score:{name}"], columns[f"rank:{name}"] = (x[there] for x in _within(scores))
        columns["popularity"], columns["activity"] = self.popularity[items], self.activity[users]
        columns["item_mean"], columns["user_mean"] = self.item_mean[items], self.user_mean[users]
        columns["age"] = self.age[items]
        for m in self.modalities:
            profiles = mean_rows(self.seen[pool.users], self.vectors[m], self.has[m])
            like = pair_products(profiles, self.vectors[m], pool.items)
            like[~profiles.any(axis=1)] = np.nan
            columns[f"like:{m}"] = np.where(self.has[m][items], like[there], np.nan)
            columns[f"lacks:{m}"] = ~self.has[m][items]
        if self.shares is not None:
            history = history_shares(self.seen, pool.users, self.shares).astype(np.float32)
            columns["category"] = pair_products(history, self.shares, pool.items)[there]
        self.names = list(columns)
        return np.stack([np.asarray(c, dtype=np.float32) for c in columns.values()], axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays by name, without what the sources keep as well."""
        own = ("popularity", "activity", "item_mean", "user_mean", "age")
        arrays = {name: getattr(self, name) for name in own}
        arrays |= {f"vectors/{m}": self.vectors[m] for m in self.modalities}
        arrays |= {f"has/{m}": self.has[m] for m in self.modalities}
        return arrays | ({} if self.shares is None else {"shares": self.shares})

    def restore(self, arrays: dict[str, np.ndarray], seen, modalities: list[str]) -> PairTable:
        """Take over what :meth:`state` gave, with the history (CSR) and the names of the modalities in their order."""
        for name in ("popularity", "activity", "item_mean", "user_mean", "age"):
            setattr(self, name, arrays[name])
        self.seen, self.modalities, self.shares = seen, modalities, arrays.get("shares")
        self.vectors = {m: arrays[f"vectors/{m}"] for m in modalities}
        self.has = {m: arrays[f"has/{m}"] for m in modalities}
        return self


def _relative(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts / max(counts.mean(), 1e-9)).astype(np.float32)


def _shrunk(codes, values, n: int, mean: float, strength: float = 5.0) -> np.ndarray:
    total, count = np.bincount(codes, values, minlength=n), np.bincount(codes, minlength=n)
    return ((total + strength * mean) / (count + strength)).astype(np.float32)


def _within(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard scores and ``log(1 + rank)`` over the numbers of each row; NaN stays."""
    known = np.isfinite(scores)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    filled = np.where(known, scores, 0).astype(np.float64)
    mean = filled.sum(axis=1, keepdims=True) / count
    spread = np.sqrt((np.where(known, filled - mean, 0) ** 2).sum(axis=1, keepdims=True) / count)
    standard = np.where(known, (filled - mean) / np.maximum(spread, 1e-9), np.nan)
    order = np.argsort(np.where(known, -filled, np.inf), axis=1, kind="stable")
    rank = np.empty(scores.shape)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(scores.shape[1], dtype=float), scores.shape), axis=1)
    return standard, np.where(known, np.log1p(rank), np.nan)
