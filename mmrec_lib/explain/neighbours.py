"""Explanation by similar users, for the model that asks them."""

from __future__ import annotations

from .explanation import Explanation, table
from .question import Question


def obstacle(model, features=None) -> str | None:
    """Why similar users do not explain this model; None where they do."""
    return None if model.name == "userknn" else f"{type(model).__name__} does not ask similar users"


def explain(question: Question) -> Explanation:
    """What each of the user's neighbours who met the item adds to the score: their similarity (Herlocker et al., 2000).

    The sentence says how many they are, and names nobody. ``details``: ``count``. Always of the clicks that the model
    learned from.
    """
    model = question.model
    row = model.similarity_[[question.user]]
    met = row.multiply(model.seen_[:, [question.item]].T).tocsr()
    values = table("user", met.data, names=[f"user {u}" for u in met.indices])
    return question.answer("users", "exact", values, additive=True, count=len(values))
