"""Losses on scores: small functions of tensors, each the mean over the batch.

``positive`` are scores of observed pairs, shape ``(batch,)``; ``negative`` are scores of ``m`` unobserved items for
the same users, shape ``(batch, m)``. Shapes are checked, because a batch broadcast against itself trains in silence.
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


def mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of predictions and ratings of the same shape."""
    if predicted.shape != target.shape:
        raise ParameterError(f"mse: predictions {tuple(predicted.shape)} and targets {tuple(target.shape)} must agree")
    return (predicted - target).square().mean()


def _check(positive: Tensor, negative: Tensor) -> None:
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative):
        raise ParameterError(
            f"scores must have shapes (batch,) and (batch, m); got {tuple(positive.shape)}, {tuple(negative.shape)}"
        )
