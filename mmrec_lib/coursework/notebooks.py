"""The student version of an instructor's notebook: solutions and teaching notes taken out, as nbgrader marks them.

In a code cell that is tagged ``task-2``::

    def recall_at_k(ranked, relevant, k):
        '''Share of the relevant items among the first k.'''
        ### BEGIN SOLUTION
        return len(set(ranked[:k]) & relevant) / len(relevant)
        ### END SOLUTION

becomes ``# YOUR CODE HERE`` and ``raise NotImplementedError("task 2: Share of the relevant items ...")`` with the first
line of the docstring. In a text cell that is tagged ``written-1``, what stands between the same two lines becomes
``*Your answer here.*``. Cells that are tagged ``instructor`` disappear.
"""

from __future__ import annotations

import ast
import copy
import json
import os
import re
from pathlib import Path

from ..errors import DataError, MissingPackageError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
CODE, TEXT = "# YOUR CODE HERE", "*Your answer here.*"
_TASK = re.compile(r"task-(\d+)")
_WRITTEN = re.compile(r"written-(\d+)")


def read(path: str | Path):
    """A notebook of any version of the format as version 4; raises :class:`DataError` when it cannot be read."""
    nbformat = _nbformat()
    try:
        notebook = nbformat.read(Path(path), as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # broken JSON, a missing key, an unknown version: whatever the reader meets
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"{path}: not a notebook that can be read: {reason}") from None
    return notebook


def write(notebook, path: str | Path) -> None:
    """Store a notebook in one step, by a temporary file."""
    nbformat = _nbformat()
    nbformat.validate(notebook)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(scratch, path)


def tags(cell) -> list[str]:
    """Tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def number(cell, kind: str = "task") -> int | None:
    """Number of the task (``kind="written"``: of the written question) that a cell belongs to, if any."""
    pattern = _WRITTEN if kind == "written" else _TASK
    found = [int(match[1]) for tag in tags(cell) if (match := pattern.fullmatch(tag))]
    if len(found) > 1:
        raise DataError(f"{_named(cell)}: {len(found)} tags of the kind {kind}-N; give one")
    return found[0] if found else None


def plain(source: str) -> str:
    """Python without the lines and the cell magics that only IPython understands; the line numbers stay."""
    if source.lstrip().startswith("%%"):
        source = re.sub(r"^\s*%%.*", "pass", source, count=1)
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)


def student_id(notebook) -> str | None:
    """What a notebook gives to ``STUDENT``, read from its text, nothing executed; ``None`` if there is no such line."""
    for cell in notebook.cells:
        if cell.cell_type != "code" or "STUDENT" not in cell.source:
            continue
        try:
            tree = ast.parse(plain(cell.source))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
                continue
            if any(isinstance(t, ast.Name) and t.id == "STUDENT" for t in node.targets):
                return str(node.value.value)
    return None


def with_student(notebook, student: str):
    """A copy with another id in the cell that is tagged ``student``."""
    version = copy.deepcopy(notebook)
    for cell in version.cells:
        if "student" in tags(cell):
            cell.source = re.sub(r"^STUDENT\s*=.*$", f"STUDENT = {student!r}", cell.source, flags=re.MULTILINE)
    return version


def solved_cells(notebook) -> dict[int, list]:
    """The code cells with a solution, by task."""
    found: dict[int, list] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and BEGIN in cell.source:
            found.setdefault(number(cell), []).append(cell)
    return found


def written_answers(notebook, handed_out=None) -> dict[int, str]:
    """The answers to the written questions, by number.

    An answer is the cell with the tag. With the notebook as it was handed out, text cells that the student has put
    right below belong to it; and where an editor has dropped the tag, the answer is a cell that begins like the
    question's, or a new one below the cell that came before it.
    """
    known, begins, below = set(), {}, {}
    before = None
    for cell in handed_out.cells if handed_out is not None else ():
        question = number(cell, "written")
        if question is None:
            known.add(cell.source)
        else:
            first = cell.source.partition("\n")[0]
            begins |= {} if first == TEXT else {first: question}
            below[before] = question
        before = cell.source
    found: dict[int, list[str]] = {}
    current, before = None, None
    for cell in notebook.cells:
        question = _question(cell)
        if question is None and handed_out is not None and cell.cell_type == "markdown" and cell.source not in known:
            question = begins.get(cell.source.partition("\n")[0], below.get(before, current))
        current = question
        if question is not None:
            found.setdefault(question, []).append(cell.source)
        before = cell.source
    return {question: "\n\n".join(texts) for question, texts in found.items()}


def _question(cell) -> int | None:
    try:
        return number(cell, "written")
    except DataError:  # a student may do anything to tags
        return None


def student_version(notebook):
    """A notebook for students from an instructor's.

    Parameters
    ----------
    notebook : NotebookNode
        Marked as the module describes; it stays as it is.

    Returns
    -------
    NotebookNode
        Without solutions, teaching notes and outputs; ids, tags and everything else are kept.

    Raises
    ------
    DataError
        Markers that do not pair; a solution in a cell without its one tag ``task-N`` (text: ``written-N``); a cell that
        is no Python with or without its solution.
    """
    version = copy.deepcopy(notebook)
    version.cells = [cell for cell in version.cells if "instructor" not in tags(cell)]
    for cell in version.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if BEGIN not in cell.source and END not in cell.source:
            continue
        kind = "task" if cell.cell_type == "code" else "written"
        task = number(cell, kind)
        if task is None and kind == "written":
            task = number(cell)
        if task is None:
            raise DataError(f"{_named(cell)}: has a solution; tag it {kind}-N with the number of its {kind} question")
        cell.source = _open_code(cell, task) if kind == "task" else _open_text(cell)
    return version


def _open_text(cell) -> str:
    lines = cell.source.splitlines()
    for begin, end in reversed(_blocks(cell)):
        lines[begin : end + 1] = [TEXT]
    return "\n".join(lines)


def _open_code(cell, task: int) -> str:
    tree = _tree(cell, cell.source)
    lines = cell.source.splitlines()
    for begin, end in reversed(_blocks(cell)):
        indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
        told = json.dumps(f"task {task}: {_asked(tree, begin + 1, len(indent))}", ensure_ascii=False)
        lines[begin : end + 1] = [f"{indent}{CODE}", f"{indent}raise NotImplementedError({told})"]
    source = "\n".join(lines)
    _tree(cell, source)
    return source


def _blocks(cell) -> list[tuple[int, int]]:
    """First and last line of each solution, markers included."""
    blocks, begin = [], None
    for place, line in enumerate(cell.source.splitlines()):
        mark = line.strip()
        if mark == BEGIN and begin is None:
            begin = place
        elif mark == END and begin is not None:
            blocks.append((begin, place))
            begin = None
        elif BEGIN in line or END in line:
            raise DataError(f"{_named(cell)}: line {place + 1}: {BEGIN!r} and {END!r} stand alone on a line, in turns")
    if begin is not None:
        raise DataError(f"{_named(cell)}: line {begin + 1}: {BEGIN!r} without {END!r}")
    return blocks


def _asked(tree: ast.Module, line: int, indent: int) -> str:
    """What the solution that begins at a line does: the docstring of its function, or a few words."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.lineno < line <= node.end_lineno and node.col_offset < indent
    ]
    if not around:
        return "answer this"
    inner = max(around, key=lambda node: node.lineno)
    told = (ast.get_docstring(inner) or "").partition("\n")[0].strip()
    return told or f"write {inner.name}"


def _tree(cell, source: str) -> ast.Module:
    try:
        return ast.parse(plain(source))
    except SyntaxError as error:
        raise DataError(f"{_named(cell)}: line {error.lineno} is no Python: {error.msg}") from None


def _named(cell) -> str:
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    return f"cell {cell.get('id', '?')} ({first[:50]!r})"


def _nbformat():
    try:
        import nbformat
    except ImportError:
        raise MissingPackageError("nbformat", "reading a notebook", "book") from None
    return nbformat
