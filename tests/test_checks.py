import numpy as np
import pytest

from mmrec_lib.checks import above, at_least, between, one_of, whole
from mmrec_lib.errors import ParameterError


def test_good_values_come_back():
    assert whole("n", np.int64(3)) == 3
    assert at_least("x", 0, 0) == 0
    assert above("x", np.float32(0.5), 0) == 0.5
    assert between("x", 1, 0, 1) == 1
    assert one_of("word", "a", ("a", "b")) == "a"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: whole("n", 0), "n=0: give a whole number of at least 1"),
        (lambda: whole("n", 2.0), "n=2.0: give a whole number"),
        (lambda: whole("n", True), "n=True"),
        (lambda: at_least("x", -1, 0), "x=-1: give a number of at least 0"),
        (lambda: at_least("x", 1, 0, below=1), "at least 0 and below 1"),
        (lambda: at_least("x", float("nan"), 0), "x=nan"),
        (lambda: at_least("x", "1", 0), "x='1'"),
        (lambda: above("x", 0, 0), "x=0: give a number above 0"),
        (lambda: above("x", float("inf"), 0), "x=inf"),
        (lambda: between("x", 2, 0, 1), "x=2: give a number from 0 to 1"),
        (lambda: one_of("word", "c", ("a", "b")), "word='c': choose one of a, b"),
    ],
)
def test_bad_values_are_named(check, message):
    with pytest.raises(ParameterError) as error:
        check()
    assert message in str(error.value)
