"""Explanation by the user's own clicks."""

from __future__ import annotations

import numpy as np

from ..checks import one_of
from . import rescoring
from .explanation import Explanation, table
from .question import Question

#: Models whose score is a sum over the clicks.
_SUMS = ("ease", "propensityease", "sideease", "slim", "itemknn", "rp3beta", "contentknn")


def obstacle(model, features=None) -> str | None:
    """Why the clicks cannot explain this model; None where they can."""
    why = rescoring.obstacle(model)
    if model.name in rescoring.BLIND:
        return why
    if why and _item_vectors(model) is None:
        return f"{why}, and it has no vectors of items to compare"
    return None


def explain(question: Question, method: str = "auto") -> Explanation:
    """What each click adds to the score.

    Parameters
    ----------
    question : Question
    method : str, default "auto"
        ``"exact"``: the score is a sum over the clicks, and these are its terms. With ALS (Hu, Koren and Volinsky,
        2008, section 5) the weights of the terms depend on all clicks together.
        ``"leave-one-out"``: the score less the score without this click, for models that can score a changed history.
        ``"similarity"``: the cosine of the two items' vectors. It says what resembles the item in the eyes of the
        model, not what the score would be.
        ``"auto"``: the first of these that the model has.
    """
    known = methods(question.model, question.features)
    method = one_of("method", known[0] if method == "auto" else method, known)
    values = _VALUES[method](question)
    contributions = table("click", values, question.history, question.names(question.history))
    return question.answer("history", method, contributions, method == "exact")


def methods(model, features=None) -> list[str]:
    """The methods of :func:`explain` that the model has, the best first."""
    exact = model.name in (*_SUMS, "als") or (model.name == "contentprofile" and model.how == "ridge")
    changed = rescoring.obstacle(model) is None
    there = {"exact": exact, "leave-one-out": changed, "similarity": _item_vectors(model) is not None}
    return [method for method, has in there.items() if has]


def _exact(question: Question) -> np.ndarray:
    if question.model.name == "als":
        return _als_terms(question.model, question.history, question.item)
    return _scores(question, np.eye(len(question.history), dtype=bool))


def _leave_one_out(question: Question) -> np.ndarray:
    return question.score - _scores(question, ~np.eye(len(question.history), dtype=bool))


def _similarity(question: Question) -> np.ndarray:
    return _cosines(_item_vectors(question.model), question.history, question.item)


_VALUES = {"exact": _exact, "leave-one-out": _leave_one_out, "similarity": _similarity}


def _scores(question: Question, keep: np.ndarray) -> np.ndarray:
    rows = rescoring.as_rows(question.history, question.model.n_items_, keep)
    return rescoring.scores_of_item(question.model, question.user, rows, question.item)


def _als_terms(model, history: np.ndarray, item: int) -> np.ndarray:
    """``(1 + alpha) q_j A^-1 q_i`` with ``A = Q^T Q + alpha sum_j q_j q_j^T + penalty``, over the clicks ``j``."""
    vectors = model.item_factors_.astype(np.float64)
    clicked = vectors[history]
    penalty = model._penalty(rescoring.as_rows(history, len(vectors), np.ones((1, len(history)), bool)), model.n_users_)
    matrix = vectors.T @ vectors + model.alpha * clicked.T @ clicked + penalty[0] * np.eye(vectors.shape[1])
    return (1 + model.alpha) * clicked @ np.linalg.solve(matrix, vectors[item])


def _item_vectors(model) -> np.ndarray | None:
    for name in ("item_factors_", "weights_item_"):
        if isinstance(getattr(model, name, None), np.ndarray):
            return getattr(model, name)
    return None


def _cosines(vectors: np.ndarray, history: np.ndarray, item: int) -> np.ndarray:
    own, others = vectors[item].astype(np.float64), vectors[history].astype(np.float64)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(own)
    return np.divide(others @ own, lengths, out=np.zeros(len(others)), where=lengths > 0)
