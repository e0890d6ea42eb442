"""Where data come from: ``load(name)`` for known data sets, ``load_folder`` and ``load_benchmark`` for your own."""

from __future__ import annotations

import importlib

from ..data import Dataset
from ..errors import UnknownNameError
from .amazon2023 import load as load_amazon_2023
from .benchmark import load_benchmark
from .folder import load_folder
from .open_bandit import load_open_bandit
from .pictures import fetch_pictures
from .show import show_items, thumbnail

# Name to module of this package; each has a function load(**options).
_REGISTRY = {"amazon-2023": "amazon2023", "ml-100k": "movielens", "stamps": "stamps"}

__all__ = [
    "available",
    "fetch_pictures",
    "load",
    "load_amazon_2023",
    "load_benchmark",
    "load_folder",
    "load_open_bandit",
    "show_items",
    "thumbnail",
]


def available() -> list[str]:
    """Names of the data sets that :func:`load` knows."""
    return sorted(_REGISTRY)


def load(name: str, **options) -> Dataset:
    """Load a data set by name; the first time it is obtained and checked, then it is read from the cache.

    ``options`` are those of the data set's own module: :func:`mmrec_lib.datasets.amazon2023.load`,
    :func:`mmrec_lib.datasets.movielens.load`, :func:`mmrec_lib.datasets.stamps.load`. Raises
    :class:`UnknownNameError`, and :class:`DownloadError` when the files cannot be obtained.
    """
    if name not in _REGISTRY:
        raise UnknownNameError("data set", name, _REGISTRY)
    return importlib.import_module(f"{__name__}.{_REGISTRY[name]}").load(**options)
