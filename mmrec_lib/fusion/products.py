"""Operators that multiply: low-rank bilinear fusion and the tensor product."""

from __future__ import annotations

import torch
from torch import nn

from ..checks import whole
from ..errors import ParameterError
from .base import Fusion, norm_shares, through

_LARGEST_PRODUCT = 20_000  # entries a row: with dim 64, already 1.3 million weights


class Bilinear(Fusion):
    """Low-rank multimodal fusion (Liu et al., 2018): the tensor product's linear layer as a sum of ``rank`` products.

    Each modality, with a 1 appended, is mapped to ``rank`` factors of size ``dim``; the factors of the modalities are
    multiplied elementwise, and the ``rank`` products are added with learned weights. A missing modality has the
    factor 1, so that the result is that of the others. The weight of the appended 1 (the bias) starts at 1.

    Weights: relative distances of the factors from 1, the neutral element.

    Parameters
    ----------
    rank : int, default 4
    """

    def __init__(self, dims, dim=64, rank=4) -> None:
        super().__init__(dims, dim)
        self.rank = whole("rank", rank)
        self.factors = self._branches(lambda size: nn.Linear(size, rank * dim))
        for factor in self.factors.values():
            nn.init.ones_(factor.bias)
        self.mix = nn.Parameter(torch.full((rank,), 1 / rank))
        self.bias = nn.Parameter(-torch.ones(dim))  # so that zero vectors give zero at first

    def _fuse(self, parts, present):
        factors = through(self.factors, parts, present).masked_fill(~present[..., None], 1.0)
        product = factors.prod(dim=1).unflatten(1, (self.rank, self.dim))
        output = (product * self.mix[:, None]).sum(dim=1) + self.bias
        return output, norm_shares(factors - 1, present)


class TensorProduct(Fusion):
    """Tensor fusion (Zadeh et al., 2017): the outer product of small projections, then a linear layer.

    Each modality is projected to ``width`` numbers with a 1 appended, so that the product holds every projection
    alone, every pair, every triple, ... A missing modality is (0, ..., 0, 1): the result is that of the others.

    Weights: relative lengths of the projections.

    Parameters
    ----------
    width : int, optional
        The product has ``(width + 1) ** n_modalities`` entries, 20,000 at most. Left out: 8, or what fits.

    Raises
    ------
    ParameterError
        A product that would be too large.
    """

    def __init__(self, dims, dim=64, width=None) -> None:
        super().__init__(dims, dim)
        size = len(self.dims)
        fitting = [w for w in range(1, 9) if (w + 1) ** size <= _LARGEST_PRODUCT]
        width = max(fitting, default=1) if width is None else whole("width", width)
        if (width + 1) ** size > _LARGEST_PRODUCT:
            remedy = f"set width={max(fitting)} or less, or take" if fitting else "take"
            raise ParameterError(
                f"the tensor product of {size} modalities with width={width} has {(width + 1) ** size:,} entries, "
                f'more than {_LARGEST_PRODUCT:,}: {remedy} "bilinear", its low-rank form'
            )
        self.project = self._branches(lambda size: nn.Linear(size, width))
        self.combine = nn.Linear((width + 1) ** size, dim, bias=False)  # the product of all ones is the bias

    def _fuse(self, parts, present):
        tokens = through(self.project, parts, present)
        product = tokens.new_ones(len(tokens), 1)
        for token in nn.functional.pad(tokens, (0, 1), value=1.0).unbind(dim=1):
            product = (product[:, :, None] * token[:, None, :]).flatten(1)
        return self.combine(product), norm_shares(tokens, present)
