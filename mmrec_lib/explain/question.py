"""The question "why is this user shown this item?", checked, with what the answers need."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..data import Dataset, Features, Interactions
from ..errors import DataError, ParameterError, UnknownItemError
from ..models import Recommender
from . import rescoring
from .explanation import Explanation, as_titles


@dataclass(frozen=True, eq=False)
class Question:
    """See :func:`mmrec_lib.explain.explain`; ``history`` holds the codes of the clicks, sorted."""

    model: Recommender
    user: int
    item: int
    history: np.ndarray
    score: float
    features: Features | None = None
    titles: dict = field(default_factory=dict)

    def names(self, items) -> list[str]:
        """Titles of the items, or their codes in words."""
        return [self.titles.get(int(i), f"item {i}") for i in items]

    def answer(self, how: str, method: str, contributions, additive: bool = False, **details) -> Explanation:
        """An explanation of this question."""
        return Explanation(how, method, self.user, self.item, self.score, contributions, additive, details, self.titles)


def ask(
    model: Recommender, user: int, item: int, train: Interactions | None, features: Features | None,
    data: Dataset | None,
) -> Question:  # fmt: skip
    """Check the question and look up the history and the score."""
    (user,) = (int(u) for u in model._check_users([user]))
    if isinstance(item, bool) or not isinstance(item, (int, np.integer)):
        raise ParameterError(f"item={item!r}: give the code of an item, a whole number")
    if not 0 <= item < model.n_items_:
        raise UnknownItemError(f"item {item} is unknown: the model knows codes 0 to {model.n_items_ - 1}")
    if features is not None:
        features.check(model.n_items_)
    history = _history(model, user, train)
    if not len(history):
        raise DataError(f"user {user} has no clicks: the score says how popular the item is, not what suits the user")
    if np.array_equal(history, model.seen_[[user]].indices):
        score = model.score([user])[0, item]
    else:
        score = _changed_score(model, user, history, int(item))
    return Question(model, user, int(item), history, float(score), features, _titles(data, model.n_items_))


def _history(model: Recommender, user: int, train: Interactions | None) -> np.ndarray:
    if train is None:
        return np.sort(model.seen_[[user]].indices)
    if train.shape != (model.n_users_, model.n_items_):
        raise DataError(f"train counts {train.shape} users and items, the model {(model.n_users_, model.n_items_)}")
    return np.unique(train.item[train.user == user])


def _changed_score(model: Recommender, user: int, history: np.ndarray, item: int) -> float:
    if why := rescoring.obstacle(model):
        raise DataError(f"user {user} has other clicks in train than the model learned from, and {why}: fit it anew")
    rows = rescoring.as_rows(history, model.n_items_, np.ones((1, len(history)), bool))
    return rescoring.rescore(model, user, rows)[0, item]


def _titles(data: Dataset | None, n_items: int) -> dict:
    if data is None:
        return {}
    if data.n_items != n_items:
        raise DataError(f"data has {data.n_items} items, the model {n_items}: give the data set that it learned from")
    return as_titles(data.items["title"].tolist()) if "title" in data.items else {}
