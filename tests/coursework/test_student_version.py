"""From the instructor's notebook to the student's."""

import json
import runpy
from pathlib import Path

import nbformat
import pytest
from mmrec_coursework import make

from mmrec_lib import cli
from mmrec_lib.coursework import notebooks, student_version
from mmrec_lib.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def only(kind, tags, source):
    """The student's source of a single cell."""
    (cell,) = student_version(make([(kind, tags, source)])).cells
    return cell.source


def test_a_function_keeps_its_head():
    source = '''def f(x):
    """Do it.

    At length.
    """
    ### BEGIN SOLUTION
    if x:
        return 1
    return 2
    ### END SOLUTION


print("end")'''
    assert (
        only("code", ["task-2"], source)
        == '''def f(x):
    """Do it.

    At length.
    """
    # YOUR CODE HERE
    raise NotImplementedError("task 2: Do it.")


print("end")'''
    )


def test_several_solutions_and_what_they_are_called():
    source = '''class Model:
    def fit(self, x):
        ### BEGIN SOLUTION
        self.x = x
        ### END SOLUTION
        return self

    def score(self):
        """The "score", 0 \u2264 s."""
        if self.x:
            ### BEGIN SOLUTION
            return 3
            ### END SOLUTION

### BEGIN SOLUTION
y = 1
### END SOLUTION'''
    assert (
        only("code", ["task-11", "other"], source)
        == '''class Model:
    def fit(self, x):
        # YOUR CODE HERE
        raise NotImplementedError("task 11: write fit")
        return self

    def score(self):
        """The "score", 0 \u2264 s."""
        if self.x:
            # YOUR CODE HERE
            raise NotImplementedError("task 11: The \\"score\\", 0 \u2264 s.")

# YOUR CODE HERE
raise NotImplementedError("task 11: answer this")'''
    )


def test_magics_do_not_disturb():
    source = "%matplotlib inline\n!ls\n### BEGIN SOLUTION\n%time x = 1\n### END SOLUTION"
    assert only("code", ["task-1"], source).startswith("%matplotlib inline\n!ls\n# YOUR CODE HERE\nraise")
    assert only("code", ["task-1"], "%%time\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION").startswith("%%time\n#")


def test_text():
    source = "**Why?**\n\n### BEGIN SOLUTION\nBecause.\n\nAnd so on.\n### END SOLUTION\n\nOne sentence."
    assert only("markdown", ["written-1"], source) == "**Why?**\n\n*Your answer here.*\n\nOne sentence."


def test_the_whole_notebook(own):
    instructor = notebooks.read(own / "instructor.ipynb")
    instructor.cells[1].outputs = [nbformat.v4.new_output("stream", text="ada")]
    instructor.cells[1].execution_count = 3
    before = json.dumps(instructor)
    version = student_version(instructor)
    assert json.dumps(instructor) == before, "the source stays as it is"
    assert [cell.id for cell in version.cells] == [f"cell-{n}" for n in range(8)], "teaching notes are left out"
    assert version.cells[1].outputs == []
    assert version.cells[1].execution_count is None
    assert notebooks.tags(version.cells[3]) == ["task-1"]
    for word in ("SOLUTION", "a + b", "sum(work.numbers)", "Because", "Ten minutes"):
        assert word not in nbformat.writes(version)


@pytest.mark.parametrize(
    ("kind", "tags", "source", "said"),
    [
        ("code", [], "### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "has a solution; tag it task-N"),
        ("markdown", [], "### BEGIN SOLUTION\nx\n### END SOLUTION", "has a solution; tag it written-N"),
        ("code", ["task-1", "task-2"], "### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "2 tags of the kind task-N"),
        ("code", ["task-1"], "### BEGIN SOLUTION\nx = 1", "line 1: '### BEGIN SOLUTION' without"),
        ("code", ["task-1"], "x = 1\n### END SOLUTION", "line 2: .* in turns"),
        ("code", ["task-1"], "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "line 2: .* in turns"),
        ("code", ["task-1"], "x = 1  ### BEGIN SOLUTION\n### END SOLUTION", "line 1: .* stand alone"),
        ("code", ["task-1"], "### BEGIN SOLUTION\nx = = 1\n### END SOLUTION", "line 2 is no Python"),
        ("code", ["task-1"], "x = [\n### BEGIN SOLUTION\n1\n### END SOLUTION\n]", "is no Python"),
    ],
)
def test_mistakes_are_named(kind, tags, source, said):
    with pytest.raises(DataError, match=said):
        only(kind, tags, source)


def test_the_command(own, capsys):
    target = own / "student.ipynb"
    assert cli.main(["coursework", "student", str(own / "instructor.ipynb"), str(target)]) == 0
    assert "8 cells, 2 of them to be written" in capsys.readouterr().out
    stored = target.read_text(encoding="utf-8")
    assert stored == nbformat.writes(student_version(notebooks.read(own / "instructor.ipynb"))) + "\n"
    (own / "broken.ipynb").write_text("{", encoding="utf-8")
    assert cli.main(["coursework", "student", str(own / "broken.ipynb"), str(target)]) == 1
    assert "not a notebook that can be read" in capsys.readouterr().err
    assert target.read_text(encoding="utf-8") == stored
    assert cli.main(["coursework", "student", str(own / "no.ipynb"), str(target)]) == 1
    assert "no.ipynb: cannot be read" in capsys.readouterr().err


def test_the_tool_makes_both_notebooks(tmp_path):
    tool = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))
    draft = tmp_path / "draft.md"
    draft.write_text(
        "# Title\n\n```{code-cell} python\n:tags: [task-1]\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n```\n",
        encoding="utf-8",
    )
    target = tmp_path / "a90_sums" / "instructor.ipynb"
    assert tool["main"](["make", str(draft), str(target)]) == 0
    instructor, student = (notebooks.read(target.with_name(f"{name}.ipynb")) for name in ("instructor", "student"))
    assert instructor.cells[1].source == tool["setup_source"](target)
    assert student == student_version(instructor)
    with pytest.raises(SystemExit):
        tool["main"](["make", str(draft), str(tmp_path / "a90_sums" / "solution.ipynb")])


def test_id_is_read_without_running():
    assert notebooks.student_id(make([("code", [], "%pip install x\nSTUDENT = 'ada'")])) == "ada"
    assert notebooks.student_id(make([("code", [], "raise SystemExit\nSTUDENT = 'ada'  # me")])) == "ada"
    assert notebooks.student_id(make([("code", [], "STUDENT = 4711"), ("code", [], "STUDENT = 'bob'")])) == "4711"
    assert notebooks.student_id(make([("code", [], "STUDENT = input()"), ("markdown", [], "STUDENT = 'x'")])) is None
    assert notebooks.student_id(make([("code", [], "STUDENT = ("), ("code", [], "STUDENT = 'bob'")])) == "bob"


def test_written_answers_are_found():
    kinds = [
        ("markdown", [], "# Title"),
        ("markdown", ["written-1"], "**1.** Why?\n\n*Your answer here.*"),
        ("code", [], "check(1)"),
        ("markdown", ["written-2"], "*Your answer here.*"),
        ("markdown", [], "## End"),
    ]
    handed_out = make(kinds)
    answered = [list(cell) for cell in kinds]
    answered[1][2], answered[3][2] = "**1.** Why?\n\nBecause.", "Never."
    expected = {1: "**1.** Why?\n\nBecause.", 2: "Never."}
    assert notebooks.written_answers(make(answered)) == expected
    for cell in answered:
        cell[1] = []  # an editor that drops tags
    assert notebooks.written_answers(make(answered)) == {}
    assert notebooks.written_answers(make(answered), handed_out) == expected
    more = [*answered[:4], ("markdown", [], "And so on."), answered[4], ("markdown", [], "My notes")]
    assert notebooks.written_answers(make(more), handed_out) == {**expected, 2: "Never.\n\nAnd so on."}
    beside = [*kinds[:4], ("markdown", [], "Never."), kinds[4]]  # the answer in a cell below the place for it
    assert notebooks.written_answers(make(beside), handed_out)[2] == "*Your answer here.*\n\nNever."
