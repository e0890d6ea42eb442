"""The grader on a folder of small submissions: each cell of the table, the feedback, and nobody harmed by another."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from mmrec_coursework import INSTRUCTOR, TESTS, make

import mmrec_lib as mm
from mmrec_lib import cli
from mmrec_lib.coursework import grading, notebooks
from mmrec_lib.errors import DataError, ParameterError

ADD, TOTAL = 3, 5  # places of the cells that a student fills
RIGHT = {ADD: "def add(a, b):\n    return a + b", TOTAL: "total = sum(work.numbers)"}


def submit(path: Path, student: str, **changed) -> None:
    """Write a submission; ``add`` and ``total`` are the sources of its two cells, ``last`` comes at the end."""
    cells = [list(cell) for cell in INSTRUCTOR[:-1]]
    cells[1][2] = f"STUDENT = {student!r}"
    for place, name in ((ADD, "add"), (TOTAL, "total")):
        cells[place][2] = changed.get(name, RIGHT[place])
    cells[7][2] = changed.get("written", "Why?\n\nBecause I say so.")
    if "last" in changed:
        cells.append(("code", [], changed["last"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(make(cells), path)


def graded(folder, tmp_path, **options):
    options = {"timeout": 60} | options
    tests = tmp_path / "coursework" / "a90_sums" / "hidden_tests.py"
    return grading.grade("a90", folder, tmp_path / "out", tests, **options)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with one submission of every kind, graded once by the command; the table and the folder of results."""
    from mmrec_coursework import CHECKS

    root = tmp_path_factory.mktemp("grade")
    (root / "checks").mkdir()
    (root / "checks" / "a90.py").write_text(CHECKS, encoding="utf-8")
    (root / "tests.py").write_text(TESTS, encoding="utf-8")
    own = root / "in"
    submit(own / "Ada Lovelace_123_assignsubmission_file" / "a90 (1).ipynb", "Ada")
    submit(own / "bob" / "work.ipynb", "bob", add="def add(a, b):\n    return a * b", written="Why?\n\n`x` <b>=1</b>")
    submit(own / "carl.ipynb", "carl", add="def add(a, b):\n    raise NotImplementedError('task 1: The sum.')")
    submit(own / "crash.ipynb", "dan", total="import os\ntotal = 1\nos._exit(3)")
    submit(own / "late_crash.ipynb", "eve", add="def add(a, b):\n    if a == 7:\n        import os\n"
           "        os._exit(0)\n    return a + b")  # fmt: skip
    submit(own / "twice_1.ipynb", "fay")
    submit(own / "twice_2.ipynb", "FAY ", total="total = 1")
    submit(own / "slow.ipynb", "gus", add="while True:\n    try:\n        pass\n    except Exception:\n        pass")
    submit(own / "loud.ipynb", "hal", last="for _ in range(2000):\n    print('x' * 10_000)\nwork = 3\nSTUDENT = 'ada'")
    submit(own / "nobody.ipynb", "your-id")
    submit(own / "formula.ipynb", "=cmd()")
    submit(own / "other.ipynb", "ivy", last="mm.coursework.start('a1', STUDENT)")
    (own / "broken.ipynb").write_text('{"cells": [', encoding="utf-8")
    (own / "empty.ipynb").write_text("", encoding="utf-8")
    other = nbformat.read(own / "other.ipynb", 4)
    other.cells[2].source = "import mmrec_lib as mm\nwork = mm.coursework.start('a1', STUDENT)"
    nbformat.write(other, own / "other.ipynb")
    submit(own / ".ipynb_checkpoints" / "old.ipynb", "old")
    submit(own / "__MACOSX" / "._a.ipynb", "mac")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMREC_COURSEWORK", str(root / "checks"))
        patch.setenv("SECRET_KEY", "of the marker")
        arguments = ["--out", str(root / "out"), "--tests", str(root / "tests.py"), "--timeout", "24", "--jobs", "2"]
        assert cli.main(["coursework", "grade", "a90", str(own), *arguments]) == 0
    return pd.read_csv(root / "out" / "points.csv", keep_default_na=False), root / "out"


def test_table(results):
    table, _ = results
    assert table.columns.tolist() == [
        "student", "file", "task 1", "task 2", "total", "share", "seconds", "status", "note"
    ]  # fmt: skip
    expected = [
        ["", "broken.ipynb", "", "", "", "", "unreadable notebook"],
        ["", "empty.ipynb", "", "", "", "", "unreadable notebook"],
        ["", "formula.ipynb", "", "", "", "", "no student id"],
        ["", "nobody.ipynb", "", "", "", "", "no student id"],
        ["ada", "Ada Lovelace_123_assignsubmission_file/a90 (1).ipynb", "4.0", "6.0", "10.0", "1.0", "ok"],
        ["bob", "bob/work.ipynb", "1.0", "6.0", "7.0", "0.7", "ok"],  # 0 * 0 is 0 + 0: one of four tests
        ["carl", "carl.ipynb", "0.0", "6.0", "6.0", "0.6", "ok"],
        ["dan", "crash.ipynb", "0.0", "0.0", "0.0", "0.0", "crashed"],
        ["eve", "late_crash.ipynb", "3.0", "0.0", "3.0", "0.3", "crashed"],
        ["fay", "twice_1.ipynb", "4.0", "6.0", "10.0", "1.0", "duplicate student id"],
        ["fay", "twice_2.ipynb", "4.0", "0.0", "4.0", "0.4", "duplicate student id"],
        ["gus", "slow.ipynb", "0.0", "6.0", "6.0", "0.6", "ok"],
        ["hal", "loud.ipynb", "4.0", "6.0", "10.0", "1.0", "ok"],
        ["ivy", "other.ipynb", "", "", "", "", "other assignment"],
    ]
    assert table.drop(columns=["seconds", "note"]).astype(str).to_numpy().tolist() == expected
    notes = dict(zip(table["file"], table["note"], strict=True))
    assert notes["crash.ipynb"] == "the process ended with status 3"
    assert notes["twice_1.ipynb"] == "the same id as twice_2.ipynb"
    assert notes["nobody.ipynb"].startswith("STUDENT is still 'your-id'")
    assert notes["formula.ipynb"] == "STUDENT = '=cmd()' is no id"
    assert notes["other.ipynb"] == "this is a notebook of a1"
    assert "not a notebook that can be read" in notes["broken.ipynb"]
    assert notes["bob/work.ipynb"] == ""


def test_feedback(results):
    _, out = results
    names = sorted(path.name for path in (out / "feedback").iterdir())
    assert names == [
        "ada.md", "bob.md", "broken.md", "carl.md", "dan.md", "empty.md", "eve.md", "fay-2.md", "fay.md", "formula.md",
        "gus.md", "hal.md", "ivy.md", "nobody.md",
    ]  # fmt: skip
    read = {path.stem: path.read_text(encoding="utf-8") for path in (out / "feedback").iterdir()}
    assert read["ada"] == (
        "# a90 Sums: feedback for ada\n\n10 of 10 points in the hidden tests.\n\n## Task 1 Add: 4 of 4\n\n"
        "4 of 4 hidden tests pass.\n\n## Task 2 Your numbers: 6 of 6\n\n1 of 1 hidden tests pass.\n\n"
        "## Written answers\n\nThese are marked by hand.\n"
    )
    assert "    add(2, 3) is 6, expected 5: that is the product\n" in read["bob"]
    assert (
        "`test_add[2-2.5]` does not pass:\n\n    2 and 2.5 make 4.5\n    assert 5.0 == 4.5 ± 4.5e-06\n" in read["bob"]
    )
    assert "    not done yet: The sum (when you have it, delete" in read["carl"]
    assert "test_add" not in read["carl"], "what is open needs no list of tests"
    assert "**crashed**" in read["dan"]
    assert "was not reached" in read["dan"]
    assert "Code cell 3:\n\n    while True: ...\n    took longer than 6 s\n" in read["gus"]
    assert "NameError" not in read["hal"]
    assert "**unreadable notebook**" in read["broken"]
    for text in read.values():
        assert "Traceback" not in text
        assert "/tmp" not in text
    written = (out / "written.md").read_text(encoding="utf-8")
    assert "## Question 1" in written
    assert "### bob\n\n    Why?\n    \n    `x` <b>=1</b>\n" in written


def test_personal_data_are_the_students_own(own, tmp_path):
    """Whatever a notebook does to its ``work``: the hidden tests take the data of its STUDENT."""
    numbers = mm.coursework.start("a90", "ada").numbers
    submit(tmp_path / "in" / "copied.ipynb", "bob", total=f"total = {numbers.sum()}")
    bend = "import types\nwork = types.SimpleNamespace(numbers=np.ones(5))\ntotal = 5\nSTUDENT = 'x'"
    submit(tmp_path / "in" / "bent.ipynb", "cy", total="import numpy as np\n" + bend)
    table = graded(tmp_path / "in", tmp_path)
    assert table["task 2"].tolist() == [0.0, 0.0]
    assert mm.coursework.start("a90", "bob").numbers.sum() != numbers.sum()


def test_what_a_submission_may_not_do(own, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "of the marker")
    marker = tmp_path / "touched"
    probe = f"""
import os, sys, subprocess
def tried(action):
    try:
        return action()
    except BaseException as error:
        return type(error).__name__
found = [os.environ.get("SECRET_KEY"), sys.stdin.read(), os.environ["HOME"] == os.getcwd()]
!touch {marker}
%pip install no-such-package-at-all
large = tried(lambda: bytearray(64 * 2**30))
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
open("child", "w").write(str(child.pid))
assert found == [None, "", True] and large == "MemoryError", (found, large)
total = child.pid
"""
    (own / "hidden_tests.py").write_text(
        TESTS.replace('assert space["total"] == work.numbers.sum()', 'raise ValueError(space["total"])'),
        encoding="utf-8",
    )
    submit(tmp_path / "in" / "probe.ipynb", "bob", total=probe)
    (outcome,) = [grading.run(tmp_path / "in" / "probe.ipynb", "a90", "bob", own / "hidden_tests.py", timeout=60)]
    assert outcome.cells == []
    assert not marker.exists()
    (said,) = [test["message"] for test in outcome.tests if test["task"] == 2]
    child = int(said.split("ValueError: ")[1].split(",")[0])
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child), "what a submission started ends with it"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return b") Z " not in Path(f"/proc/{process}/stat").read_bytes() if Path("/proc").exists() else True


def test_strange_lines_in_the_journal_are_left_out(tmp_path):
    lines = [
        '{"kind": "found", "test": "t", "task": 1}',
        *("[1]", "{", '{"kind": ["a"]}', '{"kind": "test", "test": "no"}', '{"kind": "check", "task": "x"}'),
        '{"kind": "check", "task": 1, "state": "perfect", "message": 3}',
        '{"kind": "found", "test": [], "task": "x"}',
        '{"kind": "test", "test": "t", "passed": 1, "message": ""}',
        '{"kind": "test", "test": "t", "pas',
    ]
    (tmp_path / "journal").write_text("\n".join(lines), encoding="utf-8")
    outcome = grading.Outcome()
    grading._fill(outcome, grading._read_journal(tmp_path / "journal"))
    assert outcome.checks == {1: ("failed", "3")}
    assert outcome.tests == [{"test": "t", "task": 1, "passed": True, "message": ""}]
    assert grading._read_journal(tmp_path / "none") == []


def test_who_deletes_what_is_around_him_harms_nobody(own, tmp_path):
    submit(tmp_path / "in" / "a.ipynb", "ada", last="import shutil\nshutil.rmtree('..')")
    submit(tmp_path / "in" / "b.ipynb", "bob")
    table = graded(tmp_path / "in", tmp_path)
    assert table[["total", "status"]].to_numpy().tolist() == [[0.0, "crashed"], [10.0, "ok"]]


def test_hard_limit_of_time_keeps_what_was_reached(own, tmp_path):
    stubborn = """
def add(a, b):
    import time
    while a == 7:
        try:
            time.sleep(100)
        except BaseException:
            pass
    return a + b
"""
    submit(tmp_path / "in" / "a.ipynb", "ada", add=stubborn)
    table = graded(tmp_path / "in", tmp_path, timeout=12)
    assert table.loc[0, ["task 1", "task 2", "status"]].tolist() == [3.0, 0.0, "timeout"]
    assert table.loc[0, "note"] == "stopped after 12 s"


def test_graded_again_only_where_something_changed(own, tmp_path, capsys):
    submit(tmp_path / "in" / "a.ipynb", "ada")
    first = graded(tmp_path / "in", tmp_path)
    begin = time.perf_counter()
    second = graded(tmp_path / "in", tmp_path)
    assert time.perf_counter() - begin < 1
    pd.testing.assert_frame_equal(first, second)
    (own / "hidden_tests.py").write_text(TESTS.replace("+ b", "- b"), encoding="utf-8")
    assert graded(tmp_path / "in", tmp_path)["total"].tolist() == [7.0]
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_hidden_tests_that_are_broken_are_named(own, tmp_path):
    submit(tmp_path / "in" / "a.ipynb", "ada")
    for text, said in (
        ("import no_such_module", "no_such_module"),
        ("def test_x(space): pass", "test_x has no @pytest"),
    ):
        (own / "hidden_tests.py").write_text(text, encoding="utf-8")
        row = graded(tmp_path / "in", tmp_path).loc[0]
        assert row["status"] == "tests broken"
        assert said in row["note"]
        assert pd.isna(row["total"])


def test_mistakes_of_the_marker(own, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="no notebook"):
        graded(tmp_path / "in", tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        graded(tmp_path / "nowhere", tmp_path)
    with pytest.raises(ParameterError, match="no such file"):
        grading.grade("a90", tmp_path / "in", tmp_path / "out", tmp_path / "no.py")
    with pytest.raises(ParameterError, match="--tests"):
        grading.default_tests("a90")
    with pytest.raises(ParameterError, match="timeout"):
        graded(tmp_path / "in", tmp_path, timeout=0)


def test_default_tests_are_found(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert grading.default_tests("a90") == own / "hidden_tests.py"


def test_check_from_the_command_line(own, tmp_path, capsys):
    submit(tmp_path / "mine.ipynb", "ada", add="def add(a, b):\n    return a - c")
    assert cli.main(["coursework", "check", "a90", str(tmp_path / "mine.ipynb")]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "✗ task 1 Add: add(2, 3) raised NameError: name 'c' is not defined, in line 2 of the cell: `return a - c`",
        "✓ task 2 Your numbers",
    ]
    assert said.err == ""
    submit(tmp_path / "mine.ipynb", "ada", last="1 / 0")
    assert cli.main(["coursework", "check", "a90", str(tmp_path / "mine.ipynb")]) == 0
    assert "code cell 7 (1 / 0) stopped: ZeroDivisionError" in capsys.readouterr().err
    submit(tmp_path / "mine.ipynb", "your-id")
    assert cli.main(["coursework", "check", "a90", str(tmp_path / "mine.ipynb")]) == 1
    assert "STUDENT is still" in capsys.readouterr().err
    assert cli.main(["coursework"]) == 0
    assert "Neighbours and metrics" in capsys.readouterr().out


def test_proof_finds_what_does_not_hold(own):
    """The four promises can fail: each defect of a tiny assignment is named."""
    answers = """
from mmrec_lib.coursework.grading import Wrong

WRONG = [
    Wrong(1, "product", "def add(a, b):\\n    return a * b", "the PRODUCT"),
    Wrong(1, "other message", "def add(a, b):\\n    return a * b", "difference"),
    Wrong(1, "right", "def add(a, b):\\n    return a + b", "x"),
    Wrong(2, "negative", "total = -1", "positive"),
    Wrong(1, "two at once", "def add(a, b):\\n    return a * b\\n\\n\\ntotal = -1", "product"),
]
"""
    (own / "wrong_answers.py").write_text(answers, encoding="utf-8")
    proof = grading.prove(own, timeout=60)
    assert [wrong.name for wrong in proof.wrong] == ["product", "other message", "right", "negative", "two at once"]
    assert proof.complaints() == [
        "wrong answer 'other message': the message does not match 'difference': "
        "add(2, 3) is 6, expected 5: that is the product",
        "wrong answer 'right': the check of task 1 is 'passed', not 'failed': ",
        "wrong answer 'right': the hidden tests of task 1 all pass",
        "wrong answer 'two at once': the check of task 2 is 'failed' too: your numbers are positive",
    ]
    (own / "wrong_answers.py").write_text("WRONG = []", encoding="utf-8")
    stray = "@pytest.mark.task(7)\ndef test_stray(space):\n    space['x']\n"
    idle = "@pytest.mark.task(1)\ndef test_nothing():\n    pass\n"
    weak = "\n\n".join([TESTS.replace("== work.numbers.sum()", "> 5_000"), idle, stray])
    (own / "hidden_tests.py").write_text(weak, encoding="utf-8")
    said = grading.prove(own, timeout=60).complaints()
    assert "hidden tests name the task 7, which does not exist" in said
    assert "student version: test_nothing passes without work" in said
    assert any(line.startswith("solution: test_total does not pass") for line in said)


def test_the_library_is_light_for_students():
    """A notebook that checks itself waits neither for the grader nor for torch."""
    program = (
        "import sys, mmrec_lib as mm; mm.coursework.check; mm.coursework.start; "
        "print(*{'torch', 'IPython', 'nbformat', 'pytest', 'mmrec_lib.coursework.grading'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_marks_are_read_from_the_cell_alone():
    assert notebooks.number(make([("code", ["task-12", "x"], "")]).cells[0]) == 12
    assert notebooks.number(make([("markdown", ["written-3"], "")]).cells[0], "written") == 3
    assert notebooks.number(make([("code", ["task-x"], "")]).cells[0]) is None
