"""How much each modality weighed when the item's vector was made. Weights of attention or of a gate are no causes."""

from __future__ import annotations

import numpy as np

from .explanation import Explanation, table
from .question import Question


def obstacle(model, features=None) -> str | None:
    """Why there are no weights; None where there are."""
    weights = getattr(model, "modality_weights_", None)
    if weights is None or not np.size(weights):
        return f"{type(model).__name__} keeps no weights of modalities here (a TwoTower with fusion=... does)"
    return None


def explain(question: Question) -> Explanation:
    """The weights of the item's modalities, as its fusion operator gave them; they are the same for all users.

    They say what the operator looked at, not what the score would be without it (Jain and Wallace, 2019): for that,
    see :mod:`mmrec_lib.explain.modalities`.
    """
    model = question.model
    values = table("weight", model.modality_weights_[question.item], names=model.modalities_)
    return question.answer("weights", "weights", values)
