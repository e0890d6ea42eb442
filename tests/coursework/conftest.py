"""A lecturer's own assignment, in a folder that the library finds."""

import nbformat
import pytest
from mmrec_coursework import CHECKS, INSTRUCTOR, TESTS, make


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder ``coursework/a90_sums`` of a lecturer's own assignment, which the library finds."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "a90.py").write_text(CHECKS, encoding="utf-8")
    monkeypatch.setenv("MMREC_COURSEWORK", str(tmp_path / "checks"))
    folder = tmp_path / "coursework" / "a90_sums"
    folder.mkdir(parents=True)
    (folder / "hidden_tests.py").write_text(TESTS, encoding="utf-8")
    nbformat.write(make(INSTRUCTOR), folder / "instructor.ipynb")
    return folder
