"""Mixed lists: by hand, by properties, and with users whose preference is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.evaluation import Interleaved, interleaving_credit, interleaving_test, team_draft


def random_lists(n, length, n_items, rng):
    return rng.permuted(np.tile(np.arange(n_items), (n, 1)), axis=1)[:, :length]


def test_all_mixtures_of_two_short_lists():
    # round 1: (a brings 0, b its best left 2) or (b 2, a 0); round 2: both bring what is best of the rest, 1
    mixed = team_draft(np.tile([0, 1, 2], (400, 1)), np.tile([2, 0, 1], (400, 1)), k=3, seed=0)
    seen = {(tuple(items), tuple(teams)) for items, teams in zip(mixed.lists, mixed.teams, strict=True)}
    assert seen == {
        ((0, 2, 1), (0, 1, 0)),
        ((0, 2, 1), (0, 1, 1)),
        ((2, 0, 1), (1, 0, 0)),
        ((2, 0, 1), (1, 0, 1)),
    }
    # all four are equally likely: 100 each, with a standard deviation of 8.7
    counts = pd.Series([str(teams) for teams in mixed.teams]).value_counts()
    assert counts.between(100 - 35, 100 + 35).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10_000))
def test_properties_of_the_draft(n, length, seed):
    rng = np.random.default_rng(seed)
    a, b = (random_lists(n, length, 10, rng) for _ in range(2))
    mixed = team_draft(a, b, seed=seed)
    assert mixed.lists.shape == mixed.teams.shape == (n, length)
    for row, teams, list_a, list_b in zip(mixed.lists, mixed.teams, a, b, strict=True):
        assert len(set(row)) == length  # no item twice, no place empty
        rounds = teams[: length // 2 * 2].reshape(-1, 2)
        assert (rounds.sum(axis=1) == 1).all()  # each round has one of each
        for place, (item, team) in enumerate(zip(row, teams, strict=True)):
            own = list_a if team == 0 else list_b
            left = [x for x in own if x not in row[:place]]
            assert item == left[0]  # the best that was left in the list of the team


def test_coins_are_fair_and_the_seed_decides():
    lists = np.tile(np.arange(4), (4000, 1))
    mixed, again, other = (team_draft(lists, lists, seed=seed) for seed in (1, 1, 2))
    assert (mixed.lists == lists).all()  # both say the same, so that is what is shown
    assert mixed.teams.mean(axis=0) == pytest.approx([0.5] * 4, abs=4 * 0.5 / np.sqrt(4000))
    assert (mixed.teams == again.teams).all()
    assert (mixed.teams != other.teams).any()


def test_a_list_ends_when_a_team_has_nothing_left():
    mixed = team_draft([[0, -1, -1, -1]] * 50, [[1, 2, 3, 4]] * 50, seed=0)
    assert ((mixed.teams == 0).sum(axis=1) == 1).all()
    assert (mixed.lists[mixed.teams == -1] == -1).all()
    assert set((mixed.lists >= 0).sum(axis=1)) == {2, 3}  # b may open the second round, but a cannot follow
    assert (team_draft([[-1]], [[-1]]).lists == -1).all()
    assert team_draft([[0, 1]], [[2, 3]], k=6).teams.tolist()[0][4:] == [-1, -1]


def test_credit_by_hand():
    mixed = Interleaved(np.array([[5, 6, 7], [8, 9, -1], [1, 2, 3]]), np.array([[0, 1, 0], [1, 0, -1], [1, 0, 1]]))
    clicks = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0]])
    credit = interleaving_credit(mixed, clicks)
    assert credit.to_numpy().tolist() == [[2, 0, "a"], [0, 1, "b"], [1, 1, "tie"]]
    # the same, from one value for each item that was shown
    assert interleaving_credit(mixed, [1, 0, 1, 1, 0, 1, 1, 0]).equals(credit)
    by_user = interleaving_credit(mixed, clicks, users=[4, 4, 3])
    assert by_user.index.tolist() == [3, 4]
    assert by_user.to_numpy().tolist() == [[1, 1, "tie"], [2, 1, "a"]]


def test_sign_test_by_hand():
    credit = pd.DataFrame({"winner": ["a"] * 8 + ["b"] * 2 + ["tie"] * 5})
    result = interleaving_test(credit)
    assert result[["wins_a", "wins_b", "ties", "share_a"]].tolist() == [8, 2, 5, 0.8]
    assert result["p"] == pytest.approx(2 * (45 + 10 + 1) / 1024)  # at least 8 of 10, on both sides
    assert (result["ci_low"], result["ci_high"]) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    ties = interleaving_test(pd.DataFrame({"winner": ["tie"] * 3}))
    assert ties["p"] == 1
    assert np.isnan(ties["share_a"])


def click_by_appeal(mixed, appeal, rng):
    place = np.arange(1, mixed.lists.shape[1] + 1)
    return (rng.random(mixed.lists.shape) < appeal[mixed.lists] / place) & (mixed.lists >= 0)


def test_no_preference_between_identical_lists():
    rng, appeal = np.random.default_rng(0), np.linspace(0.9, 0.1, 20)
    p_values, lead = [], []
    for seed in range(200):
        lists = random_lists(100, 6, 20, rng)
        mixed = team_draft(lists, lists, seed=seed)
        credit = interleaving_credit(mixed, click_by_appeal(mixed, appeal, rng))
        p_values.append(interleaving_test(credit)["p"])
        lead.append((credit["clicks_a"] - credit["clicks_b"]).mean())
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert abs(np.mean(lead)) < 3 * np.std(lead) / np.sqrt(200)


def test_the_better_recommender_wins():
    rng, appeal = np.random.default_rng(0), np.linspace(0.9, 0.1, 20)
    a, b = np.sort(random_lists(400, 6, 20, rng), axis=1), random_lists(400, 6, 20, rng)  # a puts the best first
    mixed = team_draft(a, b)
    result = interleaving_test(interleaving_credit(mixed, click_by_appeal(mixed, appeal, rng)))
    assert result["ci_low"] > 0.5
    assert result["p"] < 0.001
    swapped = team_draft(b, a)
    assert interleaving_test(interleaving_credit(swapped, click_by_appeal(swapped, appeal, rng)))["ci_high"] < 0.5


@pytest.mark.parametrize(
    ("a", "b", "options", "error", "words"),
    [
        ([[0, 1]], [[0, 1], [1, 0]], {}, DataError, "same users"),
        ([[0, 0]], [[0, 1]], {}, DataError, "lists_a has an item twice"),
        ([0, 1], [[0, 1]], {}, DataError, "shape"),
        ([[0.5, 1]], [[0, 1]], {}, DataError, "item codes"),
        ([[0, -2]], [[0, 1]], {}, ParameterError, "-2"),
        ([[0, 1]], [[0, 1]], {"k": 0}, ParameterError, "k=0"),
    ],
)
def test_draft_errors(a, b, options, error, words):
    with pytest.raises(error, match=words):
        team_draft(a, b, **options)


def test_credit_errors():
    mixed = team_draft([[0, -1]], [[1, -1]], k=3)
    for clicks, words in [
        (np.zeros((1, 2)), "shape"),
        (np.array([[0, 0, 1]]), "no item was shown"),
        (np.array([[-1, 0, 0]]), "at least 0"),
    ]:
        with pytest.raises(DataError, match=words):
            interleaving_credit(mixed, clicks)
    with pytest.raises(DataError, match="users has shape"):
        interleaving_credit(mixed, np.zeros((1, 3)), users=[1, 2])
    with pytest.raises(DataError, match="winner"):
        interleaving_test(pd.DataFrame({"clicks_a": [1]}))
