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
    """

    items: np.ndarray
    n_items: int
    train: Interactions | None = None
    features: Features | None = None

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
    shown = np.sort(lists.exposure(k)).astype(float)
    n = len(shown)
    return float(((2 * np.arange(1, n + 1) - n - 1) * shown).sum() / (n * max(shown.sum(), 1)))


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
    ``"shown"`` (the user's list alone), ``"catalogue"`` (all lists together, one number), or ``"rating"``.
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
    "novelty": Metric("novelty", "shown", novelty, needs="train"),
    "popularity": Metric("popularity", "shown", popularity, needs="train"),
    "ild": Metric("ild", "shown", ild, needs="features"),
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


def check_needs(metrics: dict[str, tuple[Metric, int]], train, features, n_items: int) -> Features | None:
    """Return the features as :class:`Features`; raise when a metric lacks the training data or features it needs."""
    for name, (metric, _) in metrics.items():
        if metric.needs == "train" and train is None:
            raise ParameterError(f"{name} needs the training interactions: pass train=split.train")
        if metric.needs == "features" and features is None:
            raise ParameterError(f"{name} needs item vectors: pass features=...")
    if features is None:
        return None
    features = features if isinstance(features, Features) else Features({"features": features})
    if not len(features):
        raise DataError("features hold no modality: pass at least one array of item vectors")
    return features.check(n_items)
