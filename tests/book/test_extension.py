"""The extension of the book: measured tables in the chapters that show them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("sphinxcontrib.bibtex")
extension = runpy.run_path(str(ROOT / "tools" / "book_extension.py"))


@pytest.mark.parametrize("docname", extension["MEASURED"])
def test_a_measured_table_takes_the_place_of_its_mark(docname):
    mark, name, _, _ = extension["MEASURED"][docname]
    source = [(ROOT / f"{docname}.ipynb").read_text(encoding="utf-8")]
    assert source[0].count(mark) == 1
    extension["put_measured_table"](None, docname, source)
    assert mark not in source[0]
    cells = json.loads(source[0])["cells"]
    assert any("| --- |" in "".join(cell["source"]) for cell in cells)
    first = (ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8").splitlines()[0]
    assert not any(first in "".join(cell["source"]).splitlines() for cell in cells)  # the chapter has its own headings


def test_other_pages_stay_as_they_are():
    source = ["<!-- table of encoders -->"]
    extension["put_measured_table"](None, "intro", source)
    assert source == ["<!-- table of encoders -->"]
