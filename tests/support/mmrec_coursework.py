"""A tiny assignment with two tasks, and notebooks that answer it."""

import nbformat

CHECKS = """
import numpy as np

from mmrec_lib.coursework.checking import Assignment, Failed, call, close

assignment = Assignment("a90", "Sums", hours=(1, 2))


@assignment.personal
def personal(seed):
    return {"numbers": np.random.default_rng(seed).integers(1, 100, 5)}


@assignment.task(1, "Add", points=4, needs=["add"])
def add(space):
    close(call(space["add"], 2, 3), 5, "add(2, 3)", wrong={6: "that is the product"})


@assignment.task(2, "Your numbers", points=6, needs=["total"])
def total(space):
    if space["total"] <= 0:
        raise Failed("your numbers are positive")
"""
TESTS = """
import pytest


@pytest.mark.task(1)
@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, -1), (2, 2.5), (7, 1)])
def test_add(space, a, b):
    assert space["add"](a, b) == pytest.approx(a + b), f"{a} and {b} make {a + b}"


@pytest.mark.task(2)
def test_total(space, work):
    assert space["total"] == work.numbers.sum()
"""
INSTRUCTOR = [
    ("markdown", [], "# A90 Sums"),
    ("code", ["student"], 'STUDENT = "your-id"'),
    ("code", [], 'import mmrec_lib as mm\n\nwork = mm.coursework.start("a90", STUDENT)'),
    (
        "code",
        ["task-1"],
        'def add(a, b):\n    """The sum."""\n    ### BEGIN SOLUTION\n    return a + b\n    ### END SOLUTION',
    ),
    ("code", [], 'mm.coursework.check("a90", locals(), task=1)'),
    ("code", ["task-2"], "### BEGIN SOLUTION\ntotal = sum(work.numbers)\n### END SOLUTION"),
    ("code", [], 'mm.coursework.check("a90", locals())'),
    ("markdown", ["written-1"], "Why?\n\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION"),
    ("markdown", ["instructor"], "Ten minutes."),
]


def make(cells):
    """A notebook from kind, tags and source of each cell."""
    notebook = nbformat.v4.new_notebook()
    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    for place, (kind, tags, source) in enumerate(cells):
        metadata = {"tags": tags} if tags else {}
        notebook.cells.append(new[kind](source, id=f"cell-{place}", metadata=metadata))
    return notebook
