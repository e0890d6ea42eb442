"""What can be measured: every metric by name, with its one definition.

Metrics of one user's list of hits (precision, recall, ...) live in :mod:`mmrec_lib.ranking`, because early stopping
needs them too. Here are the others, and the table of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from .. import ranking
from ..data import Features, Interactions
from ..errors import DataError, ParameterError, UnknownNameError
from .groups import as_shares, divergence, history_shares, list_shares

#: What ``evaluate`` reports unless told otherwise.
DEFAULT = ("precision", "recall", "f1", "hit", "ndcg", "mrr", "map")

_SCRATCH_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Lists:
    """Recommended lists and what some metrics need to judge them.

    Attributes
    ----------
    items : int array (n_users, k)
        Best first; -1 fills a list that is too short.
    n_items : int
        Size of the catalogue.
    train : Interactions or None
    features : Features or None
    groups : float array (n_items, n_groups) or None
        From 0 (not in the group) to 1.
    users : int array (n_users,) or None
        Whose lists these are.
    hit : bool array (n_users, k) or None
        Is the item of that place relevant?
    masked : CSR matrix or None
        The pairs that cannot be recommended.
    """

    items: np.ndarray
    n_items: int
    train: Interactions | None = None
    features: Features | None = None
    groups: np.ndarray | None = None
    users: np.ndarray | None = None
    hit: np.ndarray | None = None
    masked: sparse.csr_matrix | None = None

    def first(self, k: int) -> np.ndarray:
        """The first ``k`` places of every list."""
        return self.items[:, :k]

    def exposure(self, k: int) -> np.ndarray:
        """In how many lists of length ``k`` each item occurs, int64 ``(n_items,)``."""
        items = self.first(k)
        return np.bincount(items[items >= 0], minlength=self.n_items)


# -- metrics of all scores ---------------------------------------------------------------------------------------


def auc(scores, users: np.ndarray, relevant: sparse.csr_matrix) -> np.ndarray:
    """Chance that a random relevant item scores above a random other unseen item; ties count one half.

    The area under the ROC curve over the whole unseen catalogue (Hanley and McNeil, 1982), without a cut-off.

    ``scores`` is a float tensor ``(len(users), n_items)`` with seen items at minus infinity. The result, float64
    ``(len(users),)``, is NaN where a user has no relevant or no other unseen item.
    """
    import torch

    rows, cols = ranking.positions(users, relevant)
    out = (scores == -torch.inf).sum(dim=1).cpu().numpy()  # seen, or never recommended: no competitors
    row, col = (torch.from_numpy(index.astype(np.int64)).to(scores.device) for index in (rows, cols))
    own = scores[row, col]
    balance = torch.empty(len(rows), device=scores.device)  # scores below minus scores above; exact to 2**24 items
    step = max(1, _SCRATCH_BYTES // (8 * scores.shape[1]))
    for start in range(0, len(rows), step):  # some relevant items at a time, to bound the memory
        part = slice(start, start + step)
        balance[part] = (own[part, None] - scores[row[part]]).sign_().sum(dim=1)
    finite = (own > -torch.inf).cpu().numpy()  # a relevant item that is never recommended wins nothing
    beaten = np.where(finite, (balance.cpu().numpy().astype(float) + scores.shape[1]) / 2 - out[rows], 0)
    wins = np.bincount(rows, beaten, minlength=len(users))
    # pairs of two relevant items (each counted once in all, an item with itself one half) are not asked for
    n_relevant, n_finite = np.bincount(rows, minlength=len(users)), np.bincount(rows, finite, minlength=len(users))
    wins -= n_finite**2 / 2
    pairs = n_relevant * (scores.shape[1] - out - n_finite)
    return np.divide(wins, pairs, out=np.full(len(users), np.nan), where=pairs > 0)


# -- metrics of what is shown, whether or not it is right ----------------------------------------------------------


def coverage(lists: Lists, k: int) -> float:
    """Share of the catalogue that occurs in at least one user's list."""
    return float((lists.exposure(k) > 0).mean())


def gini(lists: Lists, k: int) -> float:
    """Gini index of exposure over the catalogue: 0 when all items are shown equally often, near 1 when few are."""
    return ranking.gini_index(lists.exposure(k))


def entropy(lists: Lists, k: int) -> float:
    """Shannon entropy of exposure in bits: minus the sum of ``p log2 p`` over the items shown.

    ``p`` is an item's share of all places in all lists. The entropy is 0 when everybody is shown one item, and
    ``log2(n_items)`` when all items are shown equally often.
    """
    shown = lists.exposure(k)
    share = shown[shown > 0] / max(shown.sum(), 1)
    return float(-(share * np.log2(share)).sum()) + 0.0  # not minus zero


def novelty(lists: Lists, k: int) -> np.ndarray:
    """Mean self-information of the list in bits: ``-log2`` of the share of training users who met the item.

    Zhou et al., 2010. An item that nobody met counts as if one user had, so that the value stays finite.
    """
    met = lists.train.to_csr()
    n_users = max((np.diff(met.indptr) > 0).sum(), 1)
    met_by = np.bincount(met.indices, minlength=lists.n_items)
    return _list_mean(lists.first(k), -np.log2(np.maximum(met_by, 1) / n_users))


def popularity(lists: Lists, k: int) -> np.ndarray:
    """Average number of training interactions of the items in the list."""
    return _list_mean(lists.first(k), lists.train.item_counts().astype(float))


def serendipity(lists: Lists, k: int) -> np.ndarray:
    """Places among the first ``k`` with a relevant item that the popularity list would not show, divided by ``k``.

    Ge et al., 2010. The popularity list of a user holds the ``k`` items that most training users met, without those
    that cannot be recommended to this user; of equally popular items, the one with the lower code comes first. The
    value is never above the precision, and 0 for a recommender by popularity.
    """
    met_by = np.bincount(lists.train.to_csr().indices, minlength=lists.n_items)
    place = np.empty(lists.n_items, np.int64)
    place[np.argsort(-met_by, kind="stable")] = np.arange(lists.n_items)
    items = lists.first(k)
    expected = place[items] - _masked_before(lists, place, items) < k
    return (lists.hit[:, :k] & ~expected).sum(axis=1) / k


def _masked_before(lists: Lists, place: np.ndarray, items: np.ndarray) -> np.ndarray | int:
    """How many of the user's masked items are more popular than the item, int like ``items``."""
    if lists.masked is None:
        return 0
    rows, cols = ranking.positions(lists.users, lists.masked)
    keys = np.sort(rows * lists.n_items + place[cols])
    first = np.arange(len(items))[:, None] * lists.n_items
    return np.searchsorted(keys, first + place[items]) - np.searchsorted(keys, first)


def miscalibration(lists: Lists, k: int) -> np.ndarray:
    """How far the groups of the list are from those of the user's history: Kullback-Leibler divergence in bits.

    Steck, 2018: 0 when the list shows each group as often as the history does. An item divides evenly among its
    groups, and the list is mixed with one hundredth of the history. Without an item that has a group, in the list or
    in the history, there is no value.
    """
    shares = as_shares(lists.groups)
    history = history_shares(lists.train.to_csr(), lists.users, shares)
    shown = list_shares(lists.first(k), shares)
    return np.where(history.any(axis=1) & shown.any(axis=1), divergence(history, shown), np.nan)


def ild_jaccard(lists: Lists, k: int) -> np.ndarray:
    """Intra-list diversity by groups: mean Jaccard distance over all pairs of items in the list.

    One minus the number of groups that two items share, divided by the number of groups that at least one of them
    has. Items without a group are left out; a list with fewer than two others has no value.
    """
    items = lists.first(k)
    member = (lists.groups > 0).astype(np.float32)
    out = np.full(len(items), np.nan)
    step = max(1, _SCRATCH_BYTES // (4 * items.shape[1] * (member.shape[1] + 4 * items.shape[1])))
    for start in range(0, len(items), step):
        part = items[start : start + step]
        out[start : start + step] = _jaccard_of(np.where((part >= 0)[:, :, None], member[part], 0))
    return out


def _jaccard_of(sets: np.ndarray) -> np.ndarray:
    """Mean Jaccard distance of the pairs of each list, from ones and zeros ``(n_lists, k, n_groups)``."""
    both = sets @ sets.transpose(0, 2, 1)
    size = sets.sum(axis=2)
    either = size[:, :, None] + size[:, None, :] - both
    real = (size > 0)[:, :, None] & (size > 0)[:, None, :] & ~np.eye(sets.shape[1], dtype=bool)
    distance = 1 - np.divide(both, either, out=np.zeros(both.shape), where=real)
    pairs = real.sum(axis=(1, 2))
    total = np.where(real, distance, 0).sum(axis=(1, 2))
    return np.divide(total, pairs, out=np.full(len(sets), np.nan), where=pairs > 0)


def ild(lists: Lists, k: int) -> np.ndarray:
    """Intra-list diversity: mean cosine distance over all pairs of items in the list, from the given features.

    Ziegler et al., 2005. Items without a vector are left out; with several modalities the distances are averaged.
    A list with fewer than two vectors has no value.
    """
    items = lists.first(k)
    return np.mean([_ild_of(items, lists.features[m]) for m in lists.features], axis=0)


def _ild_of(items: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.maximum(length, np.finfo(np.float32).tiny)[:, None]
    has_vector = length > 0
    out = np.full(len(items), np.nan)
    step = max(1, _SCRATCH_BYTES // (8 * vectors.shape[1]))
    for start in range(0, len(items), step):
        part = items[start : start + step]
        chosen = (part >= 0) & has_vector[part]
        n = chosen.sum(axis=1)
        rows = np.repeat(np.arange(len(part)), n)
        pick = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, part[chosen])), (len(part), len(vectors)))
        # the squared length of a sum of m unit vectors is m plus twice the sum of the cosines of all pairs
        squared = (np.asarray(pick @ unit, dtype=np.float64) ** 2).sum(axis=1)
        pairs = n * (n - 1)
        cosine = np.divide(squared - n, pairs, out=np.full(len(part), np.nan), where=pairs > 0)
        out[start : start + step] = 1 - cosine
    return out


def _list_mean(items: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Mean of an item value over each list, without the empty places; NaN for an empty list."""
    real = items >= 0
    n = real.sum(axis=1)
    total = np.where(real, value[items], 0.0).sum(axis=1)
    return np.divide(total, n, out=np.full(len(items), np.nan), where=n > 0)


# -- errors of predicted ratings -----------------------------------------------------------------------------------


def rmse(squared: float | np.ndarray) -> float | np.ndarray:
    """Root of the mean squared difference between predicted and given rating."""
    return np.sqrt(squared)


def mae(absolute: float | np.ndarray) -> float | np.ndarray:
    """Mean absolute difference between predicted and given rating."""
    return absolute


# -- the table of all ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A metric: its kind says what it looks at, and what its function takes.

    ``kind`` is ``"hits"`` (the user's list against the test items), ``"scores"`` (all scores, no cut-off),
    ``"shown"`` (the user's list and what is known of its items), ``"catalogue"`` (all lists together, one number), or
    ``"rating"``. ``needs`` names what must be given to :func:`~mmrec_lib.evaluation.evaluate`, with commas between.
    """

    name: str
    kind: str
    function: Callable
    needs: str = ""

    @property
    def definition(self) -> str:
        """First sentence of the function's documentation."""
        return self.function.__doc__.strip().splitlines()[0]


METRICS: dict[str, Metric] = {
    **{name: Metric(name, "hits", function) for name, function in ranking.LIST_METRICS.items()},
    "auc": Metric("auc", "scores", auc),
    "coverage": Metric("coverage", "catalogue", coverage),
    "gini": Metric("gini", "catalogue", gini),
    "entropy": Metric("entropy", "catalogue", entropy),
    "novelty": Metric("novelty", "shown", novelty, needs="train"),
    "popularity": Metric("popularity", "shown", popularity, needs="train"),
    "serendipity": Metric("serendipity", "shown", serendipity, needs="train"),
    "ild": Metric("ild", "shown", ild, needs="features"),
    "ild_jaccard": Metric("ild_jaccard", "shown", ild_jaccard, needs="groups"),
    "miscalibration": Metric("miscalibration", "shown", miscalibration, needs="train, groups"),
    "rmse": Metric("rmse", "rating", rmse),
    "mae": Metric("mae", "rating", mae),
}


def available_metrics() -> pd.DataFrame:
    """Every metric with its kind, what it needs, and its definition in a sentence, indexed by name.

    >>> available_metrics().loc["recall", "definition"]
    'Relevant items among the first ``k``, divided by the number of relevant items.'
    """
    rows = [(m.name, m.kind, m.needs, m.definition) for m in METRICS.values()]
    return pd.DataFrame(rows, columns=["metric", "kind", "needs", "definition"]).set_index("metric")


def wanted(metrics: str | Sequence[str], ks: int | Sequence[int], n_items: int) -> dict[str, tuple[Metric, int]]:
    """What to compute: ``"recall@20"`` to (metric, 20), for ``"recall"`` at every cut-off and ``"recall@20"`` at one.

    The cut-off of a metric without one is 0. Raises :class:`UnknownNameError` and :class:`ParameterError`.
    """
    ks = [ranking.check_k(k, "ks") for k in np.atleast_1d(np.asarray(ks, dtype=object))]
    out: dict[str, tuple[Metric, int]] = {}
    for given in [metrics] if isinstance(metrics, str) else metrics:
        name, _, cut = str(given).partition("@")
        if name not in METRICS or METRICS[name].kind == "rating":
            raise UnknownNameError("ranking metric", given, (m for m in METRICS if METRICS[m].kind != "rating"))
        metric = METRICS[name]
        if cut and (not cut.isdecimal() or metric.kind == "scores"):
            raise ParameterError(f'metric {given!r}: write a name such as "recall", or with a cut-off "recall@20"')
        if metric.kind == "scores":
            out[name] = metric, 0
            continue
        for k in [ranking.check_k(int(cut), given)] if cut else ks:
            out[f"{name}@{k}"] = metric, k
    if not out:
        raise ParameterError("metrics and ks name nothing to compute: give at least one metric and one cut-off")
    longest = max(k for _, k in out.values())
    if longest > n_items:
        raise ParameterError(f"a list of {longest} items cannot be filled: the catalogue has {n_items}; lower ks")
    return out


_HOW_TO_GIVE = {
    "train": "the training interactions: pass train=split.train",
    "features": "item vectors: pass features=...",
    "groups": "groups of the items, such as genres: pass groups=...",
}


def check_needs(metrics: dict[str, tuple[Metric, int]], train, features, n_items: int, groups=None) -> Features | None:
    """Return the features as :class:`Features`; raise when a metric lacks what it needs (data, features, groups)."""
    given = {"train": train, "features": features, "groups": groups}
    for name, (metric, _) in metrics.items():
        for need in filter(None, metric.needs.split(", ")):
            if given[need] is None:
                raise ParameterError(f"{name} needs {_HOW_TO_GIVE[need]}")
    return None if features is None else as_features(features, n_items)


def as_features(features: Features | np.ndarray, n_items: int) -> Features:
    """An array, or features as they are, as :class:`Features` with one row for each item."""
    features = features if isinstance(features, Features) else Features({"features": features})
    if not len(features):
        raise DataError("features hold no modality: pass at least one array of item vectors")
    return features.check(n_items)
