"""Exploration slots: lists by hand, what is never shown twice, and what is refused."""

import numpy as np
import pytest
from mmrec_testing import Table, events

from mmrec_lib.errors import DataError, ParameterError, UnknownItemError, UnknownUserError
from mmrec_lib.evaluation import Reserved, evaluate, reserve

SCORES = np.array([[9.0, 8, 7, 6, 1, 2, 0], [1, 2, 3, 4, 9, 0, 0]])  # items 4, 5 and 6 are new


def test_slots_by_hand():
    lists = reserve(SCORES, [0, 1], [4, 5, 6], places=[2, 4], k=5)
    # the second person's best is new: it comes in on merit, and the slots go to the other two
    assert lists.tolist() == [[0, 5, 1, 4, 2], [4, 5, 3, 6, 2]]
    assert reserve(SCORES, [0, 1], [4, 5, 6], places=[1, 2, 3, 4], k=5)[0].tolist() == [5, 4, 6, 0, 1]  # none is left
    plain = reserve(SCORES, [0, 1], [4, 5, 6], places=[], k=5)
    assert plain.tolist() == np.argsort(-SCORES, axis=1, kind="stable")[:, :5].tolist()
    np.testing.assert_array_equal(reserve(SCORES, [0, 1], [], places=[1], k=5), plain)


def test_another_model_fills_the_slots():
    other = np.array([[0.0, 0, 0, 0, 3, 1, 2], [0, 0, 0, 0, 1, 2, 3]])
    lists = reserve(SCORES, [0, 1], [4, 5, 6], places=[2, 4], k=5, by=other)
    # the second person's first place is on merit, by the model itself; then the other one chooses among 5 and 6
    assert lists.tolist() == [[0, 4, 1, 6, 2], [4, 6, 3, 5, 2]]
    ranked = Reserved(Table(SCORES), [4, 5, 6], [2, 4], k=5, by=Table(other))
    assert np.argsort(-ranked.score(np.array([0, 1])), axis=1)[:, :5].tolist() == lists.tolist()
    masked = reserve(SCORES, [0, 1], [4, 5, 6], places=[1], k=2, train=events([(0, 4)], 2, 7), by=other)
    assert masked.tolist() == [[6, 0], [6, 4]]


def test_what_is_masked_is_never_shown():
    train, valid = events([(0, 0), (0, 5)], 2, 7), events([(0, 1), (0, 4)], 2, 7)
    assert reserve(SCORES, [0, 1], [4, 5], [1], 3, train=train)[0].tolist() == [4, 1, 2]
    # no new item is left: the slot goes to the best of all
    assert reserve(SCORES, [0, 1], [4, 5], [1], 3, train=train, exclude=valid)[0].tolist() == [2, 3, 6]
    forbidden = np.where(SCORES > 5, -np.inf, SCORES)[:1]
    assert reserve(forbidden, [0], [4, 5], [1], 5).tolist() == [[5, 4, 6, -1, -1]]


def test_a_list_holds_no_item_twice_and_as_many_new_ones_as_places():
    rng = np.random.default_rng(0)
    scores, new = rng.integers(0, 5, (30, 40)).astype(np.float32), rng.permutation(40)[:15]
    for m in range(8):
        lists = reserve(scores, np.arange(30), new, rng.permutation(10)[:m] + 1, k=10)
        assert all(len(np.unique(row)) == 10 for row in lists)
        assert (np.isin(lists, new).sum(axis=1) >= m).all()
    assert reserve(scores[:0], [], new, [1], k=3).shape == (0, 3)


def test_a_model_with_slots_is_judged_like_any_other():
    train, test = events([(0, 0), (1, 4)], 2, 7), events([(0, 5), (1, 3)], 2, 7)
    ranked = Reserved(Table(SCORES), [4, 5, 6], places=[2], k=2, train=train)
    report = evaluate(ranked, test, train, ks=2, metrics="recall")
    assert report.lists.tolist() == reserve(SCORES, [0, 1], [4, 5, 6], [2], 2, train=train).tolist()
    assert report.lists.tolist() == [[1, 5], [3, 5]]
    assert report["recall@2"] == 1
    assert report.name == "Table+1 reserved"


REFUSED = {
    "place 0": ({"places": [0]}, ParameterError, "from 1 to k=3"),
    "place above k": ({"places": [4]}, ParameterError, "from 1 to k=3"),
    "place twice": ({"places": [2, 2]}, ParameterError, "each place once"),
    "half a place": ({"places": [0.5]}, ParameterError, "whole numbers"),
    "unknown item": ({"items": [7]}, UnknownItemError, "item 7"),
    "unknown user": ({"users": [0, 3], "train": events([(0, 1)], 2, 7)}, UnknownUserError, "user 3"),
    "other items": ({"exclude": events([(0, 1)], 2, 9)}, DataError, "exclude counts 9 items"),
    "rows": ({"model": SCORES[:1]}, DataError, "2 rows"),
    "nan": ({"model": np.full((2, 7), np.nan)}, DataError, "NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    change, error, message = REFUSED[case]
    arguments = {"model": SCORES, "users": [0, 1], "items": [4, 5], "places": [1], "k": 3} | change
    with pytest.raises(error, match=message):
        reserve(**arguments)
    with pytest.raises(ParameterError, match="object with score"):
        Reserved(SCORES, [4], [1])
    with pytest.raises(ParameterError, match="by is a str"):
        Reserved(Table(SCORES), [4], [1], by="coldmap")
