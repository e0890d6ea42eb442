"""What every operator of early fusion has in common: checked inputs, masks, weights; and small helpers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from ..checks import whole
from ..data import Features
from ..errors import FeatureError, ParameterError
from ..training import device as devices


class Fusion(nn.Module):
    """Base class: vectors of several modalities to one vector, for each row (item) on its own.

    A subclass makes its layers in the constructor, those of a single modality with :meth:`_branches` and
    :meth:`_values`, and writes ``_fuse(parts, present)``: ``parts`` is a list of tensors ``(n, d_m)``, zero where
    masked; ``present`` is boolean ``(n, n_modalities)``; both follow ``self.dims``, which is sorted by name, so that
    the order of a dict never matters. It returns the fused ``(n, dim)`` and the weights ``(n, n_modalities)``.

    Initial weights come from torch's generator; :func:`mmrec_lib.fusion.create` seeds it.

    Parameters
    ----------
    dims : dict
        Modality name to size of its vectors.
    dim : int, default 64
        Size of the fused vector.

    Raises
    ------
    ParameterError
        No modality, names that are no strings, sizes that are not whole numbers of at least 1.
    """

    def __init__(self, dims: Mapping[str, int], dim: int = 64) -> None:
        super().__init__()
        if not isinstance(dims, Mapping) or not dims or not all(isinstance(name, str) for name in dims):
            raise ParameterError(f'dims={dims!r}: give modality names and sizes, as in {{"text": 384, "image": 1280}}')
        self.dims = {name: whole(f"dims[{name!r}]", dims[name]) for name in sorted(dims)}
        self.dim = whole("dim", dim)

    def forward(
        self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor] | None = None, return_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Fuse the rows.

        Parameters
        ----------
        features
            Modality name to float tensor ``(n, d_m)``. A modality of ``dims`` that is left out counts as missing in
            all rows.
        mask
            Modality name to boolean ``(n,)``, False where the row lacks the modality; what stands in ``features``
            there has no influence, not even NaN. Left out: all are present.
        return_weights
            Also return how much each modality counted in each row (what this means, the class says).

        Returns
        -------
        Tensor (n, dim), or a pair with the weights (n, number of modalities in ``features``), in the order of
        ``features``: not negative, 0 where masked, with sum 1. A row without any modality has zeros in both.

        Raises
        ------
        FeatureError
            A modality that is not in ``dims``, a wrong size or type, different numbers of rows.
        """
        parts, present = self._inputs(features, mask or {})
        output, weights = self._fuse(parts, present)
        output = output.masked_fill(~present.any(dim=1, keepdim=True), 0.0)
        if not return_weights:
            return output
        order = list(self.dims)
        return output, weights[:, [order.index(name) for name in features]]

    def _fuse(self, parts: list[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.dims} to {self.dim}"

    def _branches(self, make: Callable[[int], nn.Module]) -> nn.ModuleDict:
        """A module for each modality, made from the size of its vectors."""
        return nn.ModuleDict({_key(name): make(size) for name, size in self.dims.items()})

    def _values(self, make: Callable[[], Tensor]) -> nn.ParameterDict:
        """A parameter for each modality."""
        return nn.ParameterDict({_key(name): nn.Parameter(make()) for name in self.dims})

    def _inputs(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        like = self._check(features, mask)
        everywhere = like.new_ones(len(like), dtype=torch.bool)
        parts, present = [], []
        for name, size in self.dims.items():
            vectors, here = like.new_zeros(len(like), size), ~everywhere
            if name in features:
                vectors, here = features[name], mask.get(name, everywhere)
            parts.append(vectors.masked_fill(~here[:, None], 0.0))
            present.append(here)
        return parts, torch.stack(present, dim=1)

    def _check(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        """Raise FeatureError for what does not fit, else return one of the tensors."""
        if not features:
            raise FeatureError(f"features hold no modality: give at least one of {', '.join(self.dims)}")
        for name in [*features, *mask]:
            if name not in self.dims:
                raise FeatureError(
                    f"modality {name!r} is unknown to this operator, which was made for {', '.join(self.dims)}: "
                    "leave it out, or make an operator with it in dims"
                )
        for name, vectors in features.items():
            if not isinstance(vectors, Tensor) or not vectors.is_floating_point():
                raise FeatureError(
                    f"features[{name!r}] must be a tensor of floats, got {_kind(vectors)}: "
                    "mm.fusion.as_tensors(features) makes them"
                )
            if vectors.ndim != 2 or vectors.shape[1] != self.dims[name]:
                raise FeatureError(
                    f"features[{name!r}] has shape {tuple(vectors.shape)}, expected (rows, {self.dims[name]}): "
                    "give such vectors, or make an operator with their size in dims"
                )
        rows = {name: len(vectors) for name, vectors in features.items()}
        if len(set(rows.values())) > 1:
            raise FeatureError(f"modalities have different numbers of rows: {rows}; mask rows that lack a modality")
        for name in features:
            here = mask.get(name)
            if name in mask and not (_kind(here) == "torch.bool" and here.shape == (rows[name],)):
                raise FeatureError(
                    f"mask[{name!r}] must be a boolean tensor of shape ({rows[name]},), True where the row has the "
                    f"modality; got {_kind(here)} {tuple(getattr(here, 'shape', ()))}"
                )
        return next(iter(features.values()))


def as_tensors(features: Features, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Vectors and masks of ``features`` as tensors (copies) on ``device``, for :meth:`Fusion.forward`.

    >>> vectors, mask = as_tensors(Features({"text": [[1.0], [2.0]]}, mask={"text": [True, False]}))
    >>> vectors["text"].tolist(), mask["text"].tolist()
    ([[1.0], [0.0]], [True, False])
    """
    place = devices.resolve(device)
    vectors = {name: torch.tensor(array, device=place) for name, array in features.items()}
    return vectors, {name: torch.tensor(features.mask[name], device=place) for name in features}


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's generator of the CPU inside the block, and put it back afterwards; ``None`` leaves it alone."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(whole("seed", seed, least=0))
        yield


# -- on tensors (n, n_modalities, ...) -------------------------------------------------------------------------------
def through(modules: nn.ModuleDict, parts: Iterable[Tensor], present: Tensor) -> Tensor:
    """Each part through the module of its modality: ``(n, n_modalities, size)``, zero where masked."""
    tokens = torch.stack([module(part) for module, part in zip(modules.values(), parts, strict=True)], dim=1)
    return tokens.masked_fill(~present[..., None], 0.0)


def stacked(values: nn.ParameterDict) -> Tensor:
    """The parameters of all modalities, one a row."""
    return torch.stack(list(values.values()))


def weighted_sum(tokens: Tensor, weights: Tensor) -> Tensor:
    """Sum over the modalities, ``(n, m, size)`` times ``(n, m)`` to ``(n, size)``."""
    return (tokens * weights[..., None]).sum(dim=1)


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the last axis among what is present; 0 elsewhere, and all 0 where nothing is."""
    lowest = torch.finfo(scores.dtype).min  # not -inf, which makes NaN of a row where nothing is present
    return scores.masked_fill(~present, lowest).softmax(dim=-1) * present


def even(present: Tensor, like: Tensor) -> Tensor:
    """Equal shares ``(n, m)`` of what is present, in the number format of ``like``."""
    return present.to(like.dtype) / present.sum(dim=1, keepdim=True).clamp(min=1)


def shares(amounts: Tensor, present: Tensor) -> Tensor:
    """Amounts ``(n, m)``, none negative, as shares of the row's sum over what is present; equal ones if it is 0."""
    amounts = amounts * present
    total = amounts.sum(dim=1, keepdim=True)
    return torch.where(total > 0, amounts / total.clamp(min=torch.finfo(total.dtype).tiny), even(present, amounts))


def norm_shares(tokens: Tensor, present: Tensor) -> Tensor:
    """Shares of the lengths of the tokens ``(n, m, size)``."""
    return shares(torch.linalg.vector_norm(tokens, dim=-1), present)


def mlp(size: int, hidden: int, dim: int, dropout: float) -> nn.Sequential:
    """One hidden layer with GELU and dropout."""
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))


def _kind(value) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _key(name: str) -> str:
    """Modality name to a key that torch takes: no dots, and none of the names that its containers use themselves."""
    return "of:" + name.replace("%", "%25").replace(".", "%2E")
