"""Vectors of several modalities to one (early fusion), scores of several models to one (:mod:`~mmrec_lib.fusion.late`).

``available()`` lists the operators of early fusion, ``create(name, dims, dim)`` makes one: an ``nn.Module`` that turns
the vectors of an item into a single one and bears any of them missing. The parts load when first used, so that torch
does not load before.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from .base import Fusion, as_tensors

# Name to (module, class).
_REGISTRY = {
    "sum": ("simple", "Sum"),
    "mean": ("simple", "Mean"),
    "concat": ("simple", "Concat"),
    "scalar": ("simple", "Scalar"),
    "gate": ("simple", "Gate"),
    "bilinear": ("products", "Bilinear"),
    "tensor": ("products", "TensorProduct"),
    "experts": ("networks", "Experts"),
    "joint": ("networks", "Joint"),
    "separate": ("networks", "Separate"),
    "graph": ("networks", "Graph"),
    "selfattention": ("attention", "SelfAttention"),
    "crossattention": ("attention", "CrossAttention"),
    "transformer": ("attention", "Transformer"),
}
_PARTS = ("attention", "base", "late", "missing", "networks", "products", "simple")

__all__ = ["Fusion", "as_tensors", "available", "create", "get_class", *_PARTS]


def available() -> list[str]:
    """Names of all operators of early fusion, for :func:`create`."""
    return sorted(_REGISTRY)


def get_class(name: str) -> type[Fusion]:
    """The class behind a name; case, hyphens and underscores do not matter (``"Self-Attention"``)."""
    key = str(name).lower().replace("-", "").replace("_", "")
    if key not in _REGISTRY:
        raise UnknownNameError("fusion operator", name, _REGISTRY)
    module, cls = _REGISTRY[key]
    return getattr(importlib.import_module(f"{__name__}.{module}"), cls)


def create(name: str, dims: Mapping[str, int], dim: int = 64, seed: int | None = 0, **options) -> Fusion:
    """Make an operator by name, on the CPU.

    Parameters
    ----------
    name
        One of :func:`available`.
    dims
        Modality name to size of its vectors, as in ``features.dims``. The order does not matter.
    dim
        Size of the fused vector.
    seed
        Of the initial weights; ``None`` draws them from torch's generator as it stands. Two operators of one model
        need different seeds, or ``None``, or they start alike.
    options
        Settings of the operator's class (heads, layers, hidden, ...); the rest keep their defaults.

    Raises
    ------
    UnknownNameError, ParameterError
        No such operator; a setting that it does not have, or a value that makes no sense.

    >>> create("gate", {"text": 384, "image": 1280}).extra_repr()
    "{'image': 1280, 'text': 384} to 64"
    """
    cls = get_class(name)
    known = [p for p in inspect.signature(cls.__init__).parameters if p not in ("self", "dims", "dim")]
    for option in options:
        if option not in known:
            raise ParameterError(f"{cls.__name__} has no setting {option!r}; it has {', '.join(known) or 'none'}")
    from .base import seeded

    with seeded(seed):
        return cls(dims, dim, **options)


def __getattr__(name: str):
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in ("Fusion", "as_tensors"):
        return getattr(importlib.import_module(f"{__name__}.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
