"""Losses on scores and on vectors: small functions of tensors, each the mean over the batch.

``positive`` are scores of observed pairs, shape ``(batch,)``; ``negative`` are scores of ``m`` unobserved items for
the same users, shape ``(batch, m)``. ``a`` and ``b`` are vectors of two modalities, shape ``(batch, dim)``: row ``i``
of one belongs to row ``i`` of the other, and the other rows of the batch are its negatives. Shapes are checked, because
a batch broadcast against itself trains in silence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ParameterError


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking: mean of ``-log sigmoid(positive - negative)``.

    Rendle et al., 2009. Small when every observed item scores above the items drawn against it.
    """
    _check(positive, negative)
    return F.softplus(negative - positive[:, None]).mean()


def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of logits, label 1 for ``positive`` and 0 for ``negative``: mean over all of them."""
    _check(positive, negative)
    total = F.softplus(-positive).sum() + F.softplus(negative).sum()
    return total / (positive.numel() + negative.numel())


def sampled_softmax(
    positive: Tensor, negative: Tensor, log_q_positive: Tensor | None = None, log_q_negative: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the observed item among itself and its negatives.

    With ``log_q_positive`` ``(batch,)`` and ``log_q_negative`` ``(batch, m)``, the log probabilities with which the
    sampler draws these items, scores are corrected by subtracting them, so that popular items, drawn more often, are
    not pushed down for that (Bengio and Senécal, 2008; Yi et al., 2019). Give both or none.
    """
    _check(positive, negative)
    if (log_q_positive is None) != (log_q_negative is None):
        raise ParameterError("sampled_softmax: give log_q_positive and log_q_negative, or neither")
    if log_q_positive is not None:
        positive, negative = positive - log_q_positive, negative - log_q_negative
    logits = torch.cat([positive[:, None], negative], dim=1)
    return (logits.logsumexp(dim=1) - positive).mean()


def in_batch_softmax(scores: Tensor, items: Tensor, log_q: Tensor | None = None) -> Tensor:
    """Cross-entropy of each pair's own item among the items of the whole batch.

    ``scores[a, b]`` is the score of user ``a`` and item ``b`` of the batch, so the pairs are on the diagonal; ``items``
    ``(batch,)`` are the items' codes. Where another pair has the same item, it is no negative and is left out. A batch
    holds popular items more often than others; ``log_q`` ``(batch,)``, the log probability that an entry of the batch
    is this item, is subtracted from the scores to make up for it (Yi et al., RecSys 2019).
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or items.shape != scores.shape[:1]:
        raise ParameterError(
            f"scores must be (batch, batch) and items (batch,); got {tuple(scores.shape)}, {tuple(items.shape)}"
        )
    if log_q is not None:
        scores = scores - log_q
    same = items[:, None] == items
    same.fill_diagonal_(False)
    scores = scores.masked_fill(same, float("-inf"))
    return (scores.logsumexp(dim=1) - scores.diagonal()).mean()


def mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of predictions and ratings of the same shape."""
    if predicted.shape != target.shape:
        raise ParameterError(f"mse: predictions {tuple(predicted.shape)} and targets {tuple(target.shape)} must agree")
    return (predicted - target).square().mean()


def info_nce(a: Tensor, b: Tensor, temperature: float | Tensor = 0.1, groups: Tensor | None = None) -> Tensor:
    """Each row picks its partner among all of the batch: mean cross-entropy of both directions, a to b and b to a.

    The scores are scalar products divided by ``temperature``; they are cosines for vectors of length 1, see
    :func:`torch.nn.functional.normalize`. InfoNCE: van den Oord et al., 2018; in this symmetric form CLIP: Radford et
    al., 2021.

    ``groups`` ``(batch,)`` are numbers of the contents: rows with the same number (two items with the same sentence)
    are no negatives of each other. Or bool ``(batch, batch)``: which row of a is no negative of which row of b.
    Default: all rows differ.
    """
    logits = _all_pairs(a, b) / temperature
    if groups is not None:
        logits = logits.masked_fill(_twins(a, groups), -torch.inf)
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def siglip(
    a: Tensor, b: Tensor, scale: float | Tensor = 10.0, bias: float | Tensor = -10.0, groups: Tensor | None = None
) -> Tensor:
    """Each of the ``batch ** 2`` pairs for itself: do the two belong together, yes or no?

    Sum of ``log(1 + exp(-y (scale * a @ b + bias)))`` over all pairs, with ``y`` 1 for a pair and -1 otherwise, divided
    by the number of rows (SigLIP: Zhai et al., 2023; scale and bias are learned there, from the defaults here). The
    negative bias stands for the many pairs that do not belong together. ``groups``: see :func:`info_nce`.
    """
    logits = scale * _all_pairs(a, b) + bias
    sign = 2 * torch.eye(len(a), device=a.device) - 1
    values = F.softplus(-sign * logits)
    if groups is not None:
        values = values.masked_fill(_twins(a, groups), 0.0)
    return values.sum() / len(a)


def _all_pairs(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim != 2 or a.shape != b.shape or not len(a):
        raise ParameterError(f"vectors must both have shape (batch, dim); got {tuple(a.shape)} and {tuple(b.shape)}")
    return a @ b.T


def _twins(a: Tensor, groups: Tensor) -> Tensor:
    """Pairs of different rows that are no negatives of each other: ``(batch, batch)``, bool."""
    if groups.shape not in ((len(a),), (len(a), len(a))):
        raise ParameterError(f"groups must have shape ({len(a)},), one number a row; got {tuple(groups.shape)}")
    same = groups[:, None] == groups if groups.ndim == 1 else groups.bool().clone()
    return same.fill_diagonal_(False)


def _check(positive: Tensor, negative: Tensor) -> None:
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative):
        raise ParameterError(
            f"scores must have shapes (batch,) and (batch, m); got {tuple(positive.shape)}, {tuple(negative.shape)}"
        )
