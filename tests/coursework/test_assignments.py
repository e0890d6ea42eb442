"""What every assignment promises: an open student version, a solution with all points, wrong answers noticed."""

from __future__ import annotations

import re
import runpy
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib import cli
from mmrec_lib.coursework import grading, notebooks

ROOT = Path(__file__).resolve().parents[2]
tool = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))
FOLDERS = sorted(path for path in (ROOT / "coursework").glob("a*_*") if path.is_dir())


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda path: path.name)
def folder(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def assignment(folder):
    return mm.coursework.find(folder.name.partition("_")[0])


@pytest.fixture(scope="module")
def instructor(folder):
    return notebooks.read(folder / "instructor.ipynb")


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_assignment_has_a_folder_and_every_folder_an_assignment():
    listed = mm.coursework.assignments()
    assert [path.name.partition("_")[0] for path in FOLDERS] == listed.index.tolist()
    assert (listed["points"] > 0).all()
    assert listed["title"].is_unique


def test_table_of_the_readme(folder, assignment):
    text = (ROOT / "coursework" / "README.md").read_text(encoding="utf-8")
    low, high = assignment.hours
    row = rf"\| `{assignment.key}` \| \[{re.escape(assignment.title)}\]\({folder.name}/student.ipynb\) \| \d+ \| "
    assert re.search(rf"{row}{low} to {high} \|", text), f"{assignment.title}, {low} to {high} hours"


def test_student_version_is_what_the_tool_makes(folder, instructor):
    stored = (folder / "student.ipynb").read_text(encoding="utf-8")
    made = nbformat.writes(notebooks.student_version(instructor)) + "\n"
    assert stored == made, f"run `mmrec coursework student {folder.name}/instructor.ipynb {folder.name}/student.ipynb`"
    for mark in (notebooks.BEGIN, notebooks.END, '"instructor"'):
        assert mark not in stored


def test_form_of_the_notebook(folder, assignment, instructor):
    cells = code(instructor)
    assert all(not cell.outputs and cell.execution_count is None for cell in cells), "stored without outputs"
    assert cells[0].source == tool["setup_source"](folder / "instructor.ipynb"), "run `make links`"
    assert (cells[1].source, notebooks.tags(cells[1])) == ('STUDENT = "your-id"', ["student"])
    key = assignment.key
    text = "\n".join(cell.source for cell in cells)
    assert f'work = mm.coursework.start("{key}", STUDENT)' in text
    asked = [int(n) for n in re.findall(rf'mm\.coursework\.check\("{key}", locals\(\), task=(\d+)\)', text)]
    assert sorted(asked) == list(assignment.tasks), "a check after each task"
    assert f'mm.coursework.check("{key}", locals())' in text
    assert sorted(notebooks.solved_cells(instructor)) == list(assignment.tasks), "a cell to write for each task"
    assert [cell for cell in instructor.cells if "instructor" in notebooks.tags(cell)], "teaching notes"
    assert {notebooks.number(cell, "written") for cell in instructor.cells} > {None}, "written questions"
    wide = [line for cell in cells[1:] for line in cell.source.splitlines() if len(line) > 100]
    assert not wide, f"wider than the page: {wide[0]!r}"


def test_students_are_told_all_that_is_asked(assignment, instructor):
    cells = notebooks.student_version(instructor).cells
    text = "\n".join(cell.source for cell in cells)
    for task in assignment.tasks.values():
        for name in task.needs:
            assert re.search(rf"\b{name}\b", text), f"task {task.number} needs {name}, and nothing says so"
    before = ""
    for cell in cells:
        number = notebooks.number(cell, "written")
        if number is not None:
            question = before + cell.source
            assert re.search(r"\b\d+ points", question), f"question {number} says its points"
            assert len(question) > 250, f"question {number} is not in the student version"
        before = cell.source if cell.cell_type == "markdown" and number is None else ""


def test_points_are_the_same_everywhere(folder, assignment, instructor):
    text = (folder / "rubric.md").read_text(encoding="utf-8")
    first = "\n".join(cell.source for cell in instructor.cells[:3] if cell.cell_type == "markdown")
    for where, told in (("rubric.md", text), ("the beginning of the notebook", first)):
        for points in (assignment.points, 100 - assignment.points):
            assert re.search(rf"\b{points:g}\b", told), f"{where} does not name the {points:g} points"
    for number, task in assignment.tasks.items():
        assert re.search(rf"\b{number}\b.*\b{task.points:g}\b", text), f"task {number}: {task.points:g} points"


def test_promises(folder):
    begin = time.perf_counter()
    proof = grading.prove(folder)
    said = f"{time.perf_counter() - begin:.0f} s, the solution with its wrong answers {proof.solution.seconds:.0f} s"
    assert not proof.complaints(), "\n".join([*proof.complaints(), said])
    assert len(proof.wrong) >= 5
    assert len({wrong.task for wrong in proof.wrong}) >= 3, "wrong answers to several tasks"


def test_from_a_folder_to_points(tmp_path):
    """The whole way, once: what a marker types, and what is in the table."""
    folder = FOLDERS[0]
    key = folder.name.partition("_")[0]
    instructor = notebooks.read(folder / "instructor.ipynb")
    for student, notebook in (("ada", instructor), ("bob", notebooks.student_version(instructor))):
        notebooks.write(notebooks.with_student(notebook, student), tmp_path / "in" / f"{student}_late" / "work.ipynb")
    assert cli.main(["coursework", "grade", key, str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "points.csv")
    points = mm.coursework.find(key).points
    assert table[["student", "file", "total", "share", "status"]].to_numpy().tolist() == [
        ["ada", "ada_late/work.ipynb", points, 1.0, "ok"],
        ["bob", "bob_late/work.ipynb", 0.0, 0.0, "ok"],
    ]
    assert (tmp_path / "out" / "feedback" / "bob.md").exists()
