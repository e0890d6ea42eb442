"""Losses, negative sampling, sparse graphs, the training loop, and the search for hyperparameters.

The parts load when first used, so that models without gradients do not wait for torch.
"""

from __future__ import annotations

import importlib

_PARTS = ("device", "graph", "loop", "losses", "sampling", "validation")

__all__ = [*_PARTS, "search"]


def __getattr__(name: str):
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "search":
        from .tuning import search

        return search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
