"""One submission in a process of its own: run its cells, the public checks and the hidden tests, and keep a journal.

:mod:`mmrec_lib.coursework.grading` starts ``python -m mmrec_lib.coursework.runner JOB``. The journal is a file of JSON
lines, each written as soon as something is known, so that what was reached counts when the process is killed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import MissingPackageError
from .checking import FAILED, Assignment, Failed, NotDone, Space, examine, told
from .personal import Work, start
from .registry import find

_LONG = 1500  # characters of a message
_FILE_BYTES = 256 * 2**20  # of a file that a submission may write


class TooSlow(BaseException):
    """A cell, a check or a test took too long; no ordinary ``except`` stops it."""


class _Sink(io.TextIOBase):
    """Swallows what is printed, however much it is."""

    encoding = "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


class Journal:
    """JSON lines that are on disk as soon as they are written."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  open as long as the process lives

    def add(self, kind: str, **entries) -> None:
        self._file.write(json.dumps({"kind": kind, **entries}) + "\n")
        self._file.flush()


def main(arguments: list[str]) -> int:
    """Do the job that the file describes."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    journal = Journal(Path(job["journal"]))
    sys.dont_write_bytecode = True  # nothing beside the hidden tests
    _limit_memory(job["memory"])
    sys.stdout, sys.stderr = _Sink(), _Sink()
    assignment = find(job["assignment"])
    seconds = job["seconds"]
    try:
        work = start(job["assignment"], job["student"])  # before strangers' code runs, and not by their hand
    except Exception as error:
        journal.add("broken", message=f"personal data: {told(error)}")
        return 1
    shell = make_shell()
    run_cells(shell, job["cells"], journal, seconds)
    used: dict[int, set[str]] = {}
    _check(assignment, shell.user_ns, work, assignment.tasks, journal, seconds, used)
    if job["tests"]:
        run_tests(Path(job["tests"]), Space(shell.user_ns, work), journal, seconds)
    for number, wrong in enumerate(job["wrong"]):
        task, part = wrong["task"], _Part(journal, number)
        names, changed = replaced(shell, job["cells"], task, wrong["source"])
        concerned = [other for other in assignment.tasks if other == task or changed & used.get(other, set())]
        _check(assignment, names, work, concerned, part, seconds)
        run_tests(Path(job["tests"]), Space(names, work), part, seconds, task)
    journal.add("done")
    return 0


class _Part:
    """A journal whose lines say which wrong answer they are about."""

    def __init__(self, journal: Journal, wrong: int) -> None:
        self._journal, self._wrong = journal, wrong

    def add(self, kind: str, **entries) -> None:
        self._journal.add(kind, wrong=self._wrong, **entries)


def _check(assignment: Assignment, names: dict, work: Work, tasks, journal, seconds: float, used=None) -> None:
    """Public checks, each with its limit of time."""
    for number in tasks:
        state, message = FAILED, f"took longer than {seconds:g} s"
        with contextlib.suppress(TooSlow), limit(seconds):
            row = examine(assignment, names, work, [number], used).table.loc[number]
            state, message = row["state"], row["message"]
        journal.add("check", task=number, state=state, message=message[:_LONG])


# -- limits ----------------------------------------------------------------------------------------------------------
def _limit_memory(gigabytes: float) -> None:
    """Address space, size of files and core dumps, where the system can limit them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {"RLIMIT_AS": int(gigabytes * 2**30), "RLIMIT_FSIZE": _FILE_BYTES, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            hard = resource.getrlimit(getattr(resource, name))[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(getattr(resource, name), (value, value))


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TooSlow` inside when it takes longer, and again and again while a bare ``except`` swallows it."""
    if not hasattr(signal, "setitimer"):  # Windows: the whole process has its limit
        yield
        return

    def ring(*_):
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- cells -----------------------------------------------------------------------------------------------------------
def make_shell():
    """An IPython shell without a screen, history or access to the system's shell."""
    try:
        from IPython.core.interactiveshell import InteractiveShell
    except ImportError:
        raise MissingPackageError("ipython", "running a notebook", "book") from None

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):
            """Nothing: figures are drawn into memory."""

        def system(self, command):
            """Nothing: neither ``!command`` nor ``%pip`` runs while a notebook is graded."""

        system_piped = system_raw = getoutput = system

        def showtraceback(self, *arguments, **named):
            """Nothing: the journal has it in a line."""

        showsyntaxerror = showtraceback

        def init_virtualenv(self):
            """Nothing: the interpreter is the right one."""

    shell = Shell.instance()
    shell.history_manager.enabled = False
    shell.ast_node_interactivity = "none"
    return shell


def run_cells(shell, cells: list[dict], journal, seconds: float) -> None:
    """Run the code cells in order; the journal gets those that stopped, and the rest goes on."""
    for number, cell in enumerate(cells, 1):
        source = cell["source"]
        try:
            with limit(seconds):
                result = shell.run_cell(source, store_history=False)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as outside:
            error = outside
        if error is not None:
            first = next((line for line in source.splitlines() if line.strip()), "")
            opened = isinstance(error, NotImplementedError)
            journal.add("cell", number=number, first=first[:80], open=opened, error=_said(error, seconds))
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


def replaced(shell, cells: list[dict], task: int, source: str) -> tuple[dict, set[str]]:
    """A copy of the names after the task's first solved cell was replaced and its later cells ran again.

    The second result are the names that have another value than before.
    """
    own = [cell for cell in cells if cell["task"] == task]
    first = next(place for place, cell in enumerate(own) if cell["solved"])
    names = dict(shell.user_ns)
    for text in [source, *(cell["source"] for cell in own[first + 1 :])]:
        with contextlib.suppress(Exception):  # what breaks later by a wrong answer is part of it
            exec(compile(shell.transform_cell(text), f"<wrong answer to task {task}>", "exec"), names)
    changed = {name for name, value in names.items() if shell.user_ns.get(name, shell) is not value}
    return names, changed


def _said(error: BaseException, seconds: float) -> str:
    """An exception in a line, with the place in the student's cell."""
    if isinstance(error, TooSlow):
        return f"took longer than {seconds:g} s"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}, in line {error.lineno}"
    return told(error)[:_LONG]


# -- hidden tests ----------------------------------------------------------------------------------------------------
def run_tests(path: Path, space: Space, journal, seconds: float, only: int | None = None) -> None:
    """Run the hidden tests; the journal gets each test when it is found, and again with its outcome."""
    try:
        import pytest
    except ImportError:
        raise MissingPackageError("pytest", "grading", "dev") from None

    class Plugin:
        def pytest_configure(self, config):
            config.addinivalue_line("markers", "task(number): the task whose points the test shares")

        @pytest.fixture
        def space(self):
            return space

        @pytest.fixture
        def work(self):
            return space.work

        def pytest_collectreport(self, report):
            if report.failed:
                journal.add("broken", message=f"hidden tests: {str(report.longrepr)[-_LONG:]}")

        def pytest_collection_modifyitems(self, items):
            for item in items:
                mark = item.get_closest_marker("task")
                if mark is None or not mark.args:
                    journal.add("broken", message=f"hidden tests: {item.name} has no @pytest.mark.task(number)")
            items[:] = [i for i in items if _task(i) is not None and only in (None, _task(i))]
            for item in items:
                journal.add("found", test=_name(item), task=_task(item))

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(self, item):
            with limit(seconds):
                return (yield)

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(self, item, call):
            report = yield
            if call.excinfo is not None or call.when == "call":
                message = "" if report.passed else _why(call.excinfo and call.excinfo.value, seconds)
                journal.add("test", test=_name(item), passed=report.passed, message=message)
            return report

    options = ["-q", "-s", "--tb=no", "--import-mode=importlib", "--noconftest", "-c", os.devnull, "--rootdir"]
    off = [f"-pno:{name}" for name in ("cacheprovider", "faulthandler", "junitxml", "pastebin")]
    pytest.main([*options, str(path.parent), *off, "-Wignore", str(path)], plugins=[Plugin()])


def _name(item) -> str:
    return item.nodeid.partition("::")[2]


def _task(item) -> int | None:
    mark = item.get_closest_marker("task")
    return mark.args[0] if mark is not None and mark.args else None


def _why(error: BaseException | None, seconds: float) -> str:
    """Why a hidden test failed, in the words of the test if it has any."""
    if isinstance(error, (NotDone, NotImplementedError)):
        return f"not done yet: {error}"
    if isinstance(error, Failed):
        return str(error)[:_LONG]
    if isinstance(error, AssertionError) and str(error):
        message, found, compared = f"\n{error}".partition("\nassert ")
        compared = compared.partition("\n")[0]
        useful = bool(found) and not compared.startswith(("False", "not "))  # that says nothing to a student
        lines = [message.strip(), f"assert {compared[:200]}" if useful or not message.strip() else ""]
        return "\n".join(filter(None, lines))[:_LONG]
    return "did not pass" if error is None else _said(error, seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
