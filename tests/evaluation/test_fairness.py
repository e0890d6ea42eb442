"""Exposure, lift and gaps: figures by hand, what must not matter, and tests that keep their promise."""

import numpy as np
import pandas as pd
import pytest
from mmrec_testing import Table, events

from mmrec_lib.data import Interactions
from mmrec_lib.errors import DataError, ParameterError, UnknownNameError
from mmrec_lib.evaluation import Report, exposure_by_group, popularity_groups, popularity_lift, user_gaps

# items 0 to 3 were met by 4, 3, 2 and 1 people, item 4 by nobody
TRAIN = events([(u, i) for i in range(4) for u in range(4 - i)], 4, 5)


# -- groups by popularity ----------------------------------------------------------------------------------------
def test_popularity_groups_by_hand():
    # before item 0: nothing; item 1: 4 of 10; item 2: 7 of 10; item 3: 9 of 10; item 4: all
    assert list(popularity_groups(TRAIN)) == ["head", "head", "middle", "tail", "tail"]
    assert list(popularity_groups(TRAIN, cuts=(0.4,), names=("a", "b"))) == ["a", "b", "b", "b", "b"]


def test_equal_popularity_is_the_same_group_and_repeats_count_once():
    even = events([(0, 0), (1, 1), (2, 2), (2, 2)], 3, 3)
    assert set(popularity_groups(even)) == {"head"}
    groups = popularity_groups(TRAIN)
    assert groups.ordered
    assert list(groups.categories) == ["head", "middle", "tail"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuts": (0.8, 0.5)}, "cuts"),
        ({"cuts": (0.5, 1.0)}, "cuts"),
        ({"cuts": ()}, "cuts"),
        ({"cuts": (0.5,)}, "names"),
    ],
)
def test_popularity_groups_refuse(options, message):
    with pytest.raises(ParameterError, match=message):
        popularity_groups(TRAIN, **options)
    with pytest.raises(DataError, match="popular"):
        popularity_groups(Interactions([], [], n_users=2, n_items=2))


# -- exposure ----------------------------------------------------------------------------------------------------
LISTS = np.array([[0, 3], [1, 0]])
KINDS = ["big", "big", "small", "small", "small"]


def test_exposure_by_hand():
    table = exposure_by_group(LISTS, KINDS, TRAIN, relevance=[1, 1, 2, 4, 0], k=2, examination=[1, 0.5])
    # person 0: two thirds for item 0, one third for item 3; person 1: all for the big
    small = table.loc["small"]
    assert small["exposure"] == pytest.approx(1 / 6)
    assert small["catalogue"] == pytest.approx(3 / 5)
    assert small["per_item"] == pytest.approx(10 / 36)
    assert small["clicks"] == pytest.approx(3 / 10)
    assert small["per_click"] == pytest.approx(10 / 18)
    assert small["relevance"] == pytest.approx(6 / 8)
    assert small["per_relevance"] == pytest.approx(8 / 36)
    assert table.loc["big", "exposure"] == pytest.approx(5 / 6)
    assert (table["ci_low"] <= table["exposure"]).all()
    assert (table["exposure"] <= table["ci_high"]).all()


def test_places_count_as_in_ndcg_by_default():
    table = exposure_by_group(np.array([[0, 2]]), KINDS, k=2)
    assert table.loc["small", "exposure"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert exposure_by_group(LISTS, KINDS, k=1).loc["big", "exposure"] == 1


def test_a_model_is_asked_for_lists_without_what_was_met():
    scores = np.tile([5.0, 4, 3, 2, 1], (4, 1))
    table = exposure_by_group(Table(scores), KINDS, TRAIN, k=1)
    # met: 0-3, 0-2, 0-1, 0; so the lists are item 4, 3, 2, 1
    assert table.loc["small", "exposure"] == pytest.approx(3 / 4)
    assert exposure_by_group(Table(scores), KINDS, TRAIN, users=[3], k=1).loc["big", "exposure"] == 1


def test_several_groups_none_and_their_order():
    labels = [{"a", "b"}, {"b"}, None, None, None]
    table = exposure_by_group(np.array([[0, 1], [2, -1]]), labels, k=2, examination=[1, 1])
    assert table["exposure"].to_dict() == {"a": 0.25, "b": 0.75}  # the second list has no item of a group
    ordered = pd.Categorical(["z", "z", "a", "a", "a"], categories=["z", "a"])
    assert list(exposure_by_group(LISTS, ordered, k=2).index) == ["z", "a"]
    named = pd.DataFrame({"x": [1, 1, 0, 0, 0], "w": [0, 0, 1, 1, 1]})
    assert list(exposure_by_group(LISTS, named, k=2).index) == ["x", "w"]


def test_relevance_as_interactions_and_by_person():
    clicks = events([(0, 0), (0, 2), (1, 2)], 2, 5)
    by_person = np.zeros((2, 5))
    by_person[0, [0, 2]] = by_person[1, 2] = 1
    for relevance in (clicks, by_person):
        assert exposure_by_group(LISTS, KINDS, relevance=relevance).loc["small", "relevance"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ParameterError, "neither a model", {"shown": "ease"}),
        (ParameterError, "needs train", {"shown": Table(np.zeros((4, 5)))}),
        (ParameterError, "nobody looks", {"examination": [0, 0]}),
        (ParameterError, "examination", {"examination": [1]}),
        (ParameterError, "one list each", {"users": [1]}),
        (DataError, "not negative", {"relevance": [-1, 0, 0, 0, 0]}),
        (DataError, "one column", {"relevance": [1, 1]}),
        (DataError, "item 3", {"groups": ["a", "b"]}),
        (DataError, "groups are given for 5", {"train": Interactions([0], [0], n_items=7)}),
        (DataError, "no exposure", {"groups": [None, None, "a", None, None]}),
    ],
)
def test_exposure_refuses(error, message, options):
    with pytest.raises(error, match=message):
        exposure_by_group(**{"shown": LISTS, "groups": KINDS, **options})


# -- lift --------------------------------------------------------------------------------------------------------
def test_lift_by_hand():
    # popularity 1, 3/4, 1/2, 1/4, 0; histories 5/8, 3/4, 7/8, 1
    lists = np.array([[4], [3], [2], [1]])
    table = popularity_lift(lists, TRAIN, ["broad", "broad", "mainstream", None], k=1)
    assert table.loc["all", "history"] == pytest.approx((5 / 8 + 3 / 4 + 7 / 8 + 1) / 4)
    assert table.loc["all", "list"] == pytest.approx((0 + 1 / 4 + 1 / 2 + 3 / 4) / 4)
    assert table.loc["broad", "lift"] == pytest.approx((1 / 8) / (11 / 16) - 1)
    assert table.loc["mainstream", ["ci_low", "ci_high"]].tolist() == pytest.approx([4 / 7 - 1] * 2)
    assert table["n_users"].to_dict() == {"all": 4, "broad": 2, "mainstream": 1}


def test_lift_is_zero_for_lists_like_the_history():
    train = events([(0, 0), (1, 1)], 3, 2)
    table = popularity_lift(np.array([[1], [0], [1]]), train, k=1)  # user 2 has no history
    assert table.loc["all", "lift"] == 0
    assert table.loc["all", "n_users"] == 2


# -- gaps --------------------------------------------------------------------------------------------------------
def report(values):
    return Report(None, pd.DataFrame({"ndcg@10": np.asarray(values, float)}))


def test_gaps_by_hand():
    gaps = user_gaps(report([1, 0, 0.5, 0.5, 0.9, np.nan]), ["f", "f", "m", "m", "m", "m"], min_users=2)
    assert gaps.table["mean"].to_dict() == {"f": 0.5, "m": pytest.approx(1.9 / 3)}
    assert gaps.table["n_users"].to_dict() == {"f": 2, "m": 3}
    assert gaps.table.loc["m", "difference"] == pytest.approx(1.9 / 3 - 0.5)
    assert gaps.table.loc["f", "difference"] == pytest.approx(0.5 - 1.9 / 3)
    assert gaps.summary["highest"] == "m"
    assert gaps.summary["gap"] == pytest.approx(1.9 / 3 - 0.5)
    assert "0.1333 (m above f)" in gaps._repr_html_()


def test_exact_p_value_of_six_people():
    # of the 20 ways to deal three labels "a", two are as extreme: p is near 0.1
    gaps = user_gaps(report([6, 5, 4, 3, 2, 1]), list("aaabbb"), min_users=3, n_permutations=4000)
    assert gaps.summary["p"] == pytest.approx(0.1, abs=0.02)
    assert gaps.table.loc["a", "p_adjusted"] == gaps.table.loc["b", "p_adjusted"]  # two groups are one question
    # the 20 gaps: 3 twice, 7/3 twice, 5/3 four times, 1 and 1/3 six times each
    assert gaps.summary["gap_by_chance"] == pytest.approx((2 * 3 + 2 * 7 / 3 + 4 * 5 / 3 + 6 + 2) / 20, abs=0.03)


def test_strata_take_away_what_they_explain():
    # within a stratum both groups are alike, but group "a" is mostly in the better one
    values = [1, 1, 1, 1, 0, 0, 0, 0]
    group, stratum = list("aaabbbba"), list("xxxxyyyy")
    plain = user_gaps(report(values), group, min_users=2)
    assert plain.table.loc["a", "difference"] == pytest.approx(3 / 4 - 1 / 4)
    within = user_gaps(report(values), group, strata=stratum, min_users=2)
    assert within.table["difference"].abs().max() < 1e-12
    assert within.summary["p"] == 1
    assert within.summary["gap"] == plain.summary["gap"]


def test_difference_within_strata_is_a_regression_coefficient():
    rng = np.random.default_rng(0)
    group, stratum, y = rng.integers(3, size=80), rng.integers(4, size=80), rng.random(80)
    table = user_gaps(report(y), group, strata=stratum, n_permutations=10).table
    for code in range(3):
        x = np.column_stack([group == code, *(stratum == s for s in range(4))]).astype(float)
        assert table.loc[code, "difference"] == pytest.approx(np.linalg.lstsq(x, y, rcond=None)[0][0])


def test_ten_groups_are_not_ten_chances():
    """Without any difference, p is below 0.1 in about a tenth of all tables, and the largest gap is as by chance."""
    rng = np.random.default_rng(1)
    group = rng.choice(10, size=120, p=[0.3, *[0.7 / 9] * 9])
    found = [
        user_gaps(report(rng.exponential(size=120)), group, n_boot=2, n_permutations=200, seed=s).summary
        for s in range(120)
    ]
    p, gap, chance = (np.array([f[name] for f in found], float) for name in ("p", "gap", "gap_by_chance"))
    assert 0.03 < (p < 0.1).mean() < 0.19
    assert gap.mean() == pytest.approx(chance.mean(), rel=0.08)


def test_a_true_difference_is_found_and_named():
    rng = np.random.default_rng(2)
    group = np.arange(300) % 6
    table = user_gaps(report(rng.normal(size=300) + 1.0 * (group == 4)), group).table
    assert table["p_adjusted"].idxmin() == 4
    assert table.loc[4, "p_adjusted"] < 0.01
    assert table.loc[4, "difference_low"] < 1 < table.loc[4, "difference_high"]


def test_small_groups_are_left_out_and_codes_are_those_of_the_data():
    per_user = pd.DataFrame({"ndcg@10": [1.0, 0, 1, 0]}, index=[1, 3, 5, 7])
    labels = pd.Series(list("zazazbzz"))  # users 1, 3, 5, 7 are a, a, b, z
    gaps = user_gaps(Report(None, per_user), pd.Categorical(list("zazazbzb")), min_users=2)
    assert gaps.table.index.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="two groups"):
        user_gaps(Report(None, per_user), labels, min_users=2)


def test_gaps_refuse():
    with pytest.raises(DataError, match="2 labels"):
        user_gaps(report([1, 0, 1]), ["a", "b"])
    with pytest.raises(UnknownNameError, match="ndcg"):
        user_gaps(report([1, 0]), ["a", "b"], "ndcg@1")
    with pytest.raises(ParameterError, match="n_permutations"):
        user_gaps(report([1, 0]), ["a", "b"], n_permutations=0)
