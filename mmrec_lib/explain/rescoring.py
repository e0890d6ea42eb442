"""Scores of a fitted model for a user whose clicks are others than those it learned from; nothing is fitted again."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .. import ranking
from ..models import Recommender

#: Models that do not look at the user.
BLIND = ("popularity", "random")


def obstacle(model: Recommender) -> str | None:
    """Why the model cannot say what a changed history would give; None where it can."""
    if model.name in BLIND:
        return f"{type(model).__name__} does not look at the user"
    if model.reads_values:
        return f"{type(model).__name__} learns from ratings, and clicks have none"
    if model.histories == "fitted":
        return f"{type(model).__name__} cannot score a changed history exactly: it estimates the vector"
    return None if model.histories == "exact" else model._no_histories()


def rescore(model: Recommender, user: int, histories: sparse.csr_matrix) -> np.ndarray:
    """Scores of all items for ``user`` with each of the histories, float32 ``(n, n_items)``.

    ``histories`` is CSR ``(n, n_items)`` of ones, sorted. Call it where :func:`obstacle` is None. An empty history
    gets what the model makes of it, not the popularity order. What a model knows about the user beyond the clicks (an
    embedding) stays.
    """
    users = np.full(histories.shape[0], user)
    return np.asarray(model._score_histories(histories, users), dtype=np.float32)


def as_rows(history: np.ndarray, n_items: int, keep: np.ndarray) -> sparse.csr_matrix:
    """CSR of ones ``(len(keep), n_items)``: row ``r`` holds the items of ``history`` where ``keep[r]`` is True."""
    rows, places = np.nonzero(keep)
    ones = np.ones(len(rows), np.float32)
    result = sparse.csr_matrix((ones, (rows, history[places])), shape=(len(keep), n_items))
    result.sort_indices()
    return result


def scores_of_item(model, user, histories, item: int) -> np.ndarray:
    """The scores of one item, float64 ``(n,)``, in blocks of histories."""
    blocks = ranking.blocks(np.arange(histories.shape[0]), histories.shape[1])
    return np.concatenate([rescore(model, user, histories[block])[:, item] for block in blocks]).astype(np.float64)


def user_vector(model, user: int, history: np.ndarray) -> np.ndarray:
    """The user's vector in a two-tower model, ``(dim,)``, with other clicks than those of training where they are."""
    seen = model.seen_[[user]]
    if np.array_equal(history, seen.indices):
        return model.user_factors_[user]
    changed = as_rows(history, model.n_items_, np.ones((1, len(history)), bool))
    return (model.user_factors_[user] - model._history_vectors(seen) + model._history_vectors(changed))[0]
