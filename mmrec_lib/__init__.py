"""Multimodal recommendation: models that learn from clicks and content, and honest measurement of both.

``import mmrec_lib as mm`` is cheap: every room (``mm.data``, ``mm.models``, ...) is loaded when it is first
used, and torch only when something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.5.0"

_ROOMS = (
    "coursework",
    "data",
    "datasets",
    "encoders",
    "errors",
    "evaluation",
    "explain",
    "fusion",
    "models",
    "newcomers",
    "plotting",
    "ranking",
    "serving",
    "simulation",
    "training",
)
# Functions that a notebook calls at its top, and where they live.
_FUNCTIONS = {"about": "training.device", "by_device": "training.device"}

if TYPE_CHECKING:  # for editors and type checkers; at run time the rooms load lazily
    from . import (
        coursework,
        data,
        datasets,
        encoders,
        errors,
        evaluation,
        explain,
        fusion,
        models,
        newcomers,
        plotting,
        ranking,
        serving,
        simulation,
        training,
    )
    from .training.device import about, by_device

__all__ = ["__version__", *_FUNCTIONS, *_ROOMS]


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; the rooms are {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
