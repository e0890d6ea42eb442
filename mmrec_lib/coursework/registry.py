"""Which assignments there are: every ``aN.py`` of this package and of the folder that ``MMREC_COURSEWORK`` names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import UnknownNameError

if TYPE_CHECKING:
    from .checking import Assignment


def files() -> dict[str, Path]:
    """Key to file of the checks, in order: ``{"a1": .../a1.py, ...}``.

    The environment variable ``MMREC_COURSEWORK`` names a folder with more of them, a lecturer's own; a key of the
    library stays the library's.
    """
    folders = [os.environ.get("MMREC_COURSEWORK"), Path(__file__).parent]
    found = {path.stem: path for folder in folders if folder for path in Path(folder).glob("a*.py")}
    known = [key for key in found if re.fullmatch(r"a\d+", key)]
    return {key: found[key] for key in sorted(known, key=lambda key: int(key[1:]))}


def find(key: str) -> Assignment:
    """The assignment with this key, as in ``find("a1")``; raises :class:`UnknownNameError` if there is none."""
    known = files()
    if key not in known:
        raise UnknownNameError("assignment", key, known)
    if known[key].parent == Path(__file__).parent:
        return importlib.import_module(f"{__package__}.{key}").assignment
    name = f"mmrec_coursework_{key}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, known[key])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name].assignment


def assignments() -> pd.DataFrame:
    """All assignments: one row each (index: key) with title, number of tasks, points of the tests, and hours."""
    rows = {}
    for key in files():
        known = find(key)
        low, high = known.hours
        rows[key] = (known.title, len(known.tasks), known.points, f"{low} to {high}")
    return pd.DataFrame.from_dict(rows, orient="index", columns=["title", "tasks", "points", "hours"])
