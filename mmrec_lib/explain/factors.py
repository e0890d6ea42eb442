"""Explanation by the dimensions of a dot product."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .explanation import Explanation, table
from .question import Question


def obstacle(model, features=None) -> str | None:
    """Why the score has no dimensions; None where it has."""
    users, items = getattr(model, "user_factors_", None), getattr(model, "item_factors_", None)
    if users is None or items is None or users.shape[1] != items.shape[1] or not users.shape[1]:
        return f"{type(model).__name__} is no dot product of a user's and an item's vector"
    return None


def explain(question: Question) -> Explanation:
    """What each dimension adds: the user's value times the item's.

    The last row (``"rest"``) is what the model adds to the product, such as biases. Dimensions of learned vectors have
    no meaning of their own, and another seed gives others: this is for looking into a model, not for its users.
    Always of the clicks that the model learned from.
    """
    model = question.model
    products = model.user_factors_[question.user].astype(np.float64) * model.item_factors_[question.item]
    own_score = float(model.score([question.user])[0, question.item])
    values = table("dimension", products, names=[f"dimension {i}" for i in range(len(products))])
    rest = own_score - products.sum()
    if abs(rest) > 1e-4 * max(1, np.abs(products).sum()):
        values = pd.concat([values, table("rest", [rest], names=["the rest"])], ignore_index=True)
    return question.answer("factors", "exact", values, additive=np.isclose(own_score, question.score))
