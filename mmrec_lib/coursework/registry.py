"""Which assignments there are: every module ``aN.py`` of this package, loaded when it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import UnknownNameError

if TYPE_CHECKING:
    from .checking import Assignment


def keys() -> list[str]:
    """Keys of the assignments, in order: ``["a1", "a2", ...]``."""
    package = importlib.import_module(__package__)
    found = [m.name for m in pkgutil.iter_modules(package.__path__) if re.fullmatch(r"a\d+", m.name)]
    return sorted(found, key=lambda key: int(key[1:]))


def find(key: str) -> Assignment:
    """The assignment with this key, as in ``find("a1")``; raises :class:`UnknownNameError` if there is none."""
    if key not in keys():
        raise UnknownNameError("assignment", key, keys())
    return importlib.import_module(f"{__package__}.{key}").assignment


def assignments() -> pd.DataFrame:
    """All assignments: one row each (index: key) with title, number of tasks, points of the tests, and hours."""
    rows = {}
    for key in keys():
        known = find(key)
        low, high = known.hours
        rows[key] = (known.title, len(known.tasks), known.points, f"{low} to {high}")
    return pd.DataFrame.from_dict(rows, orient="index", columns=["title", "tasks", "points", "hours"])
