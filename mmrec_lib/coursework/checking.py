"""Checks that teach: each task of an assignment says what is right, what is wrong and why, or what is still to do.

An assignment is a module with a function that draws personal data and a function for each task::

    from .checking import Assignment, Failed, call, close

    assignment = Assignment("a1", "Neighbours and metrics", hours=(4, 6))

    @assignment.personal
    def personal(seed): ...

    @assignment.task(2, "Recall at k", points=10, needs=["recall_at_k"])
    def recall(space):
        got = call(space["recall_at_k"], [3, 1, 2], {1, 9}, k=2)
        close(got, 0.5, "recall_at_k([3, 1, 2], {1, 9}, k=2)", wrong={0.25: "you divided by ..."})
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import ParameterError
from .personal import Work
from .registry import find

PASSED, FAILED, NOT_DONE = "passed", "failed", "not done"
_SIGNS = {PASSED: "✓", FAILED: "✗", NOT_DONE: "…"}
_LIBRARY = str(Path(__file__).resolve().parents[1])


class Failed(Exception):
    """A check did not pass; the text is what the student reads."""


class NotDone(Exception):
    """A task has not been worked on yet."""


# -- assignments -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Task:
    """A task: its number, title, points of its hidden tests, the names that it needs, and its public check."""

    number: int
    title: str
    points: float
    needs: tuple[str, ...]
    check: Callable[[Space], None]


class Assignment:
    """An assignment: how personal data are drawn, and a public check for each task.

    Parameters
    ----------
    key : str
        As in ``"a1"``; also the name of the module and the beginning of the folder's name.
    title : str
    hours : (int, int), default (4, 6)
        How long it takes, from ... to.
    """

    def __init__(self, key: str, title: str, hours: tuple[int, int] = (4, 6)) -> None:
        self.key, self.title, self.hours = key, title, hours
        self.tasks: dict[int, Task] = {}
        self._personal: Callable[[int], dict] | None = None

    @property
    def points(self) -> float:
        """Points of all tasks together, those of the written answers not counted."""
        return sum(task.points for task in self.tasks.values())

    def personal(self, function: Callable[[int], dict]) -> Callable[[int], dict]:
        """Decorator of the function that draws a student's data: seed to a dict of attributes of ``Work``."""
        if self._personal is not None:
            raise ParameterError(f"{self.key}: two functions draw personal data; decorate one")
        self._personal = function
        return function

    def draw(self, seed: int) -> dict:
        """The personal data for a seed."""
        if self._personal is None:
            raise ParameterError(f"{self.key}: no function is decorated with @assignment.personal")
        return self._personal(seed)

    def task(self, number: int, title: str, points: float, needs: Iterable[str] = ()) -> Callable:
        """Decorator of the public check of a task.

        The check gets a :class:`Space` and raises :class:`Failed`, mostly by :func:`close`. A task of which a needed
        name is missing is "not done yet", and its check is not called.
        """
        if number in self.tasks:
            raise ParameterError(f"{self.key}: task {number} has a check already")

        def register(function: Callable[[Space], None]) -> Callable[[Space], None]:
            self.tasks[number] = Task(number, title, points, tuple(needs), function)
            self.tasks = dict(sorted(self.tasks.items()))
            return function

        return register

    def __repr__(self) -> str:
        return f"Assignment({self.key!r}, {self.title!r}: {len(self.tasks)} tasks, {self.points:g} points)"


class Space(Mapping):
    """A student's names, with the personal data as ``.work``; a name that is missing means "not done yet".

    ``used`` are the names that were asked for.
    """

    def __init__(self, names: Mapping, work: Work | None) -> None:
        self._names, self.work = names, work
        self.used: set[str] = set()

    def __getitem__(self, name: str):
        self.used.add(name)
        if name not in self._names:
            raise NotDone(f"there is no `{name}` yet: write it and run its cell")
        if self._names[name] is ...:
            raise NotDone(f"`{name}` is still `...`")
        return self._names[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


# -- checking --------------------------------------------------------------------------------------------------------
class Result:
    """What the checks said.

    Attributes
    ----------
    table : DataFrame
        One row a task (index: its number): title, state ("passed", "failed", "not done"), message.
    passed : bool
        Whether all tasks that were checked passed.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @property
    def passed(self) -> bool:
        return bool(len(self.table)) and bool((self.table["state"] == PASSED).all())

    def lines(self) -> list[str]:
        """What :func:`check` prints: a line a task."""
        rows = self.table.itertuples()
        return [
            f"{_SIGNS[row.state]} task {row.Index} {row.title}" + (f": {row.message}" if row.message else "")
            for row in rows
        ]

    def __repr__(self) -> str:
        return f"Result({(self.table['state'] == PASSED).sum()} of {len(self.table)} tasks passed)"

    def _ipython_display_(self) -> None:
        """Nothing: the lines have been printed, and a notebook need not say it twice."""


def check(assignment: str, names: Mapping, task: int | None = None) -> Result:
    """Check the tasks of an assignment and print a line for each.

    The lines begin with ✓ (passed), ✗ (with what is wrong and a hint) or … (not done yet). Points come from hidden
    tests, which ask the same with other inputs.

    Parameters
    ----------
    assignment : str
        Key, as in ``"a1"``.
    names : mapping
        The names of the notebook: ``locals()``.
    task : int, optional
        Only this task. Default: all.

    Returns
    -------
    Result

    Raises
    ------
    UnknownNameError, ParameterError
        No such assignment; no such task.
    """
    known = find(assignment)
    if task is not None and task not in known.tasks:
        raise ParameterError(f"task={task!r}: {assignment} has the tasks {', '.join(map(str, known.tasks))}")
    result = examine(known, names, names.get("work"), list(known.tasks) if task is None else [task])
    print("\n".join(result.lines()))
    if task is None:
        states = result.table["state"]
        print(f"{(states == PASSED).sum()} of {len(states)} tasks pass here. Hidden tests ask with other inputs.")
    return result


def examine(
    assignment: Assignment, names: Mapping, work: Work | None, tasks: Iterable[int], used: dict | None = None
) -> Result:
    """Check tasks without printing; ``used`` gets the names that each task's check has asked for."""
    mine = isinstance(work, Work) and work.assignment == assignment.key
    rows = {}
    for number in tasks:
        task = assignment.tasks[number]
        if mine:
            space = Space(names, work)
            state, message = _outcome(task, space)
            if used is not None:
                used[number] = space.used
        else:
            state = NOT_DONE
            message = f'not done yet: run the cell `work = mm.coursework.start("{assignment.key}", STUDENT)` first'
        rows[number] = (task.title, state, message)
    return Result(pd.DataFrame.from_dict(rows, orient="index", columns=["title", "state", "message"]))


def _outcome(task: Task, space: Space) -> tuple[str, str]:
    """State and message of a task; whatever a student wrote, no exception leaves this function."""
    try:
        for name in task.needs:
            space[name]
        task.check(space)
    except Failed as failed:
        return FAILED, str(failed)
    except NotDone as open_:
        return NOT_DONE, f"not done yet: {open_}"
    except NotImplementedError as open_:
        return NOT_DONE, f"not done yet: {_open(open_)}"
    except Exception as error:  # a value of an unexpected form, met by the check itself
        return FAILED, f"{told(error)}. Is what you return of the form that the task asks for?"
    return PASSED, ""


def _open(error: NotImplementedError) -> str:
    """What is to be written, from the line that stands in its place."""
    text = re.sub(r"^task \d+: ", "", str(error).strip()).rstrip(".") or "an answer is missing"
    return f"{text} (when you have it, delete the line `raise NotImplementedError`)"


def call(function: Callable, *arguments, **named):
    """What a student's function returns.

    ``NotImplementedError`` becomes "not done yet"; any other exception becomes :class:`Failed` with a sentence that
    names the call, the exception, and the line of the student's cell.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if not callable(function):
        raise Failed(f"expected a function, but found {shown(function)}: did you give its name to something else?")
    said = f"{name}({', '.join([*map(shown, arguments), *(f'{k}={shown(v)}' for k, v in named.items())])})"
    if len(said) > 100:
        said = name
    try:
        return function(*arguments, **named)
    except NotImplementedError as error:
        raise NotDone(_open(error)) from None
    except (NotDone, Failed):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, TypeError) and error.__traceback__.tb_next is None:  # raised by the call, not in the body
            raise Failed(f"{said} is not possible: {error}. Keep the signature that the task gives") from None
        raise Failed(f"{said} raised {told(error)}") from None


def told(error: BaseException) -> str:
    """The exception in a few words, with the last line of the student's own code that it passed through."""
    text = " ".join(str(error).split())
    said = f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_LIBRARY)]
    internal = ("<frozen", "<__array")
    own = [
        f for f in frames if not (os.path.exists(f.filename) or f.filename.startswith(internal))
    ]  # cells are no files
    if not own:
        return said
    code = f": `{own[-1].line}`" if own[-1].line else ""
    return f"{said}, in line {own[-1].lineno} of the cell{code}"


# -- comparing -------------------------------------------------------------------------------------------------------
def close(
    got,
    expected,
    what: str,
    wrong: Mapping | Iterable[tuple] | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Raise :class:`Failed` unless ``got`` is ``expected``, with a sentence that says how it differs.

    Parameters
    ----------
    got
        The student's value: a number, an array (also a list, a table, a tensor, a sparse matrix), a string, a set.
    expected
        The right one. Arrays must have the same shape and the same kind: whole numbers, numbers, or truth values.
    what : str
        How the value came about, as the student would write it: ``"recall_at_k([3, 1, 2], {1, 9}, k=2)"``.
    wrong : dict, or pairs of value and hint
        Typical wrong values, each with the hint that helps: ``{1.0: "you divided by the hits"}``. Pairs where the
        values are arrays.
    rtol, atol : float, default 1e-5 and 1e-8
        Numbers count as equal when they differ by at most ``atol + rtol * abs(expected)``; wide enough for float32.
    """
    if got is None:
        raise Failed(f"{what} gives None: end the function with `return`")
    if got is ...:
        raise NotDone(f"{what} is still `...`")
    hints = list(wrong.items() if isinstance(wrong, Mapping) else wrong or ())
    if isinstance(expected, (str, bytes, set, frozenset, Mapping)):
        _same(got, expected, what, hints)
        return
    right = _array(expected)
    given = _array(got)
    if given is None or given.dtype.kind not in "biufc":
        raise Failed(f"{what} gives {shown(got)}; expected {_kind(right)}")
    if given.shape == right.shape and given.dtype.kind != "b" and right.dtype.kind != "b":
        near = np.isclose(given, right, rtol=rtol, atol=atol, equal_nan=True)
        if near.all():
            if right.ndim and right.dtype.kind in "iu" and given.dtype.kind == "f":
                raise Failed(f"{what} holds the right numbers as {given.dtype}; expected whole numbers: `.astype(int)`")
            return
    elif given.shape == right.shape and given.dtype.kind == right.dtype.kind and (given == right).all():
        return
    for value, hint in hints:
        typical = _array(value)
        if typical is None or typical.shape != given.shape or typical.dtype.kind not in "biufc":
            continue
        if np.allclose(given, typical, rtol=rtol, atol=atol, equal_nan=True):
            short = f"{what} is {shown(got)}, expected {shown(expected)}"
            raise Failed(f"{short if given.size <= 12 else _difference(given, right, what, rtol, atol)}: {hint}")
    raise Failed(_difference(given, right, what, rtol, atol))


def _same(got, expected, what: str, hints: list[tuple]) -> None:
    try:
        if bool(got == expected):
            return
        hint = next((f": {text}" for value, text in hints if bool(got == value)), "")
    except (TypeError, ValueError):  # an array where a set was expected
        hint = ""
    kind = next(k for k in (str, bytes, (set, frozenset), Mapping) if isinstance(expected, k))
    if not isinstance(got, kind):
        raise Failed(f"{what} gives {shown(got)}; expected {shown(expected)}{hint}")
    if isinstance(expected, (set, frozenset)) and not hint:
        parts = (("missing", expected - got), ("too much", got - expected))
        hint = ": " + ", ".join(f"{word} {shown(some)}" for word, some in parts if some)
    raise Failed(f"{what} is {shown(got)}, expected {shown(expected)}{hint}")


def _difference(given: np.ndarray, right: np.ndarray, what: str, rtol: float, atol: float) -> str:
    """How two arrays of numbers differ; the first thing that is wrong."""
    if given.shape != right.shape:
        hint = ""
        if given.ndim == right.ndim > 1 and given.T.shape == right.shape:
            hint = ": rows and columns are swapped"
        elif given.size == right.size:
            hint = ": the same number of entries in another shape"
        if not right.ndim:
            return f"{what} gives an array of shape {given.shape}; expected a single number{hint}"
        return f"{what} has shape {given.shape}, expected {right.shape}{hint}"
    if (given.dtype.kind == "b") != (right.dtype.kind == "b") or given.dtype.kind == "c":
        return f"{what} gives {_kind(given)}; expected {_kind(right)}"
    if given.dtype.kind == "b":
        places = np.argwhere(given != right)
    else:
        broken = ~np.isfinite(given) & np.isfinite(right)
        if broken.any():
            where = _place(np.argwhere(broken)[0])
            return f"{what} contains {given[broken].flat[0]}{where}: a division by zero, or a logarithm of zero?"
        places = np.argwhere(~np.isclose(given, right, rtol=rtol, atol=atol, equal_nan=True))
    first = tuple(places[0])
    values = f"{shown(given[first])}, expected {shown(right[first])}"
    if not right.ndim:
        return f"{what} is {values}"
    return f"{what} differs at {len(places)} of {right.size} places, first{_place(first)}: {values}"


def _place(index) -> str:
    return f" at [{', '.join(map(str, index))}]" if len(index) else ""


def _kind(array: np.ndarray) -> str:
    kinds = {"b": "truth values", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "c": "complex numbers"}
    one = {"b": "True or False", "i": "a whole number", "u": "a whole number", "f": "a number", "c": "a complex number"}
    return f"an array of {kinds[array.dtype.kind]}, shape {array.shape}" if array.ndim else one[array.dtype.kind]


def _array(value) -> np.ndarray | None:
    """Numbers as an array, whatever holds them; ``None`` for what is no array at all."""
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    elif hasattr(value, "toarray"):  # a sparse matrix
        value = value.toarray()
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and hasattr(value, "to_numpy"):
            array = value.to_numpy(dtype=float)
    except (TypeError, ValueError):
        return None
    return array


def shown(value, width: int = 60) -> str:
    """A value in few words, for a message."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, np.integer):
        return str(int(value))
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return shown(value[()], width)
    if hasattr(value, "shape") and not isinstance(value, type):
        size = int(np.prod(tuple(value.shape)))
        array = _array(value) if size <= 12 else None
        if array is not None and array.dtype.kind in "biuf":
            return np.array2string(array, precision=4, separator=", ", max_line_width=1000).replace("\n", "")
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    if callable(value):
        return f"the function {getattr(value, '__name__', type(value).__name__)}"
    try:
        text = repr(value)
    except Exception:
        text = f"an object of class {type(value).__name__}"
    return text if len(text) <= width else f"{text[: width - 2]} …"
