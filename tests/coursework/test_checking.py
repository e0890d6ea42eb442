"""What a student reads: the messages of checks, personal data, and the table of assignments."""

import linecache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.coursework.checking import Assignment, Failed, NotDone, call, close, shown
from mmrec_lib.errors import ParameterError, UnknownNameError


def message(*arguments, **named):
    with pytest.raises(Failed) as raised:
        close(*arguments, **named)
    return str(raised.value)


def cell(source, name="<cell 7>"):
    """Functions of a notebook's cell, whose text is known to tracebacks but is no file."""
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    names: dict = {}
    exec(compile(source, name, "exec"), names)
    return names


# -- close -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (0.5, 0.5),
        (np.float32(0.1), 0.1),
        (3, 3.0),
        (3.0, 3),
        (True, True),
        (np.nan, np.nan),
        ([1, 2], np.array([1, 2])),
        (pd.Series([0.5, 1.0]), [0.5, 1.0]),
        (torch.ones(2, requires_grad=True), np.ones(2)),
        (sparse.eye(2, format="csr"), np.eye(2)),
        ({1, 2}, frozenset({2, 1})),
        ("abc", "abc"),
        ({"a": 1}, {"a": 1}),
        ([True, False], np.array([True, False])),
    ],
)
def test_close_takes_what_is_right(got, expected):
    close(got, expected, "f()")


@pytest.mark.parametrize(
    ("got", "expected", "said"),
    [
        (0.25, 0.5, "f() is 0.25, expected 0.5"),
        (None, 0.5, "f() gives None: end the function with `return`"),
        ("0.5", 0.5, "f() gives '0.5'; expected a number"),
        (np.ones(1), 1.0, "f() gives an array of shape (1,); expected a single number: the same number of entries in "
                          "another shape"),
        (np.ones((2, 3)), np.ones((3, 2)), "f() has shape (2, 3), expected (3, 2): rows and columns are swapped"),
        (np.ones(3), np.ones((3, 1)), "f() has shape (3,), expected (3, 1): the same number of entries in another "
                                      "shape"),
        (np.ones(2), np.ones(5), "f() has shape (2,), expected (5,)"),
        ([1, 2, 4], [1, 2, 3], "f() differs at 1 of 3 places, first at [2]: 4, expected 3"),
        ([1.0, np.nan], [1.0, 2.0], "f() contains nan at [1]: a division by zero, or a logarithm of zero?"),
        (np.inf, 2.0, "f() contains inf: a division by zero, or a logarithm of zero?"),
        ([1.0, 2.0], [1, 2], "f() holds the right numbers as float64; expected whole numbers: `.astype(int)`"),
        ([0, 1], [False, True], "f() gives an array of whole numbers, shape (2,); expected an array of truth values, "
                                "shape (2,)"),
        (1, True, "f() gives a whole number; expected True or False"),
        (False, True, "f() is False, expected True"),
        (1j, 1.0, "f() gives a complex number; expected a number"),
        ([[1], [1, 2]], [1.0], "f() gives [[1], [1, 2]]; expected an array of numbers, shape (1,)"),
        ({1, 2}, {2, 3}, "f() is {1, 2}, expected {2, 3}: missing {3}, too much {1}"),
        ([2, 3], {2, 3}, "f() gives [2, 3]; expected {2, 3}"),
        (np.ones(2), {1}, "f() gives [1., 1.]; expected {1}"),
        ("abx", "abc", "f() is 'abx', expected 'abc'"),
        (len, 1.0, "f() gives the function len; expected a number"),
    ],
)  # fmt: skip
def test_close_says_what_is_wrong(got, expected, said):
    assert message(got, expected, "f()") == said


def test_hints_of_typical_wrong_values():
    wrong = {1.0: "divided by the hits", 0.25: "divided by four"}
    assert message(1.0, 0.5, "f()", wrong=wrong) == "f() is 1, expected 0.5: divided by the hits"
    assert message(0.3, 0.5, "f()", wrong=wrong) == "f() is 0.3, expected 0.5"
    many = np.ones((4, 4)) + np.eye(4)
    said = message(many, np.ones((4, 4)), "S", wrong=[(many, "a hint")])
    assert said == "S differs at 4 of 16 places, first at [0, 0]: 2, expected 1: a hint"
    close(0.5, 0.5, "f()", wrong={0.5: "a hint for the right value says nothing"})
    turned = [(np.ones((1, 2)), "that is the other side")]
    assert message(np.ones((1, 2)), np.zeros((2, 1)), "S", wrong=turned).endswith(": that is the other side")
    assert message("b", "a", "f()", wrong={"b": "the second letter"}) == "f() is 'b', expected 'a': the second letter"


def test_tolerances():
    close(1.000001, 1.0, "f()")
    assert "expected 1" in message(1.001, 1.0, "f()")
    close(1.001, 1.0, "f()", atol=0.01)
    with pytest.raises(NotDone, match=r"f\(\) is still `...`"):
        close(..., 1.0, "f()")


# -- call ------------------------------------------------------------------------------------------------------------
def test_call_names_the_line():
    names = cell("def share(hits, n):\n    n = n - 1\n    return hits / n\n")
    assert call(names["share"], 1, n=3) == 0.5
    with pytest.raises(Failed) as raised:
        call(names["share"], 2, n=1)
    said = "share(2, n=1) raised ZeroDivisionError: division by zero, in line 3 of the cell: `return hits / n`"
    assert str(raised.value) == said
    assert raised.value.__cause__ is None


def test_call_through_a_library_names_the_own_line():
    names = cell("import numpy as np\ndef broken(x):\n    return np.linalg.inv(x)\n")
    with pytest.raises(Failed, match=r"LinAlgError: .*, in line 3 of the cell: `return np.linalg.inv\(x\)`"):
        call(names["broken"], np.zeros((2, 2)))


def test_call_of_what_is_open_or_cannot_be_called():
    with pytest.raises(NotDone, match=r"^write f \(when you have it, delete the line `raise NotImplementedError`\)$"):
        call(cell('def f():\n    raise NotImplementedError("task 2: write f")')["f"])
    with pytest.raises(Failed, match=r"f\(1\) is not possible: .* Keep the signature"):
        call(cell("def f():\n    return 1")["f"], 1)
    with pytest.raises(Failed, match=r"f\(1\) raised TypeError"):  # inside, not by the call
        call(cell("def f(x):\n    return x + 'a'")["f"], 1)
    with pytest.raises(Failed, match="expected a function, but found 3"):
        call(3)
    with pytest.raises(Failed, match="raised SystemExit"):
        call(cell("def f():\n    raise SystemExit")["f"])


def test_values_are_shown_in_few_words():
    assert shown(1 / 3) == "0.333333"
    assert shown(np.arange(3)) == "[0, 1, 2]"
    assert shown(np.zeros((50, 2))) == "ndarray of shape (50, 2)"
    assert shown(sparse.eye(50, format="csr")) == "csr_matrix of shape (50, 50)"
    assert len(shown("x" * 500)) == 60

    class Strange:
        def __repr__(self):
            raise ValueError

    assert shown(Strange()) == "an object of class Strange"


# -- check -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def names(own):
    return {"work": mm.coursework.start("a90", "ada")}


def test_states_and_lines(names, capsys):
    names["add"] = lambda a, b: a * b
    result = mm.coursework.check("a90", names)
    assert capsys.readouterr().out.splitlines() == [
        "✗ task 1 Add: add(2, 3) is 6, expected 5: that is the product",
        "… task 2 Your numbers: not done yet: there is no `total` yet: write it and run its cell",
        "0 of 2 tasks pass here. Hidden tests ask with other inputs.",
    ]
    assert not result.passed
    assert result.table["state"].to_dict() == {1: "failed", 2: "not done"}
    names |= {"add": lambda a, b: a + b, "total": 3}
    assert mm.coursework.check("a90", names).passed
    capsys.readouterr()
    assert mm.coursework.check("a90", names, task=2).passed
    assert capsys.readouterr().out == "✓ task 2 Your numbers\n"
    assert repr(result) == "Result(0 of 2 tasks passed)"
    assert result._ipython_display_() is None


def test_no_exception_leaves_a_check(names, capsys):
    names |= {"add": cell("def add(a, b):\n    raise KeyError('x')")["add"], "total": "many"}
    table = mm.coursework.check("a90", names).table
    assert table.loc[1, "message"].endswith("raised KeyError: 'x', in line 2 of the cell: `raise KeyError('x')`")
    assert table.loc[2, "state"] == "failed"
    assert "TypeError" in table.loc[2, "message"]
    assert "of the form that the task asks for" in table.loc[2, "message"]
    names["add"] = ...
    assert mm.coursework.check("a90", names, task=1).table.loc[1, "message"] == "not done yet: `add` is still `...`"
    assert "Traceback" not in capsys.readouterr().out


def test_without_personal_data_nothing_is_checked(own, capsys):
    for work in (None, 3, mm.coursework.Work("a1", "ada", 0, {})):
        result = mm.coursework.check("a90", {"work": work, "total": 4})
        assert set(result.table["state"]) == {"not done"}
    assert 'work = mm.coursework.start("a90", STUDENT)' in capsys.readouterr().out


def test_unknown_assignment_and_task(names):
    with pytest.raises(UnknownNameError, match="a90"):
        mm.coursework.check("a99", names)
    with pytest.raises(ParameterError, match="has the tasks 1, 2"):
        mm.coursework.check("a90", names, task=3)


# -- assignments and personal data -----------------------------------------------------------------------------------
def test_table_of_assignments(own):
    table = mm.coursework.assignments()
    assert table.loc["a90"].tolist() == ["Sums", 2, 10, "1 to 2"]
    assert "a1" in table.index


def test_an_assignment_is_built_once():
    made = Assignment("a91", "Twice")
    made.personal(lambda seed: {})
    with pytest.raises(ParameterError, match="two functions draw"):
        made.personal(lambda seed: {})
    made.task(2, "B", 1)(print)
    made.task(1, "A", 2.5)(print)
    assert list(made.tasks) == [1, 2]
    assert made.points == 3.5
    with pytest.raises(ParameterError, match="task 2 has a check already"):
        made.task(2, "C", 1)
    with pytest.raises(ParameterError, match=r"@assignment.personal"):
        Assignment("a92", "None").draw(1)


def test_seed_belongs_to_the_student_and_the_assignment():
    # the first eight digits of `printf a1/ada | sha256sum`
    assert mm.coursework.seed_of("a1", "ada") == 0x933F690B
    assert mm.coursework.seed_of("a1", " Ada ") == mm.coursework.seed_of("a1", "ada")
    assert len({mm.coursework.seed_of(a, s) for a in ("a1", "a2") for s in ("ada", "bob")}) == 4


def test_start(own, capsys):
    one, again = mm.coursework.start("a90", "Ada"), mm.coursework.start("a90", "ada")
    assert one.student == "ada"
    np.testing.assert_array_equal(one.numbers, again.numbers)
    assert one.numbers.tolist() != mm.coursework.start("a90", "bob").numbers.tolist()
    assert repr(one) == "Work('a90' of 'ada': numbers)"
    assert capsys.readouterr().out == ""
    mm.coursework.start("a90", "your-id")
    assert "put your own id" in capsys.readouterr().out
    for student in ("", "=1+1", "a b", None, "x" * 65, "../up"):
        with pytest.raises(ParameterError, match="give the id that your course uses"):
            mm.coursework.start("a90", student)
    with pytest.raises(ParameterError, match="seed is taken"):
        mm.coursework.Work("a1", "ada", 0, {"seed": 3})
