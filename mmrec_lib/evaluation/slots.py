"""Exploration slots: places of a list that are kept for some items, new ones say, so that they are seen at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import ranking
from ..data import Interactions
from ..errors import ParameterError
from .ranked import competing
from .reranking import as_scores, check_model, check_users, masked_pairs, score_function


def reserve(
    model,
    users,
    items,
    places: Sequence[int],
    k: int = 20,
    train: Interactions | None = None,
    exclude: Interactions | None = None,
    by=None,
) -> np.ndarray:
    """Lists in which stated places are kept for some of the items.

    A reserved place gets the best of ``items`` that is not in the list yet, any other place the best of all. Where a
    model scores new items too low to be seen, they get the reserved places and no others; where it does not, they may
    also come in on merit.

    Parameters
    ----------
    model
        An object with ``score(users)``, or an array of scores with one row for each of ``users``. Minus infinity
        means "never recommend".
    users : array of int
    items : array of int
        For which places are reserved.
    places : sequence of int
        The reserved places, from 1 (the top) to ``k``. Empty: the model's own lists.
    k : int, default 20
        Length of the lists.
    train, exclude : Interactions, optional
        Their items are left out for their users.
    by : optional
        Like ``model``: what ranks ``items`` for the reserved places. Default: ``model`` itself.

    Returns
    -------
    int64 array (len(users), k)
        Item codes, best first. A reserved place for which no item is left gets the best of all; -1 where a user has
        fewer items than ``k``.

    Raises
    ------
    ParameterError
        Places below 1, above ``k`` or twice.
    DataError, UnknownItemError, UnknownUserError
        Scores of the wrong shape or with NaN; unknown items or users.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.8, 0.7, 0.2, 0.1]])
    >>> reserve(scores, [0], items=[3, 4], places=[2], k=3)
    array([[0, 3, 1]])
    """
    places, users = _check_places(places, k), check_users(users, train)
    score, n_items = score_function(model, users, train)
    masked, codes = masked_pairs(n_items, train, exclude), np.flatnonzero(competing(items, n_items))
    masked = None if masked is None else masked[users]
    lists = np.full((len(users), k), -1, np.int64)
    functions = [score] if by is None else [score, score_function(by, users, train)[0]]
    for rows in ranking.blocks(np.arange(len(users)), n_items):
        scores = [_copied(function, rows, n_items, masked) for function in functions]
        lists[rows] = _fill(scores[0], scores[-1], codes, places, k)
    return lists


class Reserved:
    """A recommender whose lists are those of :func:`reserve`, for :func:`~mmrec_lib.evaluation.evaluate` to judge.

    The parameters are those of :func:`reserve`, but for ``users``; ``model`` must have ``score(users)``. Give the same
    ``train`` and ``exclude`` here and to ``evaluate``, or else lists are shortened by what is masked there.
    """

    def __init__(
        self,
        model,
        items,
        places: Sequence[int],
        k: int = 20,
        train: Interactions | None = None,
        exclude: Interactions | None = None,
        by=None,
    ) -> None:
        check_model("model", model)
        check_model("by", model if by is None else by)
        _check_places(places, k)
        self.model, self.items, self.places, self.k = model, items, places, k
        self.train, self.exclude, self.by = train, exclude, by
        self.name = f"{getattr(model, 'name', '') or type(model).__name__}+{len(places)} reserved"

    def score(self, users) -> np.ndarray:
        """Float32 ``(len(users), n_items)``: k for the first item of the list, k - 1 for the next; else -inf."""
        lists = reserve(self.model, users, self.items, self.places, self.k, self.train, self.exclude, self.by)
        return as_scores(lists, score_function(self.model, np.asarray(users), self.train)[1])


def _copied(function, rows: np.ndarray, n_items: int, masked) -> np.ndarray:
    """Scores with minus infinity where an item is left out; a copy, to strike items out of."""
    parts = ranking.score_blocks(function, rows, n_items, masked)
    scores = np.concatenate([scores.numpy().copy() for _, scores in parts])
    ranking.check_scores(rows, scores.max(axis=1, keepdims=True))
    return scores


def _fill(left: np.ndarray, kept: np.ndarray, codes: np.ndarray, places: set[int], k: int) -> np.ndarray:
    """Lists for the users of a block, place by place; reserved places go by ``kept``, others by ``left``.

    Both are changed: what is in a list is struck out. They may be one array.
    """
    rows, lists = np.arange(len(left)), np.full((len(left), k), -1, np.int64)
    for place in range(k):
        best = left.argmax(axis=1)
        if place in places and len(codes):
            own = kept[:, codes]
            best = np.where(own.max(axis=1) > -np.inf, codes[own.argmax(axis=1)], best)
        there = np.maximum(left[rows, best], kept[rows, best]) > -np.inf
        lists[there, place] = best[there]
        left[rows, best] = kept[rows, best] = -np.inf
    return lists


def _check_places(places, k: int) -> set[int]:
    """The places, counted from 0."""
    ranking.check_k(k)
    places = np.asarray(places)
    if places.ndim != 1 or (places.size and not np.issubdtype(places.dtype, np.integer)):
        raise ParameterError(f"places must be whole numbers, one-dimensional; got {places.dtype} {places.shape}")
    if places.size and (places.min() < 1 or places.max() > k or len(np.unique(places)) < len(places)):
        raise ParameterError(f"places={places.tolist()}: name each place once, from 1 to k={k}")
    return {int(place) - 1 for place in places}
