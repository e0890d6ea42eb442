"""The loop: what is fed back, what is counted, and what it does to the data."""

import numpy as np
import pandas as pd
import pytest
from mmrec_testing import Table

import mmrec_lib as mm
from mmrec_lib.data import Interactions
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.simulation import feedback_loop

N_USERS, N_ITEMS = 30, 12
NOBODY = Interactions([], [], n_users=N_USERS, n_items=N_ITEMS)


@pytest.fixture(scope="module")
def people():
    items = pd.DataFrame({"category": [f"c{i % 4}" for i in range(N_ITEMS)]})
    bare = mm.data.Dataset(
        Interactions([], [], n_users=0, n_items=N_ITEMS), pd.DataFrame(index=pd.Index([], name="user")), items
    )
    return mm.simulation.simulate(bare, N_USERS, list_length=3, n_lists=4, threshold=0.8, drift=0)


class Counting:
    """Recommends by number of clicks, and remembers what it was given."""

    def __init__(self, clicks):
        self.clicks = clicks

    def score(self, users):
        return np.tile(self.clicks.item_counts().astype(np.float32), (len(users), 1))


def by_code(clicks):
    return Table(np.tile(np.arange(N_ITEMS, 0.0, -1), (N_USERS, 1)))


def test_each_model_learns_from_all_clicks_before(people):
    given = []

    def factory(clicks):
        given.append(clicks)
        return Counting(clicks)

    loop = feedback_loop(people, factory, rounds=3, k=2)
    start = people.interactions
    np.testing.assert_array_equal(given[0].keys(), start.keys())
    assert (given[0].value == 1).all()
    clicks = loop.log.groupby("round")["click"].sum()
    assert [len(g) for g in given] == [len(start), len(start) + clicks[1], len(start) + clicks[1] + clicks[2]]
    assert len(loop.interactions) == len(start) + clicks.sum()
    assert loop.model.clicks is given[2]
    assert (loop.rounds["clicks"] == clicks / N_USERS).all()


def test_what_was_clicked_is_not_shown_again_unless_wanted(people):
    loop = feedback_loop(people, Counting, rounds=4, k=3, explore=0.3)
    clicked = pd.concat([people.interactions.to_frame().assign(round=0), loop.log[loop.log["click"]]])
    assert not clicked.duplicated(["user", "item"]).any()
    again = feedback_loop(people, Counting, rounds=4, k=3, repeat=True)
    assert again.log[again.log["click"]].duplicated(["user", "item"]).any()


def test_figures_of_a_round_by_hand(people):
    groups = ["a", "b", None] + ["c"] * 9
    loop = feedback_loop(people, by_code, rounds=1, k=3, start=NOBODY, groups=groups)
    row = loop.rounds.loc[1]  # everybody is shown items 0, 1, 2
    assert row["coverage"] == 3 / 12
    assert row["overlap"] == 1
    assert row["gini"] == pytest.approx(9 / 12)
    assert row["explored"] == 0
    assert row[["share of a", "share of b", "share of c"]].tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    everybody = np.arange(N_USERS)[:, None]
    true = people.click_probability(everybody, np.arange(3)[None], np.arange(1, 4)[None])
    assert row["worth"] == pytest.approx(true.sum(axis=1).mean())
    assert row["utility"] == pytest.approx(people.utility()[:, :3].mean())


def test_overlap_is_the_mean_over_all_pairs(people):
    loop = feedback_loop(people, Counting, rounds=1, k=3, explore=0.5)
    lists = [set(items) for _, items in loop.log.groupby("user")["item"]]
    pairs = [len(a & b) / 3 for i, a in enumerate(lists) for b in lists[:i]]
    assert loop.rounds.loc[1, "overlap"] == pytest.approx(np.mean(pairs))


def test_exploration(people):
    loop = feedback_loop(people, by_code, rounds=40, k=4, start=NOBODY, explore=0.25, repeat=True)
    log = loop.log
    assert log["explored"].mean() == pytest.approx(0.25, abs=0.02)
    assert set(log.loc[~log["explored"], "item"]) <= {0, 1, 2, 3}
    drawn = log.loc[log["explored"], "item"].value_counts(normalize=True)
    assert set(drawn.index) == set(range(4, 12))
    assert drawn.max() < 1.35 / 8
    assert not log.duplicated(["round", "user", "item"]).any()
    assert (feedback_loop(people, by_code, rounds=1, k=N_ITEMS, start=NOBODY, explore=1.0).log["explored"] == 0).all()


def test_a_hook_chooses_the_lists(people):
    def choose(model, users, k, clicks):
        assert isinstance(model, Counting)
        assert clicks.n_items == N_ITEMS
        return np.tile([5, -1], (len(users), 1))

    loop = feedback_loop(people, Counting, rounds=2, k=2, choose=choose)
    assert set(loop.log["item"]) == {5}
    assert loop.rounds["overlap"].tolist() == [0.5, 0.5]


def test_the_same_seed_gives_the_same_course(people):
    one, two, other = (feedback_loop(people, Counting, rounds=3, k=3, explore=0.2, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one.log, two.log)
    assert not one.log.equals(other.log)


def test_the_loop_concentrates_what_chance_began(people):
    """Popularity feeds on itself: from an even start to one list for all; dice do nothing of the kind."""

    class Dice:
        def __init__(self, clicks):
            self.rng = np.random.default_rng(len(clicks))

        def score(self, users):
            return self.rng.random((len(users), N_ITEMS))

    loop, dice = (
        feedback_loop(people, factory, rounds=6, k=3, start=NOBODY, repeat=True) for factory in (Counting, Dice)
    )
    assert loop.rounds.loc[6, "gini_clicks"] > dice.rounds.loc[6, "gini_clicks"] + 0.2
    assert loop.rounds.loc[6, "overlap"] == 1
    assert dice.rounds.loc[6, "overlap"] < 0.5


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ParameterError, "rounds", {"rounds": 0}),
        (ParameterError, "explore", {"explore": 1.5}),
        (ParameterError, "only 12 items", {"k": 13}),
        (DataError, "start counts", {"start": Interactions([0], [0])}),
        (DataError, "groups", {"groups": ["a"]}),
        (DataError, "choose returned", {"choose": lambda *_: np.zeros((2, 2), int)}),
    ],
)
def test_what_is_refused(people, error, message, options):
    with pytest.raises(error, match=message):
        feedback_loop(people, Counting, **{"rounds": 1, "k": 3, **options})
