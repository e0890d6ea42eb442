"""Operators with attention: each modality is a token; missing ones are never looked at."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import at_least, whole
from ..errors import ParameterError
from .base import Fusion, even, masked_softmax, mlp, shares, stacked, through, weighted_sum


class Attention(nn.Module):
    """Scaled dot-product attention with several heads (Vaswani et al., 2017), zero where there is nothing to look at.

    Written out because the weights are needed, and because torch's own gives NaN for a row without any key. Heads
    have ``ceil(size / heads)`` dimensions, so that any number of heads goes with any size.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = whole("heads", heads)
        inner = heads * math.ceil(size / heads)
        self.query = nn.Linear(size, inner)
        self.key = nn.Linear(size, inner, bias=False)  # a bias would cancel in the softmax
        self.value = nn.Linear(size, inner)
        self.output = nn.Linear(inner, size, bias=False)

    def forward(self, asking: Tensor, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, q, size)`` look at ``(n, m, size)`` where ``present`` ``(n, m)``.

        Returns what they see, ``(n, q, size)``, and the weights, mean over the heads, ``(n, q, m)``.
        """
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, asking), (self.key, tokens), (self.value, tokens))
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = masked_softmax(scores, present[:, None, None, :])
        return self.output((weights @ value).transpose(1, 2).flatten(2)), weights.mean(dim=1)


class SelfAttention(Fusion):
    """Every present modality looks at all present ones; the fused vector is the mean of ``token + what it saw``.

    Weights: the attention that a modality got, mean over the present modalities and the heads.

    Parameters
    ----------
    heads : int, default 4
    """

    def __init__(self, dims, dim=64, heads=4) -> None:
        super().__init__(dims, dim)
        self.project = self._branches(lambda size: nn.Linear(size, dim))
        self.attention = Attention(dim, heads)

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        seen, weights = self.attention(tokens, tokens, present)
        each = even(present, tokens)
        return weighted_sum(tokens + seen, each), weighted_sum(weights, each)


class CrossAttention(Fusion):
    """One query looks at the modalities.

    With ``query=None`` it is a learned vector (as in the pooling of Lee et al., 2019), and what it sees in all
    present modalities is the fused vector; weights: its attention, mean over the heads.

    With the name of a modality, its token looks at the others (Tsai et al., 2019), and the fused vector is the token
    plus what it saw; where that modality is missing, the learned vector asks in its place. Weights: the token
    counts as much as all that it saw, one half each; it counts alone where the others are missing.

    Parameters
    ----------
    heads : int, default 4
    query : str, optional
    """

    def __init__(self, dims, dim=64, heads=4, query=None) -> None:
        super().__init__(dims, dim)
        if query is not None and query not in self.dims:
            raise ParameterError(f"query={query!r}: choose one of the modalities, {', '.join(self.dims)}, or None")
        self.query = query
        self.project = self._branches(lambda size: nn.Linear(size, dim))
        self.attention = Attention(dim, heads)
        self.learned = nn.Parameter(torch.randn(dim))

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        if self.query is None:
            seen, weights = self.attention(self.learned.expand(len(tokens), 1, -1), tokens, present)
            return seen.squeeze(1), weights.squeeze(1)
        position = list(self.dims).index(self.query)
        chosen = torch.arange(len(self.dims), device=present.device) == position
        asking = tokens[:, position, None]
        query = torch.where(present[:, position, None, None], asking, self.learned)
        seen, weights = self.attention(query, tokens, present & ~chosen)
        return (asking + seen).squeeze(1), shares(weights.squeeze(1) + chosen, present)


class Transformer(Fusion):
    """A small transformer over the modalities, read at a token of its own (CLS, as in Devlin et al., 2019).

    Each token is the projected vector plus a learned vector of its modality; the layers normalise first. Weights: how
    much of the tokens arrives at CLS, by attention rollout (Abnar and Zuidema, 2020), CLS itself left out.

    Parameters
    ----------
    layers : int, default 2
    heads : int, default 4
    hidden : int, optional
        Of the feed-forward part; twice the width if left out.
    width : int, optional
        Of the tokens, 4 at least (normalising takes two degrees of freedom away). Left out: ``dim``, or 16 if larger.
    dropout : float, default 0
    """

    def __init__(self, dims, dim=64, layers=2, heads=4, hidden=None, width=None, dropout=0.0) -> None:
        super().__init__(dims, dim)
        width = max(dim, 16) if width is None else whole("width", width, least=4)
        hidden = 2 * width if hidden is None else whole("hidden", hidden)
        whole("layers", layers)
        self.project = self._branches(lambda size: nn.Linear(size, width))
        self.modality = self._values(lambda: 0.02 * torch.randn(width))
        self.cls = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(
            _Block(width, heads, hidden, at_least("dropout", dropout, 0, below=1)) for _ in range(layers)
        )
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present) + stacked(self.modality)
        tokens = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], dim=1)
        visible = F.pad(present, (1, 0), value=True)
        flow = identity = torch.eye(tokens.shape[1], dtype=tokens.dtype, device=tokens.device)
        for block in self.blocks:
            tokens, weights = block(tokens, visible)
            flow = (weights + identity) / 2 @ flow
        return self.output(tokens[:, 0]), shares(flow[:, 0, 1:], present)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.forward_part = mlp(width, hidden, width, dropout)
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        normal = self.before_attention(tokens)
        seen, weights = self.attention(normal, normal, present)
        tokens = tokens + self.dropout(seen)
        return tokens + self.dropout(self.forward_part(self.before_forward(tokens))), weights
