"""Assignments for nbgrader and Otter: the metadata that it reads, and points from hidden tests inside a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import mmrec_lib as mm
from mmrec_lib.coursework import export, notebooks
from mmrec_lib.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path for path in (ROOT / "coursework").glob("a*_*") if (path / "hidden_tests.py").exists())
TESTS = """
import pytest

@pytest.mark.task(2)
def test_right(space):
    assert space["recall"] == 1

@pytest.mark.task(2)
def test_work(work):
    assert work is None

@pytest.mark.task(2)
def test_wrong(space):
    assert space["recall"] == 2, "not two"

@pytest.mark.task(3)
def test_of_another_task(space):
    raise ValueError
"""


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda path: path.name)
def folder(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def made(folder):
    return export.for_nbgrader(folder)


def marked(notebook) -> dict:
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


def test_every_task_has_its_points_and_every_question_too(folder, made):
    known = mm.coursework.find(folder.name.partition("_")[0])
    cells = marked(made)
    worth = {name: cell.metadata.nbgrader.points for name, cell in cells.items() if cell.metadata.nbgrader.grade}
    assert {f"points-{n}": task.points for n, task in known.tasks.items()}.items() <= worth.items()
    questions = [points for name, points in worth.items() if name.startswith("written-")]
    assert len(questions) >= 2
    assert all(2 <= points <= 15 for points in questions)
    assert len(worth) == len(known.tasks) + len(questions)


def test_each_cell_is_of_a_kind_that_nbgrader_knows(made):
    kinds = {  # solution, grade, locked
        "task": (True, False, False), "points": (False, True, True), "written": (True, True, False),
    }  # fmt: skip
    for name, cell in marked(made).items():
        told = cell.metadata.nbgrader
        assert (told.solution, told.grade, told.locked) == kinds[name.partition("-")[0]], name
        assert (told.schema_version, told.task) == (3, False)
        assert ("points" in told) == told.grade


def test_solutions_stand_in_solution_cells_and_tests_are_hidden(made):
    nbformat.validate(made)
    for cell in made.cells:
        told = cell.metadata.get("nbgrader", {})
        assert "instructor" not in notebooks.tags(cell)
        assert (notebooks.BEGIN in cell.source) <= told.get("solution", False)
        if str(told.get("grade_id")).startswith("points-"):
            lines = cell.source.splitlines()
            assert (lines[1], lines[-1]) == ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
            assert lines[0].startswith("# The points of task")
            compile(cell.source, "cell", "exec")


def test_blocks_for_otter_open_and_close_in_turns(folder):
    made = export.for_otter(folder)
    nbformat.validate(made)
    open_blocks, names = [], []
    for cell in made.cells:
        assert notebooks.BEGIN not in cell.source, "of our own form"
        assert "instructor" not in notebooks.tags(cell)
        if cell.cell_type == "raw":
            side, _, kind = cell.source.splitlines()[0].removeprefix("# ").partition(" ")
            if side == "BEGIN":
                assert (kind == "QUESTION") == (not open_blocks), "a question holds solutions and tests"
                open_blocks.append(kind)
                names += [line.partition(": ")[2] for line in cell.source.splitlines() if line.startswith("name:")]
            elif side == "END":
                assert open_blocks.pop() == kind
        elif cell.id.startswith("points-"):
            assert open_blocks == ["QUESTION", "TESTS"]
            compile(cell.source, "cell", "exec")
        elif "# BEGIN SOLUTION" in cell.source or notebooks.number(cell, "written") is not None:
            assert open_blocks == ["QUESTION", "SOLUTION"]
    assert not open_blocks
    known = mm.coursework.find(folder.name.partition("_")[0])
    assert {f"task{n}" for n in known.tasks} <= set(names)
    assert len(set(names)) == len(names)


def test_the_text_of_the_tests_comes_back_whole(folder, made):
    first = min(int(name.partition("-")[2]) for name in marked(made) if name.startswith("points-"))
    source = marked(made)[f"points-{first}"].source.rpartition("\nexport.points")[0]
    names: dict = {}
    exec(source, names)
    assert names["hidden_tests"] == (folder / "hidden_tests.py").read_text(encoding="utf-8")


def test_points_are_shared_by_the_tests_of_the_task(tmp_path):
    """6 points, two of three tests pass: 4. In a process of its own, for a test runs inside a test otherwise."""
    (tmp_path / "tests.txt").write_text(TESTS)
    code = (
        "from mmrec_lib.coursework.export import points; from pathlib import Path\n"
        "tests = Path('tests.txt').read_text()\n"
        "got = [points('a6', task, {'recall': 1}, tests) for task in (2, 3, 4)]\n"
        "print(got, sorted(p.name for p in Path('.').iterdir()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[4.0, 0.0, 0.0] ['tests.txt']"
    assert not done.stderr


def test_a_question_without_points_is_named(tmp_path):
    folder = tmp_path / "a6_service"
    notebook = notebooks.read(ROOT / "coursework" / "a6_service" / "instructor.ipynb")
    for cell in notebook.cells:
        cell.source = cell.source.replace(" points, 20 minutes", ", 20 minutes")
    notebooks.write(notebook, folder / "instructor.ipynb")
    (folder / "hidden_tests.py").write_text(TESTS)
    with pytest.raises(DataError, match="a written question without points"):
        export.for_nbgrader(folder)


def test_from_the_command_line(tmp_path, capsys):
    target = tmp_path / "source" / "a6" / "a6.ipynb"
    assert export.main(["nbgrader", str(ROOT / "coursework" / "a6_service"), str(target)]) == 0
    assert marked(notebooks.read(target))["points-4"].metadata.nbgrader.points == 8
    assert export.main(["otter", str(ROOT / "coursework" / "a6_service"), str(tmp_path / "a6.ipynb")]) == 0
    assert (tmp_path / "hidden_tests.py").is_file()
    assert export.main(["moodle", "a", "b"]) == export.main([]) == 2
    assert "nbgrader|otter" in capsys.readouterr().err
