"""Is an explanation true to its model? Take away what it names, and see whether the score falls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ..checks import one_of, whole
from ..data import Features, Interactions
from ..errors import DataError, ParameterError
from ..evaluation import Report, compare
from ..models import Recommender
from . import rescoring
from .api import explain


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What :func:`faithfulness` found.

    Attributes
    ----------
    per_user : DataFrame
        Indexed by user: item; ``named`` and ``random``, the fall of its score when the named clicks, and as many
        random ones (the mean of the draws), are deleted; ``difference``.
    summary : Series
        mean_a (named), mean_b (random), difference, ci_low, ci_high, p_t, p_wilcoxon, n_users; as in
        :func:`mmrec_lib.evaluation.compare`.
    n : int
        Clicks deleted.
    """

    per_user: pd.DataFrame
    summary: pd.Series
    n: int

    def __repr__(self) -> str:
        s = self.summary
        return (
            f"Faithfulness({int(s['n_users'])} users, {self.n} clicks deleted: the score falls by {s['mean_a']:.4g}, "
            f"at random by {s['mean_b']:.4g}; difference {s['difference']:.4g} [{s['ci_low']:.4g}, {s['ci_high']:.4g}])"
        )


def faithfulness(
    model: Recommender, users: Sequence[int], train: Interactions | None = None, features: Features | None = None,
    n: int = 2, method: str = "auto", repeats: int = 20, refit: Callable[[Interactions], Recommender] | None = None,
    confidence: float = 0.95, n_boot: int = 2000, seed: int = 0, how: str = "history",
) -> Faithfulness:  # fmt: skip
    """Does deleting the clicks that the explanation names lower the score more than deleting as many at random?

    Each user's best new item is explained by the user's clicks, the ``n`` with the largest values are deleted, and the
    item is scored again (the deletion test; for text: Samek et al., 2017; DeYoung et al., 2020). The comparison is
    paired over users. Scores are the model's own and have no unit, so compare only numbers of the same model.

    Parameters
    ----------
    model : Recommender
        Fitted.
    users : array of int
        Those with more than ``n`` clicks are looked at. A few hundred are enough.
    train : Interactions, optional
        What the model learned from; needed with ``refit`` only.
    features : Features, optional
        The item vectors that it learned from, where scoring a changed history needs them.
    n : int, default 2
        Clicks to delete.
    method : str, default "auto"
        Of ``how="history"``; see :func:`mmrec_lib.explain.history.explain`.
    repeats : int, default 20
        Random deletions for each user.
    refit : function, optional
        Takes interactions, returns a model fitted on them: for models that cannot score a changed history. All users'
        clicks are deleted at once, so that this takes ``repeats + 1`` fits; look at few of the model's users.
    confidence, n_boot, seed
        Of the interval (percentile bootstrap over users) and the draws.
    how : {"history", "paths"}, default "history"
        The kind of explanation, one that gives every click a value.

    Raises
    ------
    DataError
        No user has more than ``n`` clicks.
    ParameterError
        The model cannot score a changed history, and there is no ``refit``.
    """
    n, repeats, how = whole("n", n), whole("repeats", repeats), one_of("how", how, ("history", "paths"))
    why = rescoring.obstacle(model)
    if refit is None and why:
        raise ParameterError(f"{why}; give refit=..., a function that fits it anew")
    if refit is not None and train is None:
        raise ParameterError("refit needs the interactions that the model learned from: give train=...")
    users = np.unique(model._check_users(users))
    users = users[np.diff(model.seen_.indptr)[users] > n]
    if not len(users):
        raise DataError(f"none of the users has more than n={n} clicks: ask about others, or delete fewer")
    top = model.recommend(users, 1)
    users, items = top["user"].to_numpy(), top["item"].to_numpy()
    options = {"method": method} if how == "history" else {}
    told = [explain(model, u, i, features=features, how=how, **options) for u, i in zip(users, items, strict=True)]
    named = np.array([t.contributions["item"].head(n).to_numpy(int) for t in told])
    before = np.array([t.score for t in told])
    rng = np.random.default_rng(seed)
    drawn = np.array([[rng.choice(model.seen_[[u]].indices, n, replace=False) for _ in range(repeats)] for u in users])
    deleted = np.concatenate([named[:, None], drawn], axis=1)  # (users, 1 + repeats, n)
    judge = _rescored if refit is None else partial(_refitted, refit, train)
    after = judge(model, users, items, deleted)
    return _result(users, items, before[:, None] - after, n, confidence, n_boot, seed)


def _rescored(model, users, items, deleted) -> np.ndarray:
    after = []
    for user, item, sets in zip(users, items, deleted, strict=True):
        history = model.seen_[[user]].indices
        keep = ~(history[None, None] == sets[..., None]).any(axis=1)
        rows = rescoring.as_rows(history, model.n_items_, keep)
        after.append(rescoring.scores_of_item(model, user, rows, item))
    return np.array(after)


def _refitted(refit, train: Interactions, model, users, items, deleted) -> np.ndarray:
    after, keys = [], train.keys()
    for sets in deleted.transpose(1, 0, 2):
        gone = users[:, None].astype(np.int64) * train.n_items + sets
        scores = refit(train.select(~np.isin(keys, gone))).score(users)
        after.append(scores[np.arange(len(users)), items])
    return np.array(after).T


def _result(users, items, drops: np.ndarray, n: int, confidence, n_boot, seed) -> Faithfulness:
    named, random = drops[:, 0], drops[:, 1:].mean(axis=1)
    per_user = pd.DataFrame(
        {"item": items, "named": named, "random": random, "difference": named - random},
        index=pd.Index(users, name="user"),
    )
    a, b = (Report(pd.DataFrame(), per_user[[c]].set_axis(["drop"], axis=1), c) for c in ("named", "random"))
    summary = compare(a, b, "drop", ("t", "wilcoxon"), confidence, n_boot, seed).loc["drop"]
    return Faithfulness(per_user, summary, n)
