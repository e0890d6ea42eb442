"""Which components of one modality's vector speak for the item: integrated gradients."""

from __future__ import annotations

import numpy as np

from ..checks import one_of, whole
from . import modalities, rescoring
from .explanation import Explanation, table
from .question import Question


def obstacle(model, features=None) -> str | None:
    """Why there are no gradients; None where there are."""
    if model.name != "twotower":
        return f"{type(model).__name__} keeps no network from content to scores (a TwoTower with features does)"
    return modalities.obstacle(model, features)


def explain(question: Question, modality: str | None = None, steps: int = 64) -> Explanation:
    """Integrated gradients (Sundararajan, Taly and Yan, 2017) over the input vector of one modality of the item.

    The path leads from zeros, the mean of all items after standardising, to the item's vector, with the other
    modalities as they are. The values of the components sum to the change of the score along the path, up to the error
    of the sum over ``steps``. ``details``: ``modality``; ``change``, the change of the score. Components are those of
    the prepared vector: principal components where the model reduces, which have no name of their own.

    Parameters
    ----------
    modality : str, optional
        Default: the first that the item has.
    steps : int, default 64
        Points on the path (the middle of equal parts).
    """
    import torch

    model, item, steps = question.model, question.item, whole("steps", steps)
    names = modalities._names(model, question.features)
    here = [m for m in names if question.features.mask[m][item]]
    modality = one_of("modality", here[0] if modality is None and here else modality, here)
    content = modalities.item_inputs(question)
    user = torch.from_numpy(rescoring.user_vector(model, question.user, question.history))

    def scores(path):
        n = len(path)
        inputs = {m: path if m == modality else x.expand(n, -1) for m, x in content.items()}
        has = modalities.as_masks(names, np.tile([m in here for m in names], (n, 1)))
        return model.item_content(inputs, has) @ user

    end = content[modality]
    places = (torch.arange(steps, dtype=end.dtype)[:, None] + 0.5) / steps
    path = (places * end).requires_grad_()
    (gradient,) = torch.autograd.grad(scores(path).sum(), path)
    values = (gradient.mean(dim=0) * end[0]).numpy()
    ends = scores(torch.cat([torch.zeros_like(end), end])).detach().numpy()
    contributions = table("component", values, names=[f"{modality} {i}" for i in range(len(values))])
    return question.answer(
        "gradients", "integrated", contributions, modality=modality, change=float(ends[1] - ends[0])
    )  # fmt: skip
