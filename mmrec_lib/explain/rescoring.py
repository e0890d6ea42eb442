"""Scores of a fitted model for a person whose clicks are others than those it learned from; nothing is fitted again."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from .. import ranking
from ..data import Features
from ..models import Recommender
from ..models.content import unit_rows

#: Models whose scores are read from the rows of ``seen_`` and nothing else about the user.
_READ_ROWS = ("ease", "sideease", "slim", "itemknn", "rp3beta", "contentknn", "multvae")
#: Combinations of a hybrid that look at one user at a time.
_BY_USER = ("weighted", "borda", "votes", "rrf", "cascade")


def obstacle(model: Recommender, features: Features | None = None) -> str | None:
    """Why the model cannot score a changed history; None where it can."""
    name = type(model).__name__
    if model.name in (*_READ_ROWS, "als"):
        return None
    if model.name == "contentprofile":
        needs = model.how == "mean" and features is None
        return "ContentProfile(how='mean') needs features=... to score a changed history" if needs else None
    if model.name == "twotower":
        return None if len(model.history_factors_) else "this TwoTower knows users by embeddings alone"
    if model.name == "hybrid":
        if model.how not in _BY_USER:
            return f"a hybrid with how={model.how!r} cannot score a changed history; {', '.join(_BY_USER)} can"
        return next(filter(None, (obstacle(part, features) for part in model.models_.values())), None)
    return f"{name} cannot score a changed history: what it knows of a user is fixed when it is fitted"


def rescore(
    model: Recommender, user: int, histories: sparse.csr_matrix, features: Features | None = None
) -> np.ndarray:
    """Scores of all items for ``user`` with each of the histories, float32 ``(n, n_items)``.

    ``histories`` is CSR ``(n, n_items)`` of ones, sorted. Call it where :func:`obstacle` is None. An empty history
    gets what the model makes of it, not the popularity order. What a two-tower model learned about the user beyond the
    content of the clicks (the embedding) stays.
    """
    if model.name == "als":
        return model.fold_in(histories) @ model.item_factors_.T
    if model.name == "contentprofile":
        return profiles(model, histories, features) @ model.item_factors_.T
    if model.name == "twotower":
        return _tower_users(model, user, histories) @ model.item_factors_.T
    return _with_rows(model, user, histories, features)._score(np.arange(histories.shape[0]))


def histories_without(history: np.ndarray, n_items: int, left_out: Sequence[Sequence[int]]) -> sparse.csr_matrix:
    """One row for each entry of ``left_out``, without the clicks at these places of ``history``."""
    keep = np.ones((len(left_out), len(history)), bool)
    for row, places in enumerate(left_out):
        keep[row, list(places)] = False
    return as_rows(history, n_items, keep)


def as_rows(history: np.ndarray, n_items: int, keep: np.ndarray) -> sparse.csr_matrix:
    """CSR of ones ``(len(keep), n_items)``: row ``r`` holds the items of ``history`` where ``keep[r]`` is True."""
    rows, places = np.nonzero(keep)
    ones = np.ones(len(rows), np.float32)
    result = sparse.csr_matrix((ones, (rows, history[places])), shape=(len(keep), n_items))
    result.sort_indices()
    return result


def scores_of_item(model, user, histories, item: int, features=None) -> np.ndarray:
    """The scores of one item, float64 ``(n,)``, in blocks of histories."""
    blocks = ranking.blocks(np.arange(histories.shape[0]), histories.shape[1])
    parts = [rescore(model, user, histories[block], features)[:, item] for block in blocks]
    return np.concatenate(parts).astype(np.float64)


def _with_rows(model: Recommender, user: int, histories: sparse.csr_matrix, features) -> Recommender:
    """A copy (what was learned is shared) whose users are the histories."""
    twin = copy.copy(model)
    twin.seen_, twin.n_users_ = histories, histories.shape[0]
    if model.name == "hybrid":
        twin.models_ = {n: _Rescored(part, user, histories, features) for n, part in model.models_.items()}
        twin.combination_ = copy.copy(model.combination_).use(twin.models_, histories)
    return twin


class _Rescored:
    """A part of a hybrid, asked about the histories."""

    def __init__(self, part: Recommender, user: int, histories, features) -> None:
        self.ask = lambda rows: rescore(part, user, histories[rows], features)

    def score(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.ask(rows), dtype=np.float32)


def profiles(model, histories: sparse.csr_matrix, features: Features | None) -> np.ndarray:
    """Profiles of a ContentProfile for the histories, ``(n, dim)``."""
    sums = histories @ model.item_factors_
    if model.how == "mean":
        sizes = np.cumsum(list(features.dims.values()))[:-1]
        return np.concatenate([unit_rows(part) for part in np.split(sums, sizes, axis=1)], axis=1)
    products = model.item_factors_.T @ model.item_factors_
    products[np.diag_indices_from(products)] += np.float32(model.l2)
    return np.linalg.solve(products, sums.T).T


def user_vector(model, user: int, history: np.ndarray) -> np.ndarray:
    """The user's vector in a two-tower model, ``(dim,)``, with other clicks than those of training where they are."""
    if np.array_equal(history, model.seen_[[user]].indices):
        return model.user_factors_[user]
    return _tower_users(model, user, as_rows(history, model.n_items_, np.ones((1, len(history)), bool)))[0]


def _tower_users(model, user: int, histories: sparse.csr_matrix) -> np.ndarray:
    own = model.user_factors_[user] - _mean_content(model, model.seen_[[user]])
    return own + _mean_content(model, histories)


def _mean_content(model, histories: sparse.csr_matrix) -> np.ndarray:
    """What the content of the clicks adds to a user's vector in a two-tower model, ``(n, dim)``."""
    total = np.zeros((histories.shape[0], model.item_factors_.shape[1]), np.float32)
    for part, has in zip(model.history_factors_, model.has_, strict=True):
        total += (histories @ part) / np.maximum(histories @ has.astype(np.float32), 1)[:, None]
    return total
