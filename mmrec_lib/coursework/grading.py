"""Grading a folder of notebooks with hidden tests: each in a process of its own, one broken notebook harms no other.

A grader runs what strangers wrote. Limits of time, memory and output keep accidents small; they are no wall against
malice: grade in a container or on a machine that can be thrown away, without a network (``coursework/README.md``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from .. import __version__
from ..checks import above, whole
from ..datasets import download
from ..errors import DataError, ParameterError
from . import notebooks
from .checking import FAILED, NOT_DONE, PASSED, Assignment, Result
from .personal import PLACEHOLDER, student_id
from .registry import files, find

OK, TIMEOUT, CRASHED, BROKEN = "ok", "timeout", "crashed", "tests broken"
UNREADABLE, NO_ID, DUPLICATE, OTHER = "unreadable notebook", "no student id", "duplicate student id", "other assignment"
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "MMREC_COURSEWORK",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "VIRTUAL_ENV",
)
_JOURNAL_BYTES = 8 * 2**20
_RUNNING: set[subprocess.Popen] = set()
_STOP = threading.Event()  # after Ctrl+C: what is just being started ends as well


@dataclass(frozen=True)
class Wrong:
    """A wrong answer as students give it; tests prove that the public check and the hidden tests both notice it.

    Parameters
    ----------
    task : int
    name : str
        A few words: ``"divides by k"``.
    source : str
        Takes the place of the task's first cell with a solution; the task's other cells run after it as they are.
    message : str
        Regular expression, ignoring case, that is found in the message of the public check.
    """

    task: int
    name: str
    source: str
    message: str


@dataclass
class Outcome:
    """What came out of one notebook.

    Attributes
    ----------
    status : str
        ``"ok"``, ``"timeout"``, ``"crashed"``, ``"tests broken"``, or why it was not run.
    note : str
        A few words about the status.
    checks : dict
        Task to state and message of the public check.
    tests : list of dict
        Hidden tests: test, task, passed, message.
    cells : list of dict
        Code cells that stopped: number, first (line), error, and whether they are merely open.
    written : dict
        Written question to the text of its cell.
    wrong : dict
        Only for :func:`prove`: number of the wrong answer to ``(checks, tests)``.
    seconds : float
    """

    file: str = ""
    student: str = ""
    status: str = OK
    note: str = ""
    checks: dict = field(default_factory=dict)
    tests: list = field(default_factory=list)
    cells: list = field(default_factory=list)
    written: dict = field(default_factory=dict)
    wrong: dict = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def was_run(self) -> bool:
        return self.status in (OK, TIMEOUT, CRASHED, DUPLICATE)

    def result(self, assignment: str) -> Result:
        """What the public checks said, as in a notebook."""
        rows = {
            number: (task.title, *self.checks.get(number, (FAILED, "was not reached")))
            for number, task in find(assignment).tasks.items()
        }
        return Result(pd.DataFrame.from_dict(rows, orient="index", columns=["title", "state", "message"]))

    def points(self, assignment: Assignment) -> dict[int, float]:
        """Points of each task: its tests share them equally."""
        points = {}
        for number, task in assignment.tasks.items():
            passed = [test["passed"] for test in self.tests if test["task"] == number]
            points[number] = task.points * sum(passed) / len(passed) if passed else 0.0
        return points


# -- one notebook ----------------------------------------------------------------------------------------------------
def run(
    notebook: str | Path,
    assignment: str,
    student: str,
    tests: str | Path | None = None,
    *,
    timeout: float = 240,
    memory: float = 8,
    wrong: Sequence[Wrong] = (),
) -> Outcome:
    """Run one notebook, its public checks and the hidden tests in a process of their own.

    Parameters
    ----------
    notebook : path
    assignment, student : str
        The hidden tests see the personal data of this student, whatever the notebook has done to its own.
    tests : path, optional
        File of hidden tests. Default: only public checks.
    timeout : float, default 240
        Seconds for all; a cell, a check or a test has a quarter of it.
    memory : float, default 8
        GiB of address space, where the system can limit it.
    wrong : sequence of Wrong
        Try these as well, each in the place of the solution.
    """
    outcome = Outcome(file=str(notebook), student=student)
    cells = [
        {"source": cell.source, "task": _task(cell), "solved": notebooks.BEGIN in cell.source}
        for cell in notebooks.read(notebook).cells
        if cell.cell_type == "code"
    ]
    with (
        tempfile.TemporaryDirectory(prefix="mmrec-grade-", ignore_cleanup_errors=True) as control,
        tempfile.TemporaryDirectory(prefix="mmrec-work-", ignore_cleanup_errors=True) as scratch,
    ):
        folder, here = Path(control), Path(scratch) / "work"
        here.mkdir()
        job = {
            "assignment": assignment,
            "student": student,
            "cells": cells,
            "tests": str(Path(tests).resolve()) if tests else None,
            "journal": str(folder / "journal"),
            "seconds": timeout / 4,
            "memory": memory,
            "wrong": [asdict(w) for w in wrong],
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        begin = time.perf_counter()
        code, said = _process(folder / "job.json", here, timeout)
        outcome.seconds = time.perf_counter() - begin
        entries = _read_journal(folder / "journal")
    _fill(outcome, entries)
    if outcome.status != BROKEN and not any(entry["kind"] == "done" for entry in entries):
        outcome.status = TIMEOUT if code is None else CRASHED
        outcome.note = f"stopped after {timeout:g} s" if code is None else _ended(code, said)
    return outcome


def _task(cell) -> int | None:
    with contextlib.suppress(DataError):  # a student may do anything to tags
        return notebooks.number(cell)
    return None


def _process(job: Path, here: Path, timeout: float) -> tuple[int | None, str]:
    """Exit status (``None``: killed because it took too long) and the end of what it said."""
    heard = job.with_name("said")
    package = Path(__file__).resolve().parents[2]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "HOME": str(here),
        "IPYTHONDIR": str(here / ".ipython"),
        "MPLCONFIGDIR": str(_figures_folder()),
        "MPLBACKEND": "Agg",
        "MMREC_CACHE": str(download.cache_dir()),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(package),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONIOENCODING": "utf-8",
        "TQDM_DISABLE": "1",
    }
    command = [sys.executable, "-m", "mmrec_lib.coursework.runner", str(job)]
    with open(heard, "wb") as said:
        process = subprocess.Popen(
            command,
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        _RUNNING.add(process)
        try:
            code = process.wait(0 if _STOP.is_set() else timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _kill(process)
            _RUNNING.discard(process)
    try:
        with open(heard, "rb") as said:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 2000))
            return code, said.read().decode("utf-8", "replace")
    except OSError:  # it has deleted more than its own files
        return code, ""


def _kill(process: subprocess.Popen) -> None:
    """End the process and whatever it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _figures_folder() -> Path:
    """A place where matplotlib keeps its list of fonts from one submission to the next."""
    folder = Path(tempfile.gettempdir()) / f"mmrec-grade-fonts-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _read_journal(path: Path) -> list[dict]:
    if not path.exists():
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read(_JOURNAL_BYTES)
    entries = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # a line that was cut off
            entries.append(json.loads(line))
    return [entry for entry in entries if isinstance(entry, dict) and "kind" in entry]


def _fill(outcome: Outcome, entries: list[dict]) -> None:
    parts: dict = {None: (outcome.checks, {})}
    for entry in entries:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a line that the runner did not write
            _take(outcome, entry, *parts.setdefault(entry.get("wrong"), ({}, {})))
    outcome.tests = list(parts[None][1].values())
    outcome.wrong = {n: (checks, list(tests.values())) for n, (checks, tests) in parts.items() if n is not None}


def _take(outcome: Outcome, entry: dict, checks: dict, tests: dict) -> None:
    """Take in a line of the journal."""
    kind = entry["kind"]
    if kind == "check":
        state = entry["state"] if entry["state"] in (PASSED, NOT_DONE) else FAILED
        checks[int(entry["task"])] = (state, str(entry["message"]))
    elif kind == "found":
        name, task = str(entry["test"]), int(entry["task"])
        tests[name] = {"test": name, "task": task, "passed": False, "message": "was not reached"}
    elif kind == "test":  # one that passed and then failed in its end comes twice, and has failed
        tests[entry["test"]] |= {"passed": bool(entry["passed"]), "message": str(entry["message"])}
    elif kind == "cell":
        kept = {"number": int(entry["number"]), "open": bool(entry["open"])}
        outcome.cells.append(kept | {"first": str(entry["first"]), "error": str(entry["error"])})
    elif kind == "broken":
        outcome.status, outcome.note = BROKEN, str(entry["message"])


def _ended(code: int, said: str) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the process was ended by {signal.Signals(-code).name}"
    last = said.strip().splitlines()[-1:] or [""]
    return f"the process ended with status {code}" + (f": {last[0][:200]}" if last[0] else "")


# -- a folder of notebooks -------------------------------------------------------------------------------------------
def grade(
    assignment: str,
    submissions: str | Path,
    out: str | Path,
    tests: str | Path | None = None,
    *,
    timeout: float = 240,
    memory: float = 8,
    jobs: int = 1,
    again: bool = False,
    tell: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Grade all notebooks of a folder.

    Parameters
    ----------
    assignment : str
        Key, as in ``"a1"``.
    submissions : path
        A notebook, or a folder with notebooks at any depth, as learning platforms export them.
    out : path
        Folder for ``points.csv``, ``feedback/STUDENT.md`` and ``written.md`` (the written answers by question).
    tests : path, optional
        File of hidden tests. Default: ``coursework/KEY_*/hidden_tests.py`` of the source checkout.
    timeout, memory
        Of each notebook, as in :func:`run`.
    jobs : int, default 1
        Notebooks at a time.
    again : bool, default False
        Grade also what ``out`` has from an earlier run with the same notebook, tests and version of the library.
    tell : function, optional
        Gets a line when a notebook is done.

    Returns
    -------
    DataFrame
        What is in ``points.csv``: student, file, points of each task, total, share (0 to 1), seconds, status, note.

    Raises
    ------
    UnknownNameError, ParameterError, DataError
        No such assignment; no tests; no notebook in the folder.
    """
    known = find(assignment)
    timeout, memory, jobs = above("timeout", timeout, 0), above("memory", memory, 0), whole("jobs", jobs)
    tests = Path(tests) if tests is not None else default_tests(assignment)
    if not tests.is_file():
        raise ParameterError(f"tests={str(tests)!r}: no such file; give the file of hidden tests")
    found = find_notebooks(Path(submissions))
    root = Path(submissions) if Path(submissions).is_dir() else Path(submissions).parent
    out = Path(out)
    kept = out / ".graded"
    kept.mkdir(parents=True, exist_ok=True)
    handed_out = tests.with_name("student.ipynb")
    handed_out = notebooks.read(handed_out) if handed_out.is_file() else None
    done = 0

    def one(path: Path) -> Outcome:
        nonlocal done
        outcome = prepared(path, assignment, handed_out)
        if outcome.status == OK:
            mark = kept / _fingerprint(path, tests, assignment)
            outcome = _from_earlier(mark, outcome, again) or _graded(outcome, assignment, tests, timeout, memory, mark)
        outcome.file = path.relative_to(root).as_posix()
        done += 1
        if tell is not None:
            total = f"{round(sum(outcome.points(known).values()), 2):g} of {known.points:g}" if outcome.was_run else "-"
            tell(f"{done} of {len(found)}: {outcome.file}: {total} ({outcome.status}, {outcome.seconds:.0f} s)")
        return outcome

    _STOP.clear()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            outcomes = list(pool.map(one, found))
        except BaseException:  # Ctrl+C: nothing new is started, and what runs is ended
            _STOP.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(_RUNNING):
                _kill(process)
            raise
    _mark_duplicates(outcomes)
    outcomes.sort(key=lambda o: (o.student, o.file))
    table = _table(outcomes, known)
    _write(out, table, outcomes, known)
    return table


def find_notebooks(where: Path) -> list[Path]:
    """Notebooks under a folder, in order, without hidden ones and checkpoints; :class:`DataError` if there is none."""
    if where.is_file():
        return [where]
    if not where.is_dir():
        raise DataError(f"{where}: no such folder or notebook")
    hidden = (".", "__MACOSX")
    found = sorted(
        path
        for path in where.rglob("*.ipynb")
        if path.is_file() and not any(part.startswith(hidden) for part in path.relative_to(where).parts)
    )
    if not found:
        raise DataError(f"{where}: no notebook (*.ipynb) in it; unpack archives first")
    return found


def default_tests(assignment: str) -> Path:
    """``hidden_tests.py`` of an assignment, in the working folder's ``coursework`` or in the source checkout's."""
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        found = sorted(root.glob(f"coursework/{assignment}_*/hidden_tests.py"))
        if found:
            return found[0]
    raise ParameterError(
        f"no coursework/{assignment}_*/hidden_tests.py here: name the file of hidden tests with --tests"
    )


def prepared(path: Path, assignment: str, handed_out=None) -> Outcome:
    """What is known without running anything: the student, the written answers, or why it cannot be graded."""
    outcome = Outcome(file=str(path))
    try:
        notebook = notebooks.read(path)
    except DataError as error:
        outcome.status, outcome.note = UNREADABLE, str(error).partition(": ")[2]
        return outcome
    given = notebooks.student_id(notebook)
    try:
        outcome.student = student_id(given)
    except ParameterError:
        outcome.status = NO_ID
        outcome.note = 'no line STUDENT = "..."' if given is None else f"STUDENT = {given!r} is no id"
        return outcome
    if outcome.student == PLACEHOLDER:
        outcome.student, outcome.status = "", NO_ID
        outcome.note = f"STUDENT is still {PLACEHOLDER!r}: ask, put the id in, and grade again"
        return outcome
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    begun = re.search(r"coursework\.start\(\s*['\"](\w+)", code)
    if begun and begun[1] != assignment:
        outcome.status, outcome.note = OTHER, f"this is a notebook of {begun[1]}"
    outcome.written = notebooks.written_answers(notebook, handed_out)
    return outcome


def _graded(outcome: Outcome, assignment: str, tests: Path, timeout: float, memory: float, kept: Path) -> Outcome:
    result = run(outcome.file, assignment, outcome.student, tests, timeout=timeout, memory=memory)
    result.written = outcome.written
    if result.status == OK:  # what went wrong may go better the next time
        _store(kept, json.dumps(asdict(result)))
    return result


def _from_earlier(path: Path, outcome: Outcome, again: bool) -> Outcome | None:
    if again or not path.exists():
        return None
    try:
        earlier = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None
    earlier.checks = {int(task): tuple(value) for task, value in earlier.checks.items()}
    earlier.written, earlier.wrong = outcome.written, {}
    return earlier


def _fingerprint(path: Path, tests: Path, assignment: str) -> str:
    """Name of the result that this notebook, these tests and these checks give."""
    parts = [__version__.encode(), *(p.read_bytes() for p in (path, tests, files()[assignment]))]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32] + ".json"


def _mark_duplicates(outcomes: list[Outcome]) -> None:
    by_student: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.student:
            by_student.setdefault(outcome.student, []).append(outcome)
    for group in by_student.values():
        for outcome in group if len(group) > 1 else ():
            others = ", ".join(o.file for o in group if o is not outcome)
            outcome.note = "; ".join(filter(None, [outcome.note, f"the same id as {others}"]))
            if outcome.status == OK:
                outcome.status = DUPLICATE


# -- what is written -------------------------------------------------------------------------------------------------
def _table(outcomes: list[Outcome], assignment: Assignment) -> pd.DataFrame:
    rows = []
    for outcome in outcomes:
        row = {"student": outcome.student, "file": outcome.file}
        points = outcome.points(assignment) if outcome.was_run else {}
        row |= {f"task {number}": round(points[number], 2) if points else None for number in assignment.tasks}
        total = sum(points.values()) if points else None
        row["total"] = None if total is None else round(total, 2)
        row["share"] = None if total is None else round(total / assignment.points, 4)
        row |= {"seconds": round(outcome.seconds, 1), "status": outcome.status, "note": outcome.note}
        rows.append(row)
    return pd.DataFrame(rows)


def _write(out: Path, table: pd.DataFrame, outcomes: list[Outcome], assignment: Assignment) -> None:
    feedback = out / "feedback"
    feedback.mkdir(exist_ok=True)
    used: set[str] = set()
    for outcome in outcomes:
        base = re.sub(r"[^\w.@+-]", "-", outcome.student or Path(outcome.file).stem)
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}-{number}"
        used.add(name)
        _store(feedback / f"{name}.md", feedback_text(outcome, assignment))
    _store(out / "written.md", _written_text(outcomes, assignment))
    safe = table.copy()
    for column in ("student", "file", "note"):  # a spreadsheet takes such a cell for a formula
        safe[column] = [f"'{text}" if text.startswith(("=", "+", "-", "@")) else text for text in table[column]]
        safe[column] = [" ".join(text.split()) for text in safe[column]]
    _store(out / "points.csv", safe.to_csv(index=False))


def feedback_text(outcome: Outcome, assignment: Assignment) -> str:
    """The feedback for one student, in Markdown."""
    who = outcome.student or "somebody whose id is not known"
    lines = [f"# {assignment.key} {assignment.title}: feedback for {who}", ""]
    if outcome.status != OK:
        lines += [f"**{outcome.status}**", "", *_quoted(outcome.note)]
    if not outcome.was_run:
        return "\n".join([*lines, "The notebook was not run."]) + "\n"
    points = outcome.points(assignment)
    lines += [f"{round(sum(points.values()), 2):g} of {assignment.points:g} points in the hidden tests.", ""]
    for number, task in assignment.tasks.items():
        tests = [test for test in outcome.tests if test["task"] == number]
        passed = sum(test["passed"] for test in tests)
        lines += [
            f"## Task {number} {task.title}: {round(points[number], 2):g} of {task.points:g}",
            "",
            f"{passed} of {len(tests)} hidden tests pass.",
            "",
        ]
        state, message = outcome.checks.get(number, (FAILED, "was not reached"))
        if state != PASSED:
            lines += ["The check of the notebook says:", "", *_quoted(message)]
        failed: dict[str, list[str]] = {}
        for test in tests:
            if not test["passed"] and state != NOT_DONE:
                failed.setdefault(test["message"], []).append(f"`{test['test']}`")
        for message, names in failed.items():
            lines += [f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not pass:", "", *_quoted(message)]
    stopped = [cell for cell in outcome.cells if not cell["open"]]
    if stopped:
        lines += ["## Cells that stopped", ""]
        for cell in stopped:
            lines += [f"Code cell {cell['number']}:", "", *_quoted(f"{cell['first']} ...\n{cell['error']}")]
    if outcome.written:
        lines += ["## Written answers", "", "These are marked by hand.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _quoted(text: str) -> list[str]:
    """A text of a stranger as a block that Markdown shows as it is."""
    return [*(f"    {line}" for line in (text.splitlines() or ["(nothing)"])), ""]


def _written_text(outcomes: list[Outcome], assignment: Assignment) -> str:
    lines = [f"# {assignment.key} {assignment.title}: written answers", "", "One question after the other.", ""]
    for question in sorted({number for outcome in outcomes for number in outcome.written}):
        lines += [f"## Question {question}", ""]
        for outcome in outcomes:
            if question in outcome.written:
                text = outcome.written[question]
                empty = " (not answered)" if text.rstrip().endswith(notebooks.TEXT) else ""
                lines += [f"### {outcome.student}{empty}", "", *_quoted(text)]
    return "\n".join(lines).rstrip() + "\n"


def _store(path: Path, text: str) -> None:
    """Write a file in one step."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


# -- an assignment ---------------------------------------------------------------------------------------------------
def prove(folder: str | Path, student: str = "ada", *, timeout: float = 600) -> Proof:
    """Run an assignment's solution with its wrong answers, and its student version; :class:`Proof` says what holds.

    Parameters
    ----------
    folder : path
        ``coursework/a1_...`` with ``instructor.ipynb``, ``hidden_tests.py`` and ``wrong_answers.py``.
    student : str, default "ada"
        Whose personal data are taken.
    timeout : float, default 600
        Seconds for each of the two runs; a busy machine must not break a promise.
    """
    folder = Path(folder)
    key = folder.name.partition("_")[0]
    find(key)
    instructor = notebooks.read(folder / "instructor.ipynb")
    wrong = wrong_answers(folder)
    with tempfile.TemporaryDirectory(prefix="mmrec-prove-") as scratch:
        outcomes = []
        for name, notebook in (("solution", instructor), ("student", notebooks.student_version(instructor))):
            path = Path(scratch) / f"{name}.ipynb"
            notebooks.write(notebooks.with_student(notebook, student), path)
            tried = wrong if name == "solution" else ()
            outcomes.append(run(path, key, student, folder / "hidden_tests.py", timeout=timeout, wrong=tried))
    return Proof(key, tuple(wrong), *outcomes)


def wrong_answers(folder: str | Path) -> list[Wrong]:
    """``WRONG`` of the folder's ``wrong_answers.py``."""
    import runpy

    return list(runpy.run_path(str(Path(folder) / "wrong_answers.py"))["WRONG"])


@dataclass(frozen=True)
class Proof:
    """What :func:`prove` saw: the solution's outcome with that of each wrong answer, and the student version's."""

    key: str
    wrong: tuple[Wrong, ...]
    solution: Outcome
    open: Outcome

    def complaints(self) -> list[str]:
        """What does not hold, a sentence each; empty when all is well."""
        assignment = find(self.key)
        return [
            *_complaints_of_solution(self.solution, assignment),
            *_complaints_of_open(self.open, assignment),
            *(
                c
                for n, w in enumerate(self.wrong)
                for c in _complaints_of_wrong(w, *self.solution.wrong.get(n, ({}, [])))
            ),
        ]


def _complaints_of_solution(outcome: Outcome, assignment: Assignment) -> list[str]:
    said = [f"solution: {outcome.status}: {outcome.note}"] if outcome.status != OK else []
    said += [f"solution: code cell {cell['number']}: {cell['error']}" for cell in outcome.cells]
    for number in assignment.tasks:
        state, message = outcome.checks.get(number, (FAILED, "was not reached"))
        if state != PASSED:
            said.append(f"solution: the check of task {number} says: {message}")
        if not any(test["task"] == number for test in outcome.tests):
            said.append(f"task {number} has no hidden test")
    stray = sorted({test["task"] for test in outcome.tests} - set(assignment.tasks))
    said += [f"hidden tests name the task {number}, which does not exist" for number in stray]
    said += [f"solution: {t['test']} does not pass: {t['message']}" for t in outcome.tests if not t["passed"]]
    return said


def _complaints_of_open(outcome: Outcome, assignment: Assignment) -> list[str]:
    said = [f"student version: {outcome.status}: {outcome.note}"] if outcome.status != OK else []
    for number in assignment.tasks:
        state, message = outcome.checks.get(number, (FAILED, "was not reached"))
        if state in (PASSED, FAILED):
            said.append(f"student version: the check of task {number} is {state!r}, not open: {message}")
    said += [f"student version: {test['test']} passes without work" for test in outcome.tests if test["passed"]]
    said += [
        f"student version: code cell {cell['number']} stops: {cell['error']}"
        for cell in outcome.cells
        if not cell["open"] and not cell["error"].startswith("NameError")  # shows an answer that is not there yet
    ]
    return said


def _complaints_of_wrong(wrong: Wrong, checks: Mapping, tests: list) -> list[str]:
    name = f"wrong answer {wrong.name!r}"
    state, message = checks.get(wrong.task, (None, "was not reached"))
    said = []
    if state != FAILED:
        said.append(f"{name}: the check of task {wrong.task} is {state!r}, not 'failed': {message}")
    elif not re.search(wrong.message, message, flags=re.IGNORECASE | re.DOTALL):
        said.append(f"{name}: the message does not match {wrong.message!r}: {message}")
    for number, (other, text) in checks.items():
        if number != wrong.task and other != PASSED:
            said.append(f"{name}: the check of task {number} is {other!r} too: {text}")
    if tests and all(test["passed"] for test in tests):
        said.append(f"{name}: the hidden tests of task {wrong.task} all pass")
    return said
