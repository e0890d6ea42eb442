"""Which clicks are to blame: without them, the user would not see the item."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .. import ranking
from ..checks import whole
from . import rescoring
from .explanation import Explanation, table
from .question import Question


def obstacle(model, features=None) -> str | None:
    """Why there is no counterfactual for this model; None where there is."""
    return rescoring.obstacle(model)


def explain(question: Question, k: int = 10, n: int = 5) -> Explanation:
    """The smallest set of clicks that a greedy search finds without which the item leaves the first ``k``.

    (Counterfactuals by the user's own actions: Ghazimatin et al., 2020.) In each round that click is taken away which
    brings the item nearest to its fall; at the end, clicks that turn out not to be needed are put back. So no click of
    the set can be spared, though a smaller set of others may exist. Things that the user knows stay out of the list,
    those whose clicks are taken away as well: the item must fall behind others. Whoever has no click left gets the
    popularity order, as in :meth:`~mmrec_lib.models.Recommender.score`.

    The value of a click in the table is the number of places that the item falls when it alone is taken away.
    ``details``: ``k``; ``rank`` and ``new_rank``, the item's places before and after; ``found``.

    Parameters
    ----------
    k : int, default 10
        Length of the list.
    n : int, default 5
        Most clicks to take away.
    """
    k, n = whole("k", k), whole("n", n)
    search = _Search(question, k)
    rank = search.ranks(np.ones((1, len(question.history)), bool))[0]
    keep = _prune(search, _greedy(search, n)) if rank <= k else search.everything
    gone = np.flatnonzero(~keep)
    new_rank = int(search.ranks(keep[None])[0])
    found = rank <= k < new_rank
    method = "found" if found else "not-found" if rank <= k else "not-listed"
    gone = gone if found else gone[:0]
    ranks = search.ranks(np.array([_without(search.everything, g) for g in gone])) if len(gone) else np.zeros(0, int)
    items = question.history[gone]
    contributions = table("click", ranks - rank, items, question.names(items))
    return question.answer(
        "counterfactual", method, contributions, k=k, n=n, rank=int(rank), new_rank=new_rank if found else int(rank),
        found=bool(found),
    )  # fmt: skip


class _Search:
    """Ranks and margins of the item when only a part of the history is kept; a part is a boolean row over it."""

    def __init__(self, question: Question, k: int) -> None:
        self.question, self.k = question, k
        self.everything = np.ones(len(question.history), bool)
        self.banned = np.setdiff1d(question.history, [question.item])

    def scores(self, keep: np.ndarray) -> np.ndarray:
        """Scores of all items for each row of ``keep``; the user's items at minus infinity."""
        q = self.question
        histories: sparse.csr_matrix = rescoring.as_rows(q.history, q.model.n_items_, keep)
        scores = np.array(rescoring.rescore(q.model, q.user, histories))
        empty = ~keep.any(axis=1)
        if empty.any() and not q.model.scores_new_users:
            scores[empty] = q.model.popularity_
        scores[:, self.banned] = -np.inf
        return scores

    def ranks(self, keep: np.ndarray) -> np.ndarray:
        """Place of the item in each list, from 1; among equal scores the lower code comes first."""
        scores, item = self.scores(keep), self.question.item
        own = scores[:, [item]]
        return 1 + (scores > own).sum(axis=1) + (scores[:, :item] == own).sum(axis=1)

    def margins(self, keep: np.ndarray) -> np.ndarray:
        """By how much the item is ahead of the best that is not among the first ``k``; 0 or less: it has fallen."""
        parts = []
        for rows in ranking.blocks(np.arange(len(keep)), self.question.model.n_items_):
            scores = self.scores(keep[rows])
            own = scores[:, self.question.item].copy()
            scores[:, self.question.item] = -np.inf
            k = min(self.k, scores.shape[1])
            parts.append(own - np.partition(scores, -k, axis=1)[:, -k])
        return np.concatenate(parts)


def _greedy(search: _Search, n: int) -> np.ndarray:
    """What is kept after at most ``n`` rounds."""
    keep = search.everything
    for _ in range(min(n, len(keep))):
        left = np.flatnonzero(keep)
        candidates = np.array([_without(keep, place) for place in left])
        keep = candidates[search.margins(candidates).argmin()]
        if search.ranks(keep[None])[0] > search.k:
            break
    return keep


def _prune(search: _Search, keep: np.ndarray) -> np.ndarray:
    """Put back clicks whose absence was not needed, where the item has fallen."""
    for place in np.flatnonzero(~keep):
        more = keep.copy()
        more[place] = True
        if search.ranks(more[None])[0] > search.k:
            keep = more
    return keep


def _without(keep: np.ndarray, place: int) -> np.ndarray:
    less = keep.copy()
    less[place] = False
    return less
