"""``mmrec coursework``: student versions of notebooks, grading, and the public checks from the command line."""

from __future__ import annotations

import sys
from pathlib import Path


def add_commands(commands) -> None:
    """Put ``coursework`` with its own commands into the parser."""
    parser = commands.add_parser(
        "coursework",
        help="assignments: make the student version, check a notebook, grade a folder",
        description="Assignments with personal data, checks that teach, and a grader. Without a command it lists them. "
        "coursework/README.md says how to assign one on Monday.",
    )
    parser.set_defaults(run=_list)
    own = parser.add_subparsers(title="commands", metavar="COMMAND")
    student = own.add_parser(
        "student",
        help="make the student version of an instructor's notebook",
        description="Take out what stands between ### BEGIN SOLUTION and ### END SOLUTION, the cells tagged "
        "instructor, and all outputs.",
    )
    student.add_argument("instructor", type=Path, help="notebook with solutions")
    student.add_argument("student", type=Path, help="notebook to write; an existing one is replaced")
    student.set_defaults(run=_student)
    grade = own.add_parser(
        "grade",
        help="grade a notebook or a folder of them with hidden tests",
        description="Run each notebook in a process of its own and write points.csv, feedback/STUDENT.md and "
        "written.md. What is graded already is not run again unless the notebook, the tests or the library changed.",
        epilog="This executes what strangers wrote: use a container without a network, or a machine that can be thrown "
        "away. Example: mmrec coursework grade a1 submissions/ --out results/",
    )
    _key(grade)
    grade.add_argument("submissions", type=Path, help="a notebook, or a folder with notebooks at any depth")
    grade.add_argument("--out", type=Path, required=True, help="folder for the results")
    grade.add_argument("--tests", type=Path, help="file of hidden tests (default: coursework/KEY_*/hidden_tests.py)")
    _limits(grade)
    grade.add_argument("--jobs", type=int, default=1, help="notebooks at a time (default: 1)")
    grade.add_argument("--again", action="store_true", help="run everything again")
    grade.set_defaults(run=_grade)
    check = own.add_parser(
        "check",
        help="run a notebook and say what its public checks say",
        description="Run a notebook from top to bottom, as the grader does, and print what the public checks say. "
        "Nothing is written. The result is 0 when all tasks pass.",
    )
    _key(check)
    check.add_argument("notebook", type=Path)
    _limits(check)
    check.set_defaults(run=_check)


def _key(parser) -> None:
    parser.add_argument("assignment", help="a1, a2, ...; `mmrec coursework` lists them")


def _limits(parser) -> None:
    parser.add_argument("--timeout", type=float, default=240, help="seconds for a notebook (default: 240)")
    parser.add_argument("--memory", type=float, default=8, help="GiB of address space for a notebook (default: 8)")


def _list(options) -> int:
    from ..coursework import assignments

    print(assignments().to_string())
    return 0


def _student(options) -> int:
    from ..coursework import notebooks

    version = notebooks.student_version(notebooks.read(options.instructor))
    notebooks.write(version, options.student)
    open_ = sum(notebooks.CODE in cell.source for cell in version.cells)
    print(f"{options.student}: {len(version.cells)} cells, {open_} of them to be written")
    return 0


def _grade(options) -> int:
    from ..coursework import grading

    table = grading.grade(
        options.assignment,
        options.submissions,
        options.out,
        options.tests,
        timeout=options.timeout,
        memory=options.memory,
        jobs=options.jobs,
        again=options.again,
        tell=lambda line: print(line, flush=True),
    )
    counts = table["status"].value_counts()
    print(f"{options.out / 'points.csv'}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))
    broken = table.loc[table["status"] == grading.BROKEN, "note"]
    if len(broken):
        print(broken.iloc[0], file=sys.stderr)
    return 1 if len(broken) else 0


def _check(options) -> int:
    from ..coursework import grading
    from ..errors import DataError, ParameterError

    outcome = grading.prepared(options.notebook, options.assignment)
    if outcome.status not in (grading.OK, grading.NO_ID):
        raise DataError(f"{options.notebook}: {outcome.status}: {outcome.note}")
    if outcome.status == grading.NO_ID:
        raise ParameterError(f"{options.notebook}: {outcome.note}")
    outcome = grading.run(
        options.notebook, options.assignment, outcome.student, timeout=options.timeout, memory=options.memory
    )
    for cell in outcome.cells:
        if not cell["open"]:
            print(f"code cell {cell['number']} ({cell['first']}) stopped: {cell['error']}", file=sys.stderr)
    result = outcome.result(options.assignment)
    print("\n".join(result.lines()))
    if outcome.status != grading.OK:
        print(f"{outcome.status}: {outcome.note}", file=sys.stderr)
    return 0 if result.passed and outcome.status == grading.OK else 1
