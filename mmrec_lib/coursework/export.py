"""An assignment for nbgrader or Otter-Grader: our markers, points and hidden tests in the form that they read.

::

    python -m mmrec_lib.coursework.export nbgrader coursework/a6_service course/source/a6/a6.ipynb
    python -m mmrec_lib.coursework.export otter coursework/a6_service otter/a6.ipynb

Each writes the instructor's notebook; the program then makes the student's. Teaching notes are left out, and what is
not named here stays as it is.

========================  ===================================  ===========================================
ours                      nbgrader                             Otter
========================  ===================================  ===========================================
code with a solution      autograded answer                    solution of a question
hidden tests of a task    a hidden cell, points times the      one hidden test, all points or none, by
                          share of tests that pass             ``hidden_tests.py`` beside the notebook
public check of a task    stays a cell                         stays a cell
text ``written-N``        manually graded answer               manually graded question
========================  ===================================  ===========================================
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import DataError
from . import notebooks
from .checking import Space
from .registry import find

_SCHEMA = 3  # of nbgrader's metadata
_POINTS = re.compile(r"(\d+(?:\.\d+)?) points\b")


def for_nbgrader(folder: str | Path):
    """The instructor's notebook of an assignment with the metadata that nbgrader reads.

    Parameters
    ----------
    folder : path
        ``coursework/a1_...`` with ``instructor.ipynb`` and ``hidden_tests.py``.

    Returns
    -------
    NotebookNode
        For ``source/`` of a course of nbgrader.

    Raises
    ------
    DataError
        A written question without points; a task without a cell.
    """
    folder = Path(folder)
    key = folder.name.partition("_")[0]
    tasks = find(key).tasks
    notebook = copy.deepcopy(notebooks.read(folder / "instructor.ipynb"))
    tests = (folder / "hidden_tests.py").read_text(encoding="utf-8")
    last = _last_cells(notebook.cells, key)
    if missing := sorted(set(tasks) - set(last)):
        raise DataError(f"{folder}: task {missing[0]} has no cell; tag it task-{missing[0]}")
    made, counted, above = [], dict.fromkeys(tasks, 0), ""
    for place, cell in enumerate(notebook.cells):
        task, question = notebooks.number(cell), notebooks.number(cell, "written")
        if "instructor" not in notebooks.tags(cell):
            made.append(cell)
        if cell.cell_type == "code" and notebooks.BEGIN in cell.source:
            counted[task] += 1
            _mark(cell, f"task-{task}-{counted[task]}", solution=True)
        elif cell.cell_type == "markdown" and question is not None:
            _mark(cell, f"written-{question}", points=_named_points(cell, above), solution=True, grade=True)
        above = cell.source if cell.cell_type == "markdown" else above
        for number in (number for number in tasks if last[number] == place):
            made.append(_grader(key, number, tasks[number].points, tests if number == min(tasks) else None))
    notebook.cells = made
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    return notebook


def points(assignment: str, task: int, names: Mapping, tests: str) -> float:
    """Points of a task by hidden tests that run here and now; what a cell of autograder tests ends with.

    Parameters
    ----------
    assignment : str
        Key, as in ``"a1"``.
    task : int
    names : mapping
        The student's names, ``work`` among them.
    tests : str
        The text of ``hidden_tests.py``.

    Returns
    -------
    float
        The task's points times the share of its tests that pass; 0 where there is no test of it.
    """
    from .runner import run_tests

    known, journal = find(assignment), _Counter()
    with tempfile.TemporaryDirectory(prefix="mmrec-export-") as scratch:
        path = Path(scratch) / "hidden_tests.py"
        path.write_text(tests, encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run_tests(path, Space(names, names.get("work")), journal, 60, task)
    share = len(journal.passed) / len(journal.found) if journal.found else 0.0
    return round(known.tasks[task].points * share, 6)


def for_otter(folder: str | Path):
    """The instructor's notebook of an assignment with the raw cells that ``otter assign`` reads.

    Parameters and errors are those of :func:`for_nbgrader`. ``hidden_tests.py`` must lie beside the notebook.
    """
    import nbformat

    folder = Path(folder)
    key = folder.name.partition("_")[0]
    tasks = find(key).tasks
    notebook = copy.deepcopy(notebooks.read(folder / "instructor.ipynb"))
    last = {notebooks.number(cell): place for place, cell in enumerate(notebook.cells)}
    made, opened, above = [], set(), ""

    def raw(*lines: str) -> None:
        made.append(nbformat.v4.new_raw_cell("\n".join(lines), id=f"otter-{len(made)}"))

    raw("# ASSIGNMENT CONFIG", f"name: {key}", "export_cell: false", "run_tests: false", "tests:", "  ok_format: false",
        "autograder_files:", "  - hidden_tests.py")  # fmt: skip
    for place, cell in enumerate(notebook.cells):
        task, question = notebooks.number(cell), notebooks.number(cell, "written")
        if cell.cell_type == "code" and notebooks.BEGIN in cell.source:
            if task not in opened:
                raw("# BEGIN QUESTION", f"name: task{task}", f"points: {tasks[task].points:g}")
                opened.add(task)
            raw("# BEGIN SOLUTION")
            cell.source = cell.source.replace(notebooks.BEGIN, "# BEGIN SOLUTION").replace(
                notebooks.END, "# END SOLUTION"
            )
            made.append(cell)
            raw("# END SOLUTION")
        elif cell.cell_type == "markdown" and question is not None:
            worth, (asked, _, answer) = _named_points(cell, above), cell.source.partition(notebooks.BEGIN)
            raw("# BEGIN QUESTION", f"name: written{question}", "manual: true", f"points: {worth:g}")
            if asked.strip():
                made.append(nbformat.v4.new_markdown_cell(asked.strip(), id=f"asked-{question}"))
            raw("# BEGIN SOLUTION")
            cell.source = answer.partition(notebooks.END)[0].strip()
            made.append(cell)
            raw("# END SOLUTION")
            raw("# END QUESTION")
        elif "instructor" not in notebooks.tags(cell):
            made.append(cell)
        above = cell.source if cell.cell_type == "markdown" else above
        if task in opened and last[task] == place:
            raw("# BEGIN TESTS")
            made.append(nbformat.v4.new_code_cell(_otter_test(key, task, tasks[task].points), id=f"points-{task}"))
            raw("# END TESTS")
            raw("# END QUESTION")
    if missing := sorted(set(tasks) - opened):
        raise DataError(f"{folder}: task {missing[0]} has no cell; tag it task-{missing[0]}")
    notebook.cells = made
    return notebook


def _otter_test(key: str, task: int, worth: float) -> str:
    return f'''""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
def test_task_{task}(env):
    from pathlib import Path
    from mmrec_lib.coursework import export

    got = export.points("{key}", {task}, env, Path("hidden_tests.py").read_text(encoding="utf-8"))
    assert got == {worth:g}, f"the tests that pass are worth {{got:g}} of {worth:g} points"'''


class _Counter:
    """Takes the place of the grader's journal: which tests there are, and which of them pass."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.passed: set[str] = set()

    def add(self, kind: str, **entries) -> None:
        if kind == "found":
            self.found.add(entries["test"])
        elif kind == "test":
            (self.passed.add if entries["passed"] else self.passed.discard)(entries["test"])


def _last_cells(cells: list, key: str) -> dict[int, int]:
    """For each task the place of its last cell: one of its own, or the one that checks it."""
    asked = re.compile(rf"coursework\.check\(\s*[\"']{key}[\"'].*task\s*=\s*(\d+)")
    last: dict[int, int] = {}
    for place, cell in enumerate(cells):
        found = asked.search(cell.source) if cell.cell_type == "code" else None
        task = int(found[1]) if found else notebooks.number(cell)
        if task is not None:
            last[task] = place
    return last


def _named_points(cell, above: str) -> float:
    """The points that a written question names, or else the text above it."""
    for text in (cell.source.partition(notebooks.BEGIN)[0], above):
        if found := _POINTS.search(text):
            return float(found[1])
    raise DataError(f"cell {cell.get('id', '?')}: a written question without points; write (6 points) above it")


def _grader(key: str, task: int, worth: float, tests: str | None):
    import nbformat

    lines = [f"# The points of task {task} come from this cell.", "### BEGIN HIDDEN TESTS"]
    if tests is not None:  # once, for all tasks; text in lines, so that a lecturer can change it
        lines += ["from mmrec_lib.coursework import export", "hidden_tests = ("]
        lines += [f"    {line!r}" for line in tests.splitlines(keepends=True)]
        lines += [")"]
    lines += [f'export.points("{key}", {task}, locals(), hidden_tests)', "### END HIDDEN TESTS"]
    cell = nbformat.v4.new_code_cell("\n".join(lines), id=f"points-{task}")
    _mark(cell, f"points-{task}", points=worth, grade=True, locked=True)
    return cell


def _mark(cell, name: str, points: float | None = None, **kinds: bool) -> None:
    cell.metadata["nbgrader"] = {
        "schema_version": _SCHEMA, "grade_id": name, "solution": False, "grade": False, "locked": False, "task": False,
        **kinds, **({} if points is None else {"points": points}),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write the notebook: ``PROGRAM FOLDER TARGET``."""
    given = sys.argv[1:] if arguments is None else arguments
    makers = {"nbgrader": for_nbgrader, "otter": for_otter}
    if len(given) != 3 or given[0] not in makers:
        print("python -m mmrec_lib.coursework.export nbgrader|otter coursework/a1_... a1.ipynb", file=sys.stderr)
        return 2
    program, folder, target = given
    notebooks.write(makers[program](folder), target)
    if program == "otter":
        shutil.copyfile(Path(folder) / "hidden_tests.py", Path(target).with_name("hidden_tests.py"))
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
