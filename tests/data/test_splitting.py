"""The five splits: nothing held out leaks into training, and nothing is lost without reason."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmrec_lib.data import Interactions, split
from mmrec_lib.errors import DataError, ParameterError, UnknownNameError

HOWS = ("random", "temporal", "leave-last-out", "cold-items", "cold-users")
NAMES = ("train", "valid", "test")


@st.composite
def tables(draw):
    """Small tables with repeated pairs, many equal times, users of a single event, and users without any."""
    n = draw(st.integers(1, 60))
    codes = st.lists(st.integers(0, 7), min_size=n, max_size=n)
    times = st.lists(st.integers(0, 12), min_size=n, max_size=n)
    return Interactions(draw(codes), draw(codes), np.arange(n), draw(times), n_users=9, n_items=9)


shares = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.5, 0.5, 0.0), (0.7, 0.0, 0.3), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)]
)


def divide(events, how, fractions, seed=0):
    """The split, or a rejected example when there would be nothing to train on."""
    try:
        return split(events, how, fractions, seed)
    except DataError as error:
        if "nothing to train on" not in str(error):
            raise
        assume(False)


def parts(result):
    return [getattr(result, name) for name in NAMES]


@pytest.mark.parametrize("how", HOWS)
@settings(max_examples=60, deadline=None)
@given(events=tables(), fractions=shares, seed=st.integers(0, 5))
def test_no_pair_is_in_two_parts_and_every_event_is_one_of_the_given(how, events, fractions, seed):
    result = divide(events, how, fractions, seed)
    keys = [set(part.keys().tolist()) for part in parts(result)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    # values number the events, so they tell which event is where
    where = np.concatenate([part.value for part in parts(result)]).astype(int)
    assert len(np.unique(where)) == len(where)
    kept = events.select(where)
    for column in ("user", "item", "time"):
        assert (np.concatenate([getattr(part, column) for part in parts(result)]) == getattr(kept, column)).all()
    assert all(part.shape == events.shape for part in parts(result))
    if how in ("random", "cold-items", "cold-users"):
        assert len(where) == len(events)
    # only repeats are ever dropped
    assert set().union(*keys) == set(events.keys().tolist())


@pytest.mark.parametrize("how", HOWS)
@settings(max_examples=20, deadline=None)
@given(events=tables(), seed=st.integers(0, 5))
def test_the_same_seed_gives_the_same_split(how, events, seed):
    one, two = (divide(events, how, (0.6, 0.2, 0.2), seed) for _ in range(2))
    for a, b in zip(parts(one), parts(two), strict=True):
        assert (a.value == b.value).all()
    assert (one.how, one.seed) == (how, seed)


@settings(max_examples=100, deadline=None)
@given(events=tables(), fractions=shares)
def test_random_gives_every_user_with_three_items_a_place_in_each_part(events, fractions):
    result = split(events, "random", fractions)
    items = np.diff(events.to_csr().indptr)
    held = [np.diff(part.to_csr().indptr) for part in parts(result)]
    for share, count in zip(fractions, held, strict=True):
        if share > 0:
            assert (count[items >= 3] >= 1).all()
        else:
            assert not count.any()


@settings(max_examples=100, deadline=None)
@given(events=tables(), fractions=shares)
def test_temporal_parts_follow_each_other_in_time(events, fractions):
    result = divide(events, "temporal", fractions)
    last = -1
    for part in parts(result):
        if len(part):
            assert part.time.min() > last  # strictly: events of the same second stay together
            last = part.time.max()


@settings(max_examples=100, deadline=None)
@given(events=tables(), seed=st.integers(0, 5))
def test_leave_last_out_holds_out_the_last_two_of_everyone_with_three(events, seed):
    result = split(events, "leave-last-out", seed=seed)
    items = np.diff(events.to_csr().indptr)
    train, valid, test = (part.user_counts() for part in parts(result))
    enough = items >= 3
    assert (test == enough).all()
    assert (valid == enough).all()
    assert (train == np.where(enough, items - 2, items)).all()
    for user in np.flatnonzero(enough):
        times = [part.time[part.user == user] for part in parts(result)]
        assert times[0].max() <= times[1].min() <= times[2].min()


@pytest.mark.parametrize(("how", "column"), [("cold-items", "item"), ("cold-users", "user")])
@settings(max_examples=100, deadline=None)
@given(events=tables(), fractions=shares, seed=st.integers(0, 5))
def test_cold_parts_share_no_item_or_user(how, column, events, fractions, seed):
    result = divide(events, how, fractions, seed)
    codes = [set(getattr(part, column).tolist()) for part in parts(result)]
    present = len(np.unique(getattr(events, column)))
    assert sum(map(len, codes)) == present
    assert len(set().union(*codes)) == present
    assert [len(c) for c in codes[1:]] == [round(f * present) for f in fractions[1:]]


def test_random_by_hand_ten_items_give_eight_one_one():
    events = Interactions(np.repeat([0, 1], 10), np.tile(np.arange(10), 2))
    result = split(events, "random")
    for part, size in zip(parts(result), (8, 1, 1), strict=True):
        assert part.user_counts().tolist() == [size, size]
    assert split(events, "random", seed=1).test.item.tolist() != split(events, "random", seed=2).test.item.tolist()


def test_temporal_by_hand():
    events = Interactions([0] * 10, np.arange(10), time=np.arange(10)[::-1])
    result = split(events, "temporal", (0.6, 0.2, 0.2))
    assert result.train.time.tolist() == [5, 4, 3, 2, 1, 0]
    assert result.valid.time.tolist() == [7, 6]
    assert result.test.time.tolist() == [9, 8]
    assert result.test.item.tolist() == [0, 1]


def test_temporal_drops_the_repeat_of_an_earlier_pair():
    events = Interactions([0, 0, 0, 1], [0, 1, 2, 0], time=[0, 1, 2, 3], n_items=3)
    again = Interactions.concat([events, Interactions([0], [0], time=[4], n_users=2, n_items=3)])
    result = split(again, "temporal", (0.6, 0.0, 0.4))
    assert result.train.item.tolist() == [0, 1, 2]
    assert result.test.to_frame().to_numpy().tolist() == [[1, 0, 1, 3]]


def test_temporal_with_everything_in_train_keeps_the_last_second_there():
    events = Interactions([0, 0], [0, 1], time=[1, 2])
    assert len(split(events, "temporal", (1, 0, 0)).train) == 2


def test_leave_last_out_by_hand():
    # item 3 comes again at the end: the repeat is no discovery, the first event counts
    events = Interactions([0] * 5 + [1] * 2, [3, 2, 1, 0, 3, 0, 1], time=[1, 2, 3, 4, 5, 1, 2])
    result = split(events, "leave-last-out")
    assert (result.test.item.tolist(), result.valid.item.tolist()) == ([0], [1])
    assert result.train.item.tolist() == [3, 2, 0, 1]


def test_summary_counts_what_is_new():
    events = Interactions([0] * 10, np.arange(10), time=np.arange(10))
    table = split(events, "temporal").summary()
    assert table.loc["train"].tolist() == [8, 1, 8, 0]
    assert table.loc["test"].tolist() == [1, 1, 1, 1]
    assert repr(split(events, "temporal")) == "Split('temporal': 8 train, 1 valid, 1 test)"


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.4, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5), 0.8, "most"])
def test_senseless_fractions_are_refused(fractions):
    with pytest.raises(ParameterError, match="fractions="):
        split(Interactions([0], [0]), fractions=fractions)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'temporal'"):
        split(Interactions([0], [0]), how="temporl")
    with pytest.raises(DataError, match="no interactions to split"):
        split(Interactions([], []))
    for how in ("temporal", "leave-last-out"):
        with pytest.raises(DataError, match="needs times"):
            split(Interactions([0], [0]), how=how)
    with pytest.raises(DataError, match="nothing to train on"):
        split(Interactions([0, 0, 0], [0, 1, 2], time=[7, 7, 7]), how="temporal")
