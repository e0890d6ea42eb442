"""Explanation by modalities: what the item's picture, text, ... add to the score, as Shapley values."""

from __future__ import annotations

from math import factorial

import numpy as np
import pandas as pd

from ..errors import DataError
from ..models.content import joined
from . import rescoring
from .explanation import Explanation, table
from .question import Question

#: The number of subsets doubles with each modality.
MOST = 12
_MODELS = ("twotower", "contentknn", "contentprofile")


def obstacle(model, features=None) -> str | None:
    """Why the score cannot be divided among modalities; None where it can."""
    if model.name not in _MODELS:
        return f"{type(model).__name__} cannot be scored with a modality masked without being fitted anew"
    if model.name == "twotower" and not model.modalities_:
        return "this TwoTower learned from clicks alone"
    if features is None:
        return "it needs the item vectors that the model learned from: give features=..."
    return None


def explain(question: Question) -> Explanation:
    """Shapley values (1953) of the item's modalities, exact over all subsets.

    The value of a subset is the score of the item when it has these modalities only; nothing is fitted again, and the
    user's side stays. A modality's value is its mean contribution when modalities join in random order, so that the
    values sum to the score with all of them less the score with none. Where the latter is not 0, it is the last row
    (``"rest"``: what the item's own embedding says). With ContentKNN the item keeps its neighbours. A modality that
    the item lacks has 0.

    Raises :class:`DataError` for more than 12 modalities, for other modalities than those of training and, where it can
    be seen, for other vectors.
    """
    names, features = _names(question.model, question.features), question.features
    if len(names) > MOST:
        raise DataError(f"{len(names)} modalities have {2 ** len(names):,} subsets; at most {MOST} can be explained")
    subsets = (np.arange(2 ** len(names))[:, None] >> np.arange(len(names))) % 2 == 1
    here = [bool(features.mask[m][question.item]) for m in names]
    contributions = table("modality", shapley(_WORTH[question.model.name](question, subsets & here)), names=names)
    rest = question.score - contributions["value"].sum()
    size = max(np.abs(contributions["value"]).sum(), abs(question.score))
    if question.model.name != "twotower" and abs(rest) > 1e-3 * size:
        raise DataError("features are not the item vectors that the model learned from: give the same to both")
    if abs(rest) > 1e-5 * size:
        contributions = pd.concat([contributions, table("rest", [rest], names=["the rest"])], ignore_index=True)
    return question.answer("modalities", "exact", contributions, additive=True)


def shapley(worth: np.ndarray) -> np.ndarray:
    """Shapley values, float64 ``(m,)``, from the worth of all ``2^m`` subsets; bit ``i`` of the index is player ``i``.

    Further axes are games side by side: ``(2^m, n)`` gives ``(m, n)``.

    >>> shapley(np.array([0.0, 1.0, 2.0, 5.0])).tolist()  # nobody, the first, the second, both
    [2.0, 3.0]
    """
    worth = np.asarray(worth, dtype=np.float64)
    m = len(worth).bit_length() - 1
    index = np.arange(len(worth))
    sizes = np.array([int(i).bit_count() for i in index])
    weights = np.array([factorial(s) * factorial(m - 1 - s) / factorial(m) for s in range(m)])
    values = []
    for player in range(m):
        without = index[(index >> player) % 2 == 0]
        values.append(weights[sizes[without]] @ (worth[without | (1 << player)] - worth[without]))
    return np.array(values)


def _names(model, features) -> list[str]:
    if model.name != "twotower":
        return list(features)
    if list(features) != model.modalities_:
        raise DataError(f"features have {', '.join(features)}; the model learned from {', '.join(model.modalities_)}")
    return model.modalities_


# -- the worth of subsets, (n_subsets,), given which modalities each leaves the item, (n_subsets, m) -----------------


def _two_tower(question: Question, subsets: np.ndarray) -> np.ndarray:
    model = question.model
    content = item_inputs(question)
    tensors = {m: x.expand(len(subsets), -1) for m, x in content.items()}
    vectors = model.item_content(tensors, as_masks(content, subsets)).detach().numpy()
    own = model.item_factors_[question.item] - vectors[-1]  # the last subset is everything
    return (own + vectors) @ rescoring.user_vector(model, question.user, question.history)


def _content_knn(question: Question, subsets: np.ndarray) -> np.ndarray:
    model, history = question.model, question.history
    x = joined(question.features, model.weights, model.scale == "standard")
    near = history[np.asarray(model.similarity_[[question.item]][:, history].toarray()[0] != 0)]
    products = x[near].sum(axis=0) * x[question.item]
    return subsets @ _by_modality(products, question.features)


def _content_profile(question: Question, subsets: np.ndarray) -> np.ndarray:
    model, history = question.model, question.history
    rows = rescoring.as_rows(history, model.n_items_, np.ones((1, len(history)), bool))
    profile = model.fold_in(rows)[0]
    return subsets @ _by_modality(profile * model.item_factors_[question.item], question.features)


_WORTH = {"twotower": _two_tower, "contentknn": _content_knn, "contentprofile": _content_profile}


def _by_modality(products: np.ndarray, features) -> np.ndarray:
    """Sums over the dimensions of each modality, ``(m,)``."""
    starts = np.cumsum([0, *features.dims.values()])[:-1]
    return np.add.reduceat(products.astype(np.float64), starts)


def item_inputs(question: Question) -> dict:
    """What a two-tower model sees of the item: modality to tensor ``(1, components)``."""
    import torch

    from ..models.multimodal import prepare

    prepared = prepare(question.features, question.model.components)
    return {m: torch.from_numpy(x[[question.item]]) for m, x in prepared.items()}


def as_masks(names, subsets: np.ndarray) -> dict:
    """Columns of ``(n, m)`` as boolean tensors by modality."""
    import torch

    return {m: torch.from_numpy(column.copy()) for m, column in zip(names, subsets.T, strict=True)}
