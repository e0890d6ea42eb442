"""What is new to training and what is not: figures by hand, intervals, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.data import Interactions, Split
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.evaluation import by_novelty, evaluate
from mmrec_lib.evaluation.novelty import harmonic_mean

TRAIN = Interactions([0, 0, 1], [0, 1, 2], n_users=3, n_items=5)  # items 3 and 4 are new, user 2 is new
TEST = Interactions([0, 0, 1, 2], [2, 3, 4, 0], n_users=3, n_items=5)


class Descending:
    """Prefers the item with the lowest code."""

    def score(self, users):
        return np.tile(np.arange(5.0, 0, -1), (len(users), 1))


def means(**options):
    table = by_novelty(Descending(), TEST, TRAIN, metrics="recall", **options)
    assert table.index.get_level_values("metric").unique().tolist() == [f"recall@{options['ks']}"]
    return table.droplevel("metric")


def test_new_items_by_hand():
    # lists, seen ones masked: user 0: 2, 3, 4; user 1: 0, 1, 3, 4; user 2: 0, 1, 2, 3, 4
    table = means(ks=1)
    assert table["mean"].to_dict() == {
        "all": pytest.approx((1 / 2 + 0 + 1) / 3),
        "warm": 1.0,  # user 0 finds item 2, user 2 item 0
        "cold": 0.5,  # item 2 is masked for user 0, who finds 3; 0 stands before the 4 of user 1
        "cold among new": 0.5,  # 3 stands before the 4 of user 1
        "harmonic": pytest.approx(2 / 3),
    }
    assert table["n_users"].to_dict() == {"all": 3, "warm": 2, "cold": 2, "cold among new": 2, "harmonic": 3}


def test_among_new_ones_old_items_do_not_stand_in_the_way():
    table = means(ks=2)
    assert table.loc["cold", "mean"] == 0.5
    assert table.loc["cold among new", "mean"] == 1


def test_new_users_by_hand():
    table = means(ks=1, new="users")
    assert table["mean"].to_dict() == {
        "all": pytest.approx(1 / 2),
        "warm": 1 / 4,
        "cold": 1,
        "harmonic": pytest.approx(2 * 0.25 / 1.25),
    }


def test_split_says_what_is_new():
    split = Split(TRAIN, TEST, TEST)
    for part in ("valid", "test"):
        table = by_novelty(Descending(), split, part=part, ks=1)
        pd.testing.assert_frame_equal(table, by_novelty(Descending(), TEST, TRAIN, ks=1))


def test_groups_are_what_evaluate_says(blocks):
    split = mm.data.split(blocks, "random", seed=0)
    model = mm.models.create("popularity").fit(split.train)
    table = by_novelty(model, split, ks=5)
    whole = evaluate(model, split.test, split.train, ks=5, metrics=("recall", "ndcg"))
    pd.testing.assert_frame_equal(table.loc["all"][["mean", "ci_low", "ci_high"]], whole.summary)
    assert set(table.attrs["reports"]) >= {"all", "warm"}


def test_no_new_items_leave_gaps():
    table = by_novelty(Descending(), TEST.select(TEST.item < 3), TRAIN, ks=1)
    assert table.loc["cold"]["mean"].isna().all()
    assert table.loc["harmonic"]["mean"].isna().all()
    assert (table.loc["cold", "n_users"] == 0).all()
    assert table.loc["warm", "mean"].tolist() == table.loc["all", "mean"].tolist()


def test_users_can_be_chosen():
    table = means(ks=1, users=[1])
    assert table["n_users"].to_dict() == {"all": 1, "warm": 0, "cold": 1, "cold among new": 1, "harmonic": 0}


def test_intervals_hold_the_mean_and_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(200), 4), rng.integers(0, 30, 800)
    train = Interactions(users[items < 20], items[items < 20], n_users=200, n_items=30)
    users, items = np.repeat(np.arange(200), 3), rng.integers(0, 30, 600)
    fresh = ~np.isin(users * 30 + items, train.keys())
    test = Interactions(users[fresh], items[fresh], n_users=200, n_items=30)
    model = mm.models.create("random").fit(train)
    table = by_novelty(model, test, train, ks=5)
    assert (table["ci_low"] < table["mean"]).all()
    assert (table["mean"] < table["ci_high"]).all()
    pd.testing.assert_frame_equal(table, by_novelty(model, test, train, ks=5))


@given(st.floats(0, 1), st.floats(0, 1))
def test_harmonic_mean_lies_between_and_near_the_smaller(a, b):
    mean = harmonic_mean(np.array([a]), np.array([b]))[0]
    assert min(a, b) - 1e-12 <= mean <= min((a + b) / 2, 2 * min(a, b)) + 1e-12


def test_refused():
    with pytest.raises(ParameterError, match="train is needed"):
        by_novelty(Descending(), TEST)
    with pytest.raises(ParameterError, match="new='things'"):
        by_novelty(Descending(), TEST, TRAIN, new="things", ks=1)
    with pytest.raises(ParameterError, match="coverage"):
        by_novelty(Descending(), TEST, TRAIN, metrics="coverage", ks=1)
    with pytest.raises(ParameterError, match="part"):
        by_novelty(Descending(), Split(TRAIN, TEST, TEST), part="exam", ks=1)
    with pytest.raises(DataError, match="one code"):
        by_novelty(Descending(), Interactions([0], [0], n_items=7), TRAIN, ks=1)
