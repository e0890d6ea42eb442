"""The first stage: candidates of many users from several sources, and what share of the right items survives."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from ... import ranking
from ...checks import whole
from ...data import Interactions
from ...errors import DataError, NotFittedError, ParameterError, UnknownUserError
from ...evaluation import bootstrap
from ...evaluation.reranking import check_users
from .sources import ContentSource, ModelSource, NewSource, PopularSource, Source

#: Sources that are not a model, and the settings that each takes besides ``quota``.
KINDS = {"content": ("modalities", "index", "index_params"), "popular": (), "new": ("modalities", "below")}
_MODEL = ("model", "params", "index", "index_params")
DEFAULT = {"als": {"quota": 150}, "popular": {"quota": 50}}


@dataclass(eq=False)
class Candidates:
    """Which items may be ranked for whom, and who proposed them.

    Attributes
    ----------
    users : int64 (n,)
    items : int64 (n, width)
        In the order of the sources, no item twice in a row; -1 fills the end.
    proposed : dict of bool (n, width)
        By source: was the item among its own?
    """

    users: np.ndarray
    items: np.ndarray
    proposed: dict[str, np.ndarray]

    def __repr__(self) -> str:
        sizes = (self.items >= 0).sum(axis=1)
        mean = f"{sizes.mean():.1f}" if len(sizes) else "no"
        return f"Candidates({len(self.users):,} users, {mean} items each, from {', '.join(self.proposed)})"

    def to_frame(self) -> pd.DataFrame:
        """One row a pair: user, item, and a column of booleans for each source."""
        there = self.items >= 0
        columns = {"user": np.repeat(self.users, there.sum(axis=1)), "item": self.items[there]}
        return pd.DataFrame(columns | {name: mine[there] for name, mine in self.proposed.items()})


class Retriever:
    """Several sources of candidates, each with a quota.

    Parameters
    ----------
    sources : dict, optional
        Name to settings. ``quota`` is how many items the source gives each user at most: its own first ones among what
        is allowed and unseen. What several sources give counts once, so that a user gets at most the sum of the quotas.
        A source that is called ``"popular"``, ``"new"`` or ``"content"``, or says so as ``how``, is what the name says:

        - popular: what most people met;
        - new: what fewer than ``below`` (default 1) people met, most like the history first;
        - content: nearest to the mean vector of the history, over ``modalities`` (default all), by an ``index``.

        Any other is a recommender: ``model`` (registered name; default the source's name), ``params`` of its
        constructor, ``index`` ("exact", "flat", "ivf", "hnsw": see :func:`~mmrec_lib.serving.create_index`) and
        ``index_params``. A model whose scores are no products of vectors is asked for all scores (``"exact"`` only).
        Default: 150 of ``als``, 50 of popular.
    seed : int, default 0
        Of models that draw and name no seed of their own.

    Raises
    ------
    ParameterError, UnknownNameError
        No source, unknown settings, unknown models.

    Notes
    -----
    Who has no history gets candidates of "popular" and "new" alone, unless a model knows better
    (``scores_new_users``). What nobody met is proposed by "new", "content", and models that say ``scores_new_items``.
    An approximate index looks a little further where it is asked for people with long histories too, so that its
    candidates may depend, slightly, on who is asked together.
    """

    def __init__(self, sources: Mapping[str, Mapping] | None = None, seed: int = 0) -> None:
        self.settings, self.seed = DEFAULT if sources is None else sources, seed
        if not isinstance(self.settings, Mapping) or not self.settings:
            raise ParameterError(f'sources={sources!r}: give a dict such as {{"als": {{"quota": 100}}}}')
        self.sources = {name: self._make(name, given) for name, given in self.settings.items()}

    def _make(self, name: str, given: Mapping) -> Source:
        if not isinstance(given, Mapping) or "quota" not in given:
            raise ParameterError(f"source {name!r}: give a dict of settings with a quota; got {given!r}")
        given = dict(given)
        quota, how = given.pop("quota"), given.pop("how", name if name in KINDS else "model")
        if how not in (*KINDS, "model"):
            raise ParameterError(f"source {name!r}: how={how!r}; choose one of {', '.join(KINDS)}, model")
        known = KINDS.get(how, _MODEL)
        for key in given:
            if key not in known:
                takes = ", ".join(("quota", "how", *known))
                raise ParameterError(f"source {name!r} has no setting {key!r}; it takes {takes}")
        index = {"index": given.get("index", "exact"), "index_params": dict(given.get("index_params", {}))}
        if how == "popular":
            return PopularSource(quota)
        if how == "new":
            return NewSource(quota, given.get("below", 1), given.get("modalities"), self.seed)
        if how == "content":
            return ContentSource(quota, given.get("modalities"), **index)
        return ModelSource(quota, given.get("model", name), dict(given.get("params", {})), seed=self.seed, **index)

    @property
    def needs_features(self) -> bool:
        """Does one of the sources need item vectors?"""
        return any(source.needs_features for source in self.sources.values())

    def fit(self, train: Interactions, features=None, valid: Interactions | None = None) -> Retriever:
        """Fit every source on ``train`` and return self; ``valid`` stops models that train by epochs."""
        if not len(train):
            raise DataError("Retriever.fit: train holds no interactions")
        self.seen = train.to_csr()
        popularity = np.bincount(self.seen.indices, minlength=train.n_items).astype(np.float32)
        for source in self.sources.values():
            source.fit(train, features, valid, self.seen, popularity)
        return self

    def candidates(
        self, users, allowed=None, seen: Interactions | str | None = "train", quotas: Mapping[str, int] | None = None
    ) -> Candidates:
        """The candidates of many users.

        Parameters
        ----------
        users : array of int
        allowed : bool (n_items,), optional
            Only these may become candidates. This filter comes before the quotas, so that it costs no places.
        seen : Interactions or None, default "train"
            What is left out for each user: what the sources were fitted on, other pairs, or nothing.
        quotas : dict, optional
            Other quotas for some of the sources; 0 silences one.
        """
        users = self._check(users)
        allowed = self._allowed(allowed)
        seen = self.seen if isinstance(seen, str) else None if seen is None else seen.to_csr()
        quotas, lists = self._quotas(quotas), {}
        for name, source in self.sources.items():
            lists[name] = source.first(users, min(quotas[name], self.seen.shape[1]), seen, allowed)
        return merge(users, lists, self.seen.shape[1])

    def with_quotas(self, quotas: Mapping[str, int]) -> Retriever:
        """The same sources, nothing learned again, with other quotas for some."""
        other = copy.copy(self)
        other.sources = {name: copy.copy(source) for name, source in self.sources.items()}
        for name, quota in self._quotas(quotas).items():
            other.sources[name].quota = quota
        other.settings = {name: {**given, "quota": other.sources[name].quota} for name, given in self.settings.items()}
        return other

    def _quotas(self, changed: Mapping[str, int] | None) -> dict[str, int]:
        for name, quota in (changed or {}).items():
            if name not in self.sources:
                raise ParameterError(f"quotas name {name!r}; the sources are {', '.join(self.sources)}")
            whole(f"quota of {name!r}", quota, least=0)
        return {name: source.quota for name, source in self.sources.items()} | dict(changed or {})

    def scores(self, pool: Candidates) -> dict[str, np.ndarray]:
        """What each source that has an opinion thinks of *all* candidates, float32 ``(n, width)``, NaN: nothing."""
        scores = {}
        for name, source in self.sources.items():
            if source.opinion:
                scores[name] = np.where(pool.items >= 0, source.scores(pool.users, pool.items), np.nan)
        return scores

    def _check(self, users) -> np.ndarray:
        if not hasattr(self, "seen"):
            raise NotFittedError("Retriever has not learned yet: call fit(train) first")
        users = check_users(users, None)
        bad = users[(users < 0) | (users >= self.seen.shape[0])]
        if len(bad):
            raise UnknownUserError(f"user {bad[0]} is unknown: there are codes 0 to {self.seen.shape[0] - 1}")
        return users

    def _allowed(self, allowed) -> np.ndarray | None:
        if allowed is None:
            return None
        allowed = np.asarray(allowed)
        if allowed.dtype != bool or allowed.shape != (self.seen.shape[1],):
            raise DataError(
                f"allowed is {allowed.dtype} {allowed.shape}: give one boolean for each of {self.seen.shape[1]} items"
            )
        return allowed


def merge(users: np.ndarray, lists: Mapping[str, np.ndarray], n_items: int) -> Candidates:
    """One pool from the lists of the sources (item codes ``(n, quota)``, -1: empty); the first mention counts.

    >>> merge(np.array([0]), {"a": np.array([[3, 1]]), "b": np.array([[1, 2]])}, 4).items
    array([[3, 1, 2]])
    """
    both = np.concatenate([np.zeros((len(users), 0), np.int64), *lists.values()], axis=1)
    order = np.argsort(both, axis=1, kind="stable")
    ordered = np.take_along_axis(both, order, axis=1)
    again = np.zeros(both.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    gone = again | (both < 0)
    width = int((~gone).sum(axis=1).max(initial=0))
    place = np.argsort(gone, axis=1, kind="stable")[:, :width]
    items = np.where(np.take_along_axis(gone, place, axis=1), -1, np.take_along_axis(both, place, axis=1))
    rows = np.arange(len(users))[:, None] * (n_items + 1)
    proposed = {name: np.isin(rows + items, (rows + mine)[mine >= 0]) & (items >= 0) for name, mine in lists.items()}
    return Candidates(users, items, proposed)


def candidate_recall(
    pool: Candidates, test: Interactions, train: Interactions | None = None, confidence: float = 0.95,
    n_boot: int = 1000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What share of each user's relevant items is among the candidates: no ranker can show the others.

    Parameters
    ----------
    pool : Candidates
    test : Interactions
        The relevant pairs; users of the pool without any are left out.
    train : Interactions, optional
        Its pairs do not count as relevant.
    confidence, n_boot, seed
        Interval over users.

    Returns
    -------
    DataFrame
        A row for each source, and one for all together: mean, ci_low, ci_high of the recall; ``size``, the mean number
        of candidates; ``alone``, the mean recall that is lost when this source goes.
    """
    bootstrap.check(confidence, n_boot)
    relevant = test.to_csr()
    if train is not None:
        relevant = relevant - relevant.multiply(train.to_csr()[: relevant.shape[0]])
        relevant = sparse.csr_matrix(relevant)
        relevant.eliminate_zeros()
    n_relevant = np.diff(relevant.indptr)[pool.users]
    asked = n_relevant > 0
    if not asked.any():
        raise DataError("none of these users has a relevant item: there is nothing to measure")
    hit = ranking.hits(pool.items, pool.users, relevant)
    times = np.sum(list(pool.proposed.values()), axis=0)
    rows, alone = {"all": hit}, {"all": hit}
    for name, mine in pool.proposed.items():
        rows[name], alone[name] = hit & mine, hit & mine & (times == 1)
    values = {name: found.sum(axis=1)[asked] / n_relevant[asked] for name, found in rows.items()}
    draws = bootstrap.resampled_means(np.stack(list(values.values()), axis=1), n_boot, seed)
    low, high = bootstrap.interval(draws, confidence)
    sizes = {name: (pool.proposed[name] if name != "all" else pool.items >= 0).sum(axis=1).mean() for name in rows}
    lost = {name: (found.sum(axis=1)[asked] / n_relevant[asked]).mean() for name, found in alone.items()}
    means = [mine.mean() for mine in values.values()]
    table = pd.DataFrame({"mean": means, "ci_low": low, "ci_high": high}, index=list(values))
    table["size"], table["alone"] = pd.Series(sizes), pd.Series(lost)
    return table.loc[[*pool.proposed, "all"]].rename_axis("source")
