"""Operators that are small networks: a joint encoder, separate encoders, experts, and a graph of modalities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..checks import at_least, whole
from .base import Fusion, even, mlp, norm_shares, stacked, through, weighted_sum
from .simple import Scalar


class Joint(Fusion):
    """A joint encoder (Ngiam et al., 2011): one network over all vectors put together.

    One hidden layer with GELU; an indicator with learned weights tells it what is missing. Weights: relative lengths
    of what the modalities add to the hidden layer.

    Parameters
    ----------
    hidden : int, default 128
    dropout : float, default 0
    """

    def __init__(self, dims, dim=64, hidden=128, dropout=0.0) -> None:
        super().__init__(dims, dim)
        whole("hidden", hidden)
        # the columns of the first layer, divided by modality
        self.enter = self._branches(lambda size: nn.Linear(size, hidden, bias=False))
        self.missing = self._values(lambda: 0.02 * torch.randn(hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.leave = nn.Sequential(
            nn.GELU(), nn.Dropout(at_least("dropout", dropout, 0, below=1)), nn.Linear(hidden, dim)
        )

    def _fuse(self, parts, present):
        added = through(self.enter, parts, present)
        hidden = torch.where(present[..., None], added, stacked(self.missing)).sum(dim=1) + self.bias
        return self.leave(hidden), norm_shares(added, present)


class Separate(Scalar):
    """An encoder for each modality (one hidden layer, GELU) and a late head: learned weights over their outputs.

    The modalities meet only in the weighted mean. Weights: those of the head, a softmax over the present.

    Parameters
    ----------
    hidden : int, default 128
    dropout : float, default 0
    """

    def __init__(self, dims, dim=64, hidden=128, dropout=0.0) -> None:
        super().__init__(dims, dim)
        whole("hidden", hidden)
        at_least("dropout", dropout, 0, below=1)
        self.project = self._branches(lambda size: mlp(size, hidden, dim, dropout))


class Experts(Fusion):
    """A mixture of experts (Jacobs et al., 1991): several networks over all modalities, and a gate that weighs them.

    Experts and gate see the sum of the projected vectors; a missing modality adds nothing. Weights: relative lengths
    of the projected vectors.

    Parameters
    ----------
    experts : int, default 4
    hidden : int, default 64
        Hidden units of each expert.
    dropout : float, default 0
    """

    def __init__(self, dims, dim=64, experts=4, hidden=64, dropout=0.0) -> None:
        super().__init__(dims, dim)
        whole("hidden", hidden)
        at_least("dropout", dropout, 0, below=1)
        self.project = self._branches(lambda size: nn.Linear(size, dim))
        self.experts = nn.ModuleList(mlp(dim, hidden, dim, dropout) for _ in range(whole("experts", experts)))
        self.gate = nn.Linear(dim, experts)

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        joint = tokens.sum(dim=1)
        opinions = torch.stack([expert(joint) for expert in self.experts], dim=1)
        return weighted_sum(opinions, self.gate(joint).softmax(dim=-1)), norm_shares(tokens, present)


class Graph(Fusion):
    """A graph for each item, with a node for each present modality (message passing as in Gilmer et al., 2017).

    In each layer a node hears the mean of the other present nodes and changes by ``GELU(A node + B mean + c)``; the
    fused vector is the mean of the nodes. Weights: relative lengths of the nodes after the last layer.

    Parameters
    ----------
    layers : int, default 2
    """

    def __init__(self, dims, dim=64, layers=2) -> None:
        super().__init__(dims, dim)
        whole("layers", layers)
        self.project = self._branches(lambda size: nn.Linear(size, dim))
        self.own = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.others = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(layers))

    def _fuse(self, parts, present):
        nodes = through(self.project, parts, present)
        n_others = (present.sum(dim=1)[:, None, None] - 1).clamp(min=1)
        for own, others in zip(self.own, self.others, strict=True):
            heard = (nodes.sum(dim=1, keepdim=True) - nodes) / n_others
            nodes = (nodes + F.gelu(own(nodes) + others(heard))).masked_fill(~present[..., None], 0.0)
        return weighted_sum(nodes, even(present, nodes)), norm_shares(nodes, present)
