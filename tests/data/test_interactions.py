"""Interactions: what goes in, what comes out, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmrec_lib.data import Interactions
from mmrec_lib.errors import DataError, UnknownItemError, UnknownUserError

EVENTS = Interactions([0, 2, 0, 0], [1, 0, 3, 1], value=[5, 3, 0, 2], time=[40, 30, 20, 10], n_users=4, n_items=5)


def test_columns_have_the_stated_types_and_sizes_are_the_largest_codes_plus_one():
    events = Interactions([0, 3], [5, 1], value=[1, 2], time=[10, 20])
    assert (events.user.dtype, events.item.dtype, events.value.dtype, events.time.dtype) == (
        np.int32,
        np.int32,
        np.float32,
        np.int64,
    )
    assert events.shape == (4, 6)
    assert len(events) == 2


def test_defaults_are_ones_without_times():
    events = Interactions([1], [1])
    assert events.value.tolist() == [1.0]
    assert events.time is None
    assert list(events.to_frame()) == ["user", "item", "value"]


def test_no_events_are_allowed_and_empty_selections_too():
    events = Interactions([], [], time=[], n_users=2, n_items=3)
    assert (len(events), events.density, events.to_csr().shape) == (0, 0.0, (2, 3))
    assert len(EVENTS.select([])) == 0
    assert EVENTS.select([]).shape == EVENTS.shape


def test_datetimes_become_seconds():
    dates = pd.Series(pd.to_datetime(["1970-01-01 00:01:00", "1970-01-02 00:00:00"]))
    assert Interactions([0, 0], [0, 1], time=dates).time.tolist() == [60, 86_400]


def test_counts_and_density_by_hand():
    assert EVENTS.user_counts().tolist() == [3, 0, 1, 0]
    assert EVENTS.item_counts().tolist() == [1, 2, 0, 1, 0]
    assert EVENTS.density == pytest.approx(3 / 20)  # three different pairs of twenty


def test_to_csr_merges_repeats_and_keeps_the_last_value_also_when_it_is_zero():
    ones, values = EVENTS.to_csr(), EVENTS.to_csr(values=True)
    assert ones.toarray().tolist() == [[0, 1, 0, 1, 0], [0] * 5, [1, 0, 0, 0, 0], [0] * 5]
    assert values.toarray().tolist() == [[0, 2, 0, 0, 0], [0] * 5, [3, 0, 0, 0, 0], [0] * 5]
    assert values.nnz == 3  # the value of zero is stored
    assert ones.has_sorted_indices
    assert ones.dtype == np.float32


@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 40), st.just(2)), elements=st.integers(0, 6)))
def test_to_csr_holds_exactly_the_pairs(pairs):
    events = Interactions(pairs[:, 0], pairs[:, 1], n_users=7, n_items=7)
    matrix = events.to_csr().tocoo()
    assert set(zip(matrix.row.tolist(), matrix.col.tolist(), strict=True)) == set(map(tuple, pairs.tolist()))
    assert (matrix.data == 1).all()


def test_select_at_least_and_concat():
    liked = EVENTS.at_least(3)
    assert liked.to_frame().to_numpy().tolist() == [[0, 1, 5, 40], [2, 0, 3, 30]]
    again = Interactions.concat([liked, EVENTS.select([2])])
    assert again.item.tolist() == [1, 0, 3]
    assert again.time.tolist() == [40, 30, 20]
    assert Interactions.concat([liked, Interactions([0], [0], n_users=4, n_items=5)]).time is None


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"user": [-1], "item": [0]}, UnknownUserError, "user code -1 is negative"),
        ({"user": [0], "item": [-2]}, UnknownItemError, "item code -2 is negative"),
        ({"user": [3], "item": [0], "n_users": 3}, UnknownUserError, "codes 0 to 2"),
        ({"user": [0], "item": [9], "n_items": 5}, UnknownItemError, "item code 9 is unknown"),
        ({"user": ["a"], "item": [0]}, DataError, "from_frame"),
        ({"user": [0.5], "item": [0]}, DataError, "integer codes"),
        ({"user": [np.nan], "item": [0]}, DataError, "integer codes"),
        ({"user": [2**40], "item": [0]}, DataError, "32 bits"),
        ({"user": [-(2**32)], "item": [0]}, DataError, "32 bits"),  # would wrap round to user 0
        ({"user": [[0]], "item": [0]}, DataError, "one-dimensional"),
        ({"user": [0], "item": [0, 1]}, DataError, "item has 2 entries"),
        ({"user": [0], "item": [0], "value": [np.nan]}, DataError, "value of event 0 is nan"),
        ({"user": [0], "item": [0], "value": ["good"]}, DataError, "numbers"),
        ({"user": [0], "item": [0], "value": [[1, 2]]}, DataError, "one-dimensional"),
        ({"user": [0], "item": [0], "time": ["soon"]}, DataError, "seconds since 1970"),
        ({"user": [0], "item": [0], "time": [np.inf]}, DataError, "not finite"),
        ({"user": [0], "item": [0], "time": np.array(["NaT"], "datetime64[s]")}, DataError, "missing"),
        ({"user": [], "item": [], "n_users": -1}, DataError, "n_users=-1"),
    ],
)
def test_bad_input_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        Interactions(**arguments)


def test_concat_refuses_other_codes_and_nothing():
    with pytest.raises(DataError, match="different users or items"):
        Interactions.concat([EVENTS, Interactions([0], [0])])
    with pytest.raises(DataError, match="at least one"):
        Interactions.concat([])
