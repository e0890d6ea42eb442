"""Operators that add: sum, mean, concatenation, and weights that are learned once or found for each item."""

from __future__ import annotations

import torch
from torch import nn

from ..checks import whole
from .base import Fusion, even, masked_softmax, norm_shares, stacked, through, weighted_sum


class Sum(Fusion):
    """A linear projection for each modality, then the sum over those present. Weights: equal shares."""

    def __init__(self, dims, dim=64) -> None:
        super().__init__(dims, dim)
        self.project = self._branches(lambda size: nn.Linear(size, dim))

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        return tokens.sum(dim=1), even(present, tokens)


class Mean(Sum):
    """A linear projection for each modality, then the mean over those present. Weights: equal shares."""

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        weights = even(present, tokens)
        return weighted_sum(tokens, weights), weights


class Scalar(Sum):
    """The mean with one learned weight a modality: a softmax over those present (as the layers of Peters et al., 2018).

    It starts as the mean. Weights: these.
    """

    def __init__(self, dims, dim=64) -> None:
        super().__init__(dims, dim)
        self.logits = self._values(lambda: torch.zeros(()))

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        weights = masked_softmax(stacked(self.logits).expand(present.shape), present)
        return weighted_sum(tokens, weights), weights


class Gate(Sum):
    """Weights for each item: a small network looks at the present vectors (after Arevalo et al., 2017).

    The projected vectors ``t`` go into a hidden layer, ``h = tanh(sum of G_m t_m)``; the weights are the softmax of
    ``s_m h + c_m`` over the present modalities. Weights: these.

    Parameters
    ----------
    hidden : int, default 32
        Size of ``h``.
    """

    def __init__(self, dims, dim=64, hidden=32) -> None:
        super().__init__(dims, dim)
        whole("hidden", hidden)
        self.look = self._branches(lambda size: nn.Linear(dim, hidden))
        self.judge = self._branches(lambda size: nn.Linear(hidden, 1))

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        hidden = through(self.look, tokens.unbind(dim=1), present).sum(dim=1).tanh()
        scores = through(self.judge, [hidden] * len(parts), present).squeeze(-1)
        weights = masked_softmax(scores, present)
        return weighted_sum(tokens, weights), weights


class Concat(Fusion):
    """The projected vectors side by side, then one linear layer over all of them.

    The part of a missing modality is zero, and an indicator with learned weights says that it is missing. All is
    linear: apart from the indicators, it can express what the sum can. Weights: relative lengths of what the parts
    add to the fused vector.

    Parameters
    ----------
    width : int, optional
        Size of each part; ``dim`` if left out.
    """

    def __init__(self, dims, dim=64, width=None) -> None:
        super().__init__(dims, dim)
        width = dim if width is None else whole("width", width)
        self.project = self._branches(lambda size: nn.Linear(size, width))
        # the columns of the one linear layer, divided by modality
        self.combine = self._branches(lambda size: nn.Linear(width, dim, bias=False))
        self.missing = self._values(lambda: 0.02 * torch.randn(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        added = through(self.combine, tokens.unbind(dim=1), present)
        output = torch.where(present[..., None], added, stacked(self.missing)).sum(dim=1) + self.bias
        return output, norm_shares(added, present)
