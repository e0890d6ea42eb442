"""The check of other versions finds what it is there for (``tools/environments.py``; `make colab` runs it in full)."""

from __future__ import annotations

import json
import multiprocessing
import runpy
from pathlib import Path

import pytest
import torch  # noqa: F401 - before the processes are forked, so that it is read once

ROOT = Path(__file__).resolve().parents[2]
tool = runpy.run_path(str(ROOT / "tools" / "environments.py"))
SETUP = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))["setup_source"]()
LOAD = "import mmrec_lib as mm\nclicks, items = mm.datasets.load_open_bandit()"


def notebook(path: Path, *sources: str) -> Path:
    cells = [{"cell_type": "markdown", "source": ["# 00 Title"]}]
    cells += [{"cell_type": "code", "source": source.splitlines(keepends=True)} for source in sources]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def start(path: Path) -> str | None:
    """In a process of its own, as the tool does it."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(run_start, (path,))


def run_start(path: Path) -> str | None:
    return tool["start"](path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('data = mm.datasets.load("stamps")', True),
        ("def f():\n    return mmrec_lib.datasets.load_folder(shop)", True),
        ("log, items = datasets.load_open_bandit()", True),
        ('print("mm.datasets.load")', False),
        ("mm.datasets.show_items(data, few)", False),
        ("model = mm.models.load(path)", False),
        ("this is no Python", False),
    ],
)
def test_which_cell_loads_data(source, expected):
    assert tool["loads_data"](source) is expected


def test_cells_up_to_the_first_that_loads_data(tmp_path):
    cells = json.loads(notebook(tmp_path / "a.ipynb", SETUP, "%matplotlib inline", LOAD, "1 / 0").read_text())
    assert tool["first_cells"](cells) == [SETUP, "%matplotlib inline", LOAD]
    with pytest.raises(ValueError, match="no cell calls"):
        tool["first_cells"]({"cells": cells["cells"][:2]})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('install -q "mmrec-lib[encoders,serve] @ git+https://host/owner/name@main"', None),
        ('install -q "mmrec-lib[encodres] @ git+https://host/owner/name@main"', "encodres"),
        ('install -q "mmrec-lib[encoders] @ git+https://host/owner/name@main', "No closing quotation"),
        ("install -q fastapi uvicorn", "one requirement"),
        ("install -q mmrec-lib", "no address"),
        ("list", "expected install"),
    ],
)
def test_requirement_of_the_setup_cell(line, problem):
    found = tool["wrong_with"](line)
    assert found is None if problem is None else problem in found


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ([SETUP, LOAD, "1 / 0"], None),
        ([SETUP.replace("import mmrec_lib as mm\n", "import mmrec_lib as\n"), LOAD], "cell 1: SyntaxError"),
        ([SETUP.replace("mm.about()", "mm.about_()"), LOAD], "cell 1: AttributeError"),
        ([SETUP, "import numpy.nothing", LOAD], "cell 2: ModuleNotFoundError"),
        (["pass", LOAD], "the set-up cell installed []"),
    ],
    ids=["right", "syntax", "name", "import", "no set-up"],
)
def test_what_is_wrong_is_found(tmp_path, sources, problem):
    found = start(notebook(tmp_path / "a.ipynb", *sources))
    assert found is None if problem is None else problem in found


def test_chapters_by_what_they_install(tmp_path):
    paths = [notebook(tmp_path / f"{n}.ipynb", f'%pip install -q "mmrec-lib[{e}] @ git+https://h/o/n@main"')
             for n, e in (("a", "encoders,serve"), ("b", "encoders"), ("c", "encoders"))]  # fmt: skip
    assert tool["by_extras"](paths) == {"encoders": paths[1:], "encoders,serve": paths[:1]}
    with pytest.raises(SystemExit, match="make links"):
        tool["by_extras"]([notebook(tmp_path / "d.ipynb", "pass")])


def test_data_are_there_and_vectors_are_not(tmp_path, monkeypatch):
    for name in ("stamps", "features"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "file").write_text("there")
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path / "cache"))
    place = tool["_data_without_vectors"](tmp_path / "data")
    assert [path.name for path in place.iterdir()] == ["stamps"]
    assert (place / "stamps" / "file").read_text() == "there"
