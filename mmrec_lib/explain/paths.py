"""Explanation by paths: from the user to a click, to another person who made it, to the item."""

from __future__ import annotations

import numpy as np

from .explanation import Explanation, table
from .question import Question

#: Models that smooth vectors over the graph of clicks with the weights of LightGCN.
_SMOOTHED = ("lightgcn", "lightgat")


def obstacle(model, features=None) -> str | None:
    """Why there are no paths; None where there are."""
    if model.name in ("rp3beta", *_SMOOTHED):
        return None
    return f"{type(model).__name__} does not walk along the clicks of others (RP3beta, LightGCN and LightGAT do)"


def explain(question: Question) -> Explanation:
    """The paths user - click - other person - item, summed over the people, one row for each click.

    With :class:`~mmrec_lib.models.neighbours.RP3beta` the score *is* the sum of these paths (``"exact"``; clicks that
    are not among the item's neighbours add 0). :class:`~mmrec_lib.models.graphs.LightGCN` and ``LightGAT`` pass
    vectors along the same paths (``"graph"``): the value is the product of the edges' weights, ``1 / sqrt(n n')`` with
    the clicks of both ends, as LightGCN has them. It says how much comes through, not what it says: for that the
    vectors matter too. The item itself is on no path to itself. ``details``: ``count``, people on the paths.
    """
    model, item = question.model, question.item
    history = question.history[question.history != item]
    met = np.flatnonzero(model.seen_[:, [item]].toarray())
    others = model.seen_[met[met != question.user]]
    steps = others[:, history]  # (people who met the item, clicks): who leads from which click to the item
    exact = model.name == "rp3beta"
    if exact:
        through = model.similarity_[[item]][:, history].toarray()[0]
    else:
        per_user, per_item = np.diff(others.indptr), np.maximum(model.popularity_.astype(np.float64), 1)
        own = np.sqrt(len(question.history) * per_item[item])
        through = steps.T @ (1 / per_user) / per_item[history] / own
    contributions = table("click", through, history, question.names(history))
    count = int((np.diff(steps.indptr) > 0).sum())
    return question.answer("paths", "exact" if exact else "graph", contributions, exact, count=count)
