"""The networks of an alignment; apart from it, so that torch loads only when one is trained or used."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...training import losses


class Head(nn.Module):
    """Centred vectors of one modality to unit vectors of the common space."""

    def __init__(self, dim_in: int, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim_in))
        self.register_buffer("size", torch.ones(()))
        if hidden:
            layers = [nn.Linear(dim_in, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)]
        else:
            layers = [nn.Dropout(dropout), nn.Linear(dim_in, dim)]
        self.layers = nn.Sequential(*layers)

    def centre(self, vectors: Tensor) -> None:
        """Take mean and root mean square length from what is learned from: the same scale for every modality, and
        no direction that all items share (pretrained spaces have one, and in a cosine it drowns the others)."""
        self.mean = vectors.mean(dim=0)
        self.size = (vectors - self.mean).square().sum(dim=1).mean().sqrt().clamp_min(1e-12)

    def forward(self, vectors: Tensor) -> Tensor:
        return F.normalize(self.layers((vectors - self.mean) / self.size), dim=1)


class Heads(nn.Module):
    """A head for each modality, and the loss with its scale and bias where they are learned."""

    def __init__(self, dims: list[int], dim: int, hidden: int, dropout: float, loss: str, temperature: float) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(dim_in, dim, hidden, dropout) for dim_in in dims)
        self.temperature = temperature
        self.scale_and_bias = nn.ParameterDict()
        if loss == "siglip":  # the scale as a logarithm, so that it stays positive (Zhai et al., 2023)
            start = {"log_scale": -math.log(temperature), "bias": -10.0}
            self.scale_and_bias.update({k: nn.Parameter(torch.tensor(v)) for k, v in start.items()})

    def loss(self, a: Tensor, b: Tensor, groups: Tensor | None) -> Tensor:
        if not self.scale_and_bias:
            return losses.info_nce(a, b, self.temperature, groups)
        scale, bias = self.scale_and_bias["log_scale"].exp(), self.scale_and_bias["bias"]
        return losses.siglip(a, b, scale, bias, groups)
