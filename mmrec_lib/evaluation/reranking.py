"""Lists chosen anew from a model's best candidates, so that they are not only accurate: MMR, DPP, xQuAD, calibration.

All methods fill a list greedily, place by place, with the candidate that has the largest

    ``(1 - trade_off) * relevance + trade_off * gain``

and differ in what a gain is. Relevance is the model's score, moved and stretched so that it runs from 0 to 1 over the
user's candidates. All users of a block are handled at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from scipy import sparse

from .. import checks, ranking
from ..data import Features, Interactions
from ..errors import DataError, ParameterError, UnknownNameError, UnknownUserError
from .content import Kept
from .groups import as_shares, divergence, group_matrix, history_shares
from .metrics import as_features, check_needs, wanted
from .ranked import evaluate, union

_CHUNK_BYTES = 8 * 2**20  # of one array; what is worked on should stay in the cache of the processor
_FLOOR = 1e-6  # a growth of the determinant below it is rounding error of float32: nothing new is added


# -- what the methods know of users and items ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Knowledge:
    """What a method may ask for besides relevance; empty where it needs nothing.

    ``vectors`` (n_items, dim) are such that their products are the cosine similarities; ``groups`` and ``shares``
    (n_items, n_groups) say what an item belongs to; ``history`` has one row for each user that is handled.
    """

    vectors: np.ndarray | None = None
    groups: np.ndarray | None = None
    shares: np.ndarray | None = None
    history: np.ndarray | None = None

    def of(self, rows) -> _Knowledge:
        """The same for some of the users."""
        return self if self.history is None else replace(self, history=self.history[rows])

    @property
    def width(self) -> int:
        """Numbers for one candidate."""
        return (self.vectors if self.groups is None else self.groups).shape[1]


class _Source:
    """Candidates and knowledge for any users; what does not depend on the users is worked out once."""

    def __init__(self, how: Sequence[str], n: int, n_items: int, features, groups, train, exclude, device) -> None:
        needs = {name: METHODS[name].needs for name in how}
        for name, need in needs.items():
            if need == "features" and features is None:
                raise ParameterError(f"{name} needs item vectors: pass features=...")
            if need != "features" and groups is None:
                raise ParameterError(f"{name} needs groups of the items, such as genres: pass groups=...")
            if need != "features" and train is None:
                raise ParameterError(f"{name} needs the users' histories: pass train=split.train")
        self.n, self.n_items, self.device = n, n_items, device
        self.histories = None if train is None else train.to_csr()
        self.masked = masked_pairs(n_items, train, exclude)
        self.items = {}
        if "features" in needs.values():
            self.items["features"] = _Knowledge(vectors=_unit_vectors(as_features(features, n_items)))
        if "train, groups" in needs.values():
            matrix = group_matrix(groups, n_items)
            self.items["train, groups"] = _Knowledge(groups=matrix, shares=as_shares(matrix))

    def known(self, how: str, users: np.ndarray) -> _Knowledge:
        """What the method needs to know of these users and all items."""
        known = self.items[METHODS[how].needs]
        if known.groups is None:
            return known
        return replace(known, history=history_shares(self.histories, users, known.shares))

    def candidates(self, score, users: np.ndarray) -> Iterator[tuple]:
        """The best items, block by block: places in ``users``, items and scores ``(n_users, candidates)``."""
        from ..training.device import resolve

        masked = None if self.masked is None else self.masked[users]
        places, device = np.arange(len(users)), resolve(self.device)
        for rows, items, scores in ranking.iter_top_k(score, places, self.n, self.n_items, masked, device):
            if not np.isfinite(scores[items >= 0]).all():
                raise DataError("the model scores an item with infinity: relevance needs finite scores")
            yield rows, items, scores

    def lists(self, score, users: np.ndarray, how: str, k: int, trade_off: float) -> np.ndarray:
        """Re-ranked lists, int64 ``(len(users), k)``."""
        known, lists = self.known(how, users), np.full((len(users), k), -1, np.int64)
        for rows, items, scores in self.candidates(score, users):
            lists[rows] = _choose(how, known.of(rows), items, scores, k, trade_off)
        return lists


def _unit_vectors(features: Features) -> np.ndarray:
    """Rows whose products are cosines, averaged over the modalities; float32 ``(n_items, sum of dims)``.

    An item without a vector gets the mean of all unit vectors: it is as similar to another item as items are on
    average, and so neither preferred nor avoided.
    """
    parts = []
    for modality in features:
        length = np.linalg.norm(features[modality], axis=1, keepdims=True)
        unit = np.divide(features[modality], length, out=np.zeros_like(features[modality]), where=length > 0)
        unit[length[:, 0] == 0] = unit.sum(axis=0) / max((length > 0).sum(), 1)
        parts.append(unit / np.float32(np.sqrt(len(features))))
    return np.concatenate(parts, axis=1)


class _Similarity:
    """Similarity of all candidates to the one just chosen: ``(1 + cosine) / 2``."""

    def __init__(self, known: _Knowledge, items: np.ndarray) -> None:
        self.vectors = known.vectors[items].astype(np.float64)
        self.rows = np.arange(len(items))

    def to(self, best: np.ndarray) -> np.ndarray:
        return (1 + (self.vectors @ self.vectors[self.rows, best][:, :, None])[:, :, 0]) / 2


# -- the methods ---------------------------------------------------------------------------------------------------
# Each is made for the candidates (n_users, n_candidates) of some users; gain() is an array of that shape, finite;
# add(best) tells it the place of the candidate that each user's list got.


class _MMR:
    """Maximal marginal relevance: minus the similarity to the most similar item chosen.

    Carbonell and Goldstein, 1998. Their lambda is one minus our trade-off.
    """

    needs = "features"

    def __init__(self, known: _Knowledge, items: np.ndarray, k: int) -> None:
        self.similarity = _Similarity(known, items)
        self.closest = np.zeros(items.shape)

    def gain(self) -> np.ndarray:
        return -self.closest

    def add(self, best: np.ndarray) -> None:
        np.maximum(self.closest, self.similarity.to(best), out=self.closest)


class _DPP:
    """Determinantal point process: growth of the log determinant of the similarities among the items chosen.

    Fast greedy MAP inference of Chen et al. (2018). ``rest[i]`` is the determinant with candidate i divided by that
    without, the square of the last diagonal entry of a Cholesky factor; ``factor[:, t, i]`` is the t-th entry of the
    row that i would add to it. An item is entirely like itself, also where it has no vector.
    """

    needs = "features"

    def __init__(self, known: _Knowledge, items: np.ndarray, k: int) -> None:
        self.similarity = _Similarity(known, items)
        self.rest = np.ones(items.shape)
        self.factor = np.zeros((len(items), k, items.shape[1]))
        self.n = 0

    def gain(self) -> np.ndarray:
        return np.log(np.maximum(self.rest, _FLOOR))

    def add(self, best: np.ndarray) -> None:
        rows = np.arange(len(best))
        before = self.factor[:, : self.n]
        explained = (before[rows, :, best][:, None, :] @ before)[:, 0]
        new = (self.similarity.to(best) - explained) / np.sqrt(np.maximum(self.rest[rows, best], _FLOOR))[:, None]
        self.factor[:, self.n] = new
        self.rest -= new**2
        self.n += 1


class _XQuAD:
    """Explicit diversification (Santos et al., 2010): interest of the user in the item's groups that are not covered.

    The sum over groups of the group's share in the history, times the item's membership, times the product of one
    minus the membership over the items chosen. With memberships of 0 and 1 this is the binary form of Abdollahpouri
    et al. (2019). A user without a history is interested in all groups alike.
    """

    needs = "train, groups"

    def __init__(self, known: _Knowledge, items: np.ndarray, k: int) -> None:
        self.member = known.groups[items]
        self.open = np.where(known.history.any(axis=1, keepdims=True), known.history, 1 / known.width)

    def gain(self) -> np.ndarray:
        return (self.member @ self.open[:, :, None])[:, :, 0]

    def add(self, best: np.ndarray) -> None:
        self.open = self.open * (1 - self.member[np.arange(len(best)), best])


class _Calibrated:
    """Calibrated recommendations: minus the divergence, in bits, of the list's groups from the history's.

    Steck, 2018. Items without a group change nothing, and a user without a history keeps the model's order.
    """

    needs = "train, groups"

    def __init__(self, known: _Knowledge, items: np.ndarray, k: int) -> None:
        self.shares = known.shares[items]
        self.history = known.history[:, None]
        self.total = np.zeros_like(self.history)

    def gain(self) -> np.ndarray:
        return -divergence(self.history, as_shares(self.total + self.shares))

    def add(self, best: np.ndarray) -> None:
        self.total = self.total + self.shares[np.arange(len(best)), best][:, None]


METHODS = {"mmr": _MMR, "dpp": _DPP, "xquad": _XQuAD, "calibrated": _Calibrated}


# -- choosing ------------------------------------------------------------------------------------------------------


def rerank(
    model,
    users,
    how: str = "mmr",
    k: int = 20,
    candidates: int = 200,
    trade_off: float = 0.3,
    features: Features | np.ndarray | None = None,
    groups=None,
    train: Interactions | None = None,
    exclude: Interactions | None = None,
    device="auto",
) -> np.ndarray:
    """Choose each user's list anew from the model's best candidates, trading accuracy for something else.

    Parameters
    ----------
    model
        An object with ``score(users)``, or an array of scores with one row for each of ``users``. Minus infinity
        means "never recommend".
    users : array of int
    how
        ``"mmr"``: unlike the most similar item so far (Carbonell and Goldstein, 1998). ``"dpp"``: the largest
        determinant of similarities, by the fast greedy algorithm of Chen et al. (2018). ``"xquad"``: covers the
        groups of the user's history (Santos et al., 2010; Abdollahpouri et al., 2019). ``"calibrated"``: groups in
        the proportions of the history (Steck, 2018).
    k
        Length of the lists.
    candidates
        How many of the model's best items a list is chosen from.
    trade_off
        0 gives the model's own order; 1 looks at the other aim alone. Relevance runs from 0 to 1 over the candidates
        of a user; the similarity of MMR and DPP is ``(1 + cosine) / 2``; a divergence is in bits.
    features : Features or array (n_items, dim)
        For ``"mmr"`` and ``"dpp"``. With several modalities the cosines are averaged. An item without a vector is as
        similar to others as items are on average.
    groups
        For ``"xquad"`` and ``"calibrated"``, as in :func:`~mmrec_lib.evaluation.evaluate`.
    train : Interactions, optional
        Its items are left out for their users; ``"xquad"`` and ``"calibrated"`` need it for the histories.
    exclude : Interactions, optional
        Further pairs to leave out, such as the validation part when lists are judged on test.
    device
        Where the candidates are found.

    Returns
    -------
    int64 array (len(users), k)
        Item codes, best first; -1 where a user has fewer candidates than ``k``.

    Raises
    ------
    ParameterError, UnknownNameError
        Unknown method, numbers out of range, fewer candidates than ``k``, missing features, groups or train.
    DataError, UnknownUserError
        Scores of the wrong shape, with NaN or infinity; features or groups of other items; unknown users.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.8, 0.5]])  # the first two items are the same thing
    >>> rerank(scores, [0], k=2, candidates=3, trade_off=0.7, features=np.array([[1, 0], [1, 0], [0, 1]]))
    array([[0, 2]])
    """
    users = _check(users, how, k, candidates, trade_off, train)
    score, n_items = score_function(model, users, train)
    source = _Source([how], candidates, n_items, features, groups, train, exclude, device)
    return source.lists(score, users, how, k, trade_off)


def diversify(scores: np.ndarray, vectors: np.ndarray, k: int, how: str = "mmr", trade_off: float = 0.3) -> np.ndarray:
    """One list from candidates that are there already, with what :func:`rerank` does for many users of a model.

    Parameters
    ----------
    scores : float (n,)
        Finite, of the candidates.
    vectors : float (n, dim)
        Unit vectors of the candidates.
    k
        Length of the list; shorter where there are fewer candidates.
    how
        ``"mmr"`` or ``"dpp"``.
    trade_off
        As in :func:`rerank`.

    Returns
    -------
    int64 array
        Places among the candidates, best first.

    Examples
    --------
    >>> diversify(np.array([0.9, 0.8, 0.5]), np.array([[1, 0], [1, 0], [0, 1]]), k=2, trade_off=0.7)
    array([0, 2])
    """
    checks.one_of("how", how, [name for name, method in METHODS.items() if method.needs == "features"])
    checks.between("trade_off", trade_off, 0, 1)
    scores, vectors = np.asarray(scores), np.asarray(vectors)
    if scores.ndim != 1 or vectors.shape[:1] != scores.shape or not np.isfinite(scores).all():
        raise DataError(f"scores {scores.shape} and vectors {vectors.shape}: give finite scores (n,), vectors (n, dim)")
    order = np.argsort(-scores, kind="stable")[None]
    chosen = _choose(how, _Knowledge(vectors=vectors), order, scores[order], ranking.check_k(k), trade_off)[0]
    return chosen[chosen >= 0]


def check_model(name: str, model) -> None:
    """Raise :class:`ParameterError` where the argument ``name`` has no ``score(users)``."""
    if not callable(getattr(model, "score", None)):
        raise ParameterError(f"{name} is a {type(model).__name__}; expected an object with score(users)")


class Reranked:
    """A recommender whose lists are those of :func:`rerank`, for :func:`~mmrec_lib.evaluation.evaluate` to judge.

    The parameters are those of :func:`rerank`, but for ``users``; ``model`` must have ``score(users)``. Give the same
    ``train`` and ``exclude`` here and to ``evaluate``, or else lists are shortened by what is masked there.
    """

    def __init__(
        self,
        model,
        how: str = "mmr",
        k: int = 20,
        candidates: int = 200,
        trade_off: float = 0.3,
        features: Features | np.ndarray | None = None,
        groups=None,
        train: Interactions | None = None,
        exclude: Interactions | None = None,
        device="auto",
    ) -> None:
        check_model("model", model)
        _check([], how, k, candidates, trade_off, train)
        self.model, self.how, self.k, self.candidates, self.trade_off = model, how, k, candidates, trade_off
        self.features, self.groups, self.train, self.exclude, self.device = features, groups, train, exclude, device
        self._source = None  # made when the number of items is known
        self.name = f"{getattr(model, 'name', '') or type(model).__name__}+{how}"

    def score(self, users) -> np.ndarray:
        """Float32 ``(len(users), n_items)``: k for the first item of the list, k - 1 for the next; else -inf."""
        users = _check(users, self.how, self.k, self.candidates, self.trade_off, self.train)
        score, n_items = score_function(self.model, users, self.train)
        if self._source is None or self._source.n_items != n_items:
            given = self.features, self.groups, self.train, self.exclude, self.device
            self._source = _Source([self.how], self.candidates, n_items, *given)
        return as_scores(self._source.lists(score, users, self.how, self.k, self.trade_off), n_items)


def frontier(
    model,
    test: Interactions,
    train: Interactions | None = None,
    how: str | Sequence[str] = "mmr",
    trade_offs: Sequence[float] = (0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
    k: int = 20,
    candidates: int = 200,
    features: Features | np.ndarray | None = None,
    groups=None,
    metrics: str | Sequence[str] | None = None,
    users=None,
    exclude: Interactions | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    device="auto",
) -> pd.DataFrame:
    """What does diversity cost in accuracy? Every method at every trade-off, judged by :func:`evaluate`.

    Parameters
    ----------
    model
        Fitted, with ``score(users)``. It is asked for its candidates once.
    test, train, users, exclude, confidence, n_boot, seed, device
        As in :func:`evaluate`.
    how, trade_offs, k, candidates, features, groups
        As in :func:`rerank`; one method or several.
    metrics
        Default: NDCG, and what can be computed of ``ild``, ``ild_jaccard``, ``miscalibration``, with ``coverage``.
        They are taken at ``k``.

    Returns
    -------
    DataFrame
        Indexed by how, trade_off and metric, sorted: mean, ci_low, ci_high. ``table["mean"].unstack("metric")`` has one
        column a metric. ``.attrs["reports"]`` holds the reports by (how, trade_off).

    Raises
    ------
    ParameterError, UnknownNameError, DataError
        As :func:`rerank` and :func:`evaluate`; wrong arguments before anything is computed.
    """
    hows = [how] if isinstance(how, str) else list(how)
    if not hows or not len(trade_offs):
        raise ParameterError("how and trade_offs name nothing to compute: give at least one method and one trade-off")
    if not isinstance(test, Interactions):
        raise ParameterError(f"test is a {type(test).__name__}; expected Interactions, such as split.test")
    users = np.unique(test.user) if users is None else np.intersect1d(users, test.user)
    if not len(users):
        raise DataError("none of the users has a test item: there is nothing to evaluate")
    for name, trade_off in product(hows, trade_offs):
        _check(users, name, k, candidates, trade_off, train)
    metrics = metrics or _default_metrics(features, groups, train)
    check_needs(wanted(metrics, k, test.n_items), train, features, test.n_items, groups)
    score, n_items = score_function(model, users, train)
    source = _Source(hows, candidates, n_items, features, groups, train, exclude, device)
    known = {name: source.known(name, users) for name in hows}
    found = list(source.candidates(score, users))
    judge = partial(
        evaluate,
        test=test,
        train=train,
        ks=k,
        metrics=metrics,
        users=users,
        exclude=exclude,
        features=features,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        device=device,
        groups=groups,
    )
    reports = {}
    for name, trade_off in product(hows, trade_offs):
        lists = [_choose(name, known[name].of(rows), *best, k, trade_off) for rows, *best in found]
        shown = _Shown(users, np.concatenate(lists), n_items)
        reports[name, trade_off] = judge(shown, name=f"{name}, trade-off {trade_off:g}")
    table = pd.concat({key: report.summary for key, report in reports.items()}, names=["how", "trade_off"]).sort_index()
    table.attrs["reports"] = Kept(reports)
    return table


class _Shown:
    """A recommender that shows given lists to given users (sorted codes)."""

    def __init__(self, users: np.ndarray, lists: np.ndarray, n_items: int) -> None:
        self.users, self.lists, self.n_items = users, lists, n_items

    def score(self, users) -> np.ndarray:
        return as_scores(self.lists[np.searchsorted(self.users, users)], self.n_items)


def _default_metrics(features, groups, train) -> list[str]:
    possible = {
        "ild": features is not None,
        "ild_jaccard": groups is not None,
        "miscalibration": groups is not None and train is not None,
    }
    return ["ndcg", *(name for name, given in possible.items() if given), "coverage"]


def _check(users, how, k, candidates, trade_off, train) -> np.ndarray:
    """The users as int64; raise when an argument makes no sense."""
    if how not in METHODS:
        raise UnknownNameError("method of re-ranking", how, METHODS)
    ranking.check_k(k)
    if checks.whole("candidates", candidates) < k:
        raise ParameterError(f"candidates={candidates}: a list of k={k} cannot be chosen from fewer; give more")
    checks.between("trade_off", trade_off, 0, 1)
    return check_users(users, train)


def check_users(users, train: Interactions | None) -> np.ndarray:
    """The users as int64; raise when they are no codes, or unknown to ``train``."""
    users = np.atleast_1d(np.asarray(users))
    if users.ndim != 1 or (users.size and not np.issubdtype(users.dtype, np.integer)):
        raise ParameterError(f"users must be integer codes, one-dimensional; got {users.dtype} {users.shape}")
    bad = [] if train is None else users[(users < 0) | (users >= train.n_users)]
    if len(bad):
        raise UnknownUserError(f"user {bad[0]} is unknown: train has codes 0 to {train.n_users - 1}")
    return users.astype(np.int64)


def masked_pairs(n_items: int, train, exclude) -> sparse.csr_matrix | None:
    """What is left out of the lists; None: nothing."""
    if exclude is not None and exclude.n_items != n_items:
        raise DataError(f"exclude counts {exclude.n_items} items and the model {n_items}: use one code for both")
    return union([part for part in (train, exclude) if part is not None])


def score_function(model, users: np.ndarray, train: Interactions | None):
    """A function from places in ``users`` to scores, and the number of items."""
    if callable(getattr(model, "score", None)):
        n_items = np.shape(model.score(users[:1]))[1] if train is None else train.n_items
        return lambda rows: model.score(users[rows]), n_items
    scores = np.asarray(model)
    if scores.ndim != 2 or len(scores) != len(users) or not np.issubdtype(scores.dtype, np.number):
        raise DataError(
            f"model is neither an object with score(users) nor an array of scores with {len(users)} rows, one for each "
            f"user; got {type(model).__name__} {scores.shape}"
        )
    return lambda rows: scores[rows], scores.shape[1] if train is None else train.n_items


def _choose(how: str, known: _Knowledge, items, scores, k: int, trade_off: float) -> np.ndarray:
    """Lists for the users of a block from their candidates, some users at a time."""
    lists = np.full((len(items), k), -1, np.int64)
    step = max(1, _CHUNK_BYTES // (8 * items.shape[1] * max(known.width, k)))
    for start in range(0, len(items), step):
        part = slice(start, start + step)
        method = METHODS[how](known.of(part), items[part], k)
        lists[part] = _greedy(method, items[part], scores[part], k, trade_off)
    return lists


def _greedy(method, items: np.ndarray, scores: np.ndarray, k: int, trade_off: float) -> np.ndarray:
    """Fill the lists place by place; of candidates that are equally good, the one the model prefers comes first."""
    rows = np.arange(len(items))
    free = items >= 0
    relevance = (1 - trade_off) * _relevance(scores, free)
    lists = np.full((len(items), k), -1, np.int64)
    for place in range(min(k, items.shape[1])):
        value = np.where(free, relevance + trade_off * method.gain(), -np.inf)
        best = value.argmax(axis=1)
        left = free[rows, best]
        lists[left, place] = items[rows, best][left]
        free[rows, best] = False
        method.add(best)
    return lists


def _relevance(scores: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Scores, best first, stretched to run from 1 to 0 over the real candidates; all 1 where they are equal."""
    scores = np.where(real, scores, 0).astype(np.float64)
    best, worst = scores[:, :1], np.where(real, scores, np.inf).min(axis=1, keepdims=True)
    spread = np.where(np.isfinite(worst), best - worst, 0)
    return 1 - np.divide(best - scores, spread, out=np.zeros_like(scores), where=real & (spread > 0))


def as_scores(lists: np.ndarray, n_items: int) -> np.ndarray:
    """Ranks as scores: k for the first item, minus infinity for items that are not in the list."""
    scores = np.full((len(lists), n_items), -np.inf, np.float32)
    rows, places = np.nonzero(lists >= 0)
    scores[rows, lists[rows, places]] = lists.shape[1] - places
    return scores
