"""The audience: is what it says about itself true?"""

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import (
    DataError,
    FeatureError,
    ParameterError,
    UnknownItemError,
    UnknownNameError,
    UnknownUserError,
)

N_ITEMS = 120


def catalogue(seed=0):
    """A made-up catalogue: 120 items in 6 categories; a third of the items have a sound."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame(
        {"category": [f"c{i % 6}/s{i % 12}" for i in range(N_ITEMS)]},
        index=pd.Index([f"i{i}" for i in range(N_ITEMS)], name="item"),
    )
    nobody = mm.data.Interactions([], [], n_users=0, n_items=N_ITEMS)
    dataset = mm.data.Dataset(nobody, pd.DataFrame(index=pd.Index([], name="user")), items)
    sound = rng.standard_normal((N_ITEMS, 3))
    sound[np.arange(N_ITEMS) % 3 > 0] = np.nan
    attributes = {
        **mm.simulation.extract_attributes(dataset),
        "look": pd.DataFrame(rng.standard_normal((N_ITEMS, 4))),
        "theme": pd.DataFrame(rng.standard_normal((N_ITEMS, 3))),
        "sound": pd.DataFrame(sound),
    }
    return dataset, attributes


def audience(n_users=150, attributes=None, **options):
    dataset, made = catalogue()
    options = {"n_lists": 10, "list_length": 8, "threshold": 1.0, **options}
    return mm.simulation.simulate(dataset, n_users, attributes=attributes or made, **options)


def shuffled(attributes, name):
    order = np.random.default_rng(1).permutation(N_ITEMS)
    return {**attributes, name: attributes[name].iloc[order].reset_index(drop=True)}


@pytest.fixture(scope="module")
def people():
    return audience()


# -- utility -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["look", "sound", "theme", "category"])
def test_a_component_without_weight_has_no_influence(name):
    _, attributes = catalogue()
    for weight, same in ((0.0, True), (0.3, False)):
        plain, mixed = (
            audience(attributes=table, weights={name: weight}) for table in (attributes, shuffled(attributes, name))
        )
        assert np.array_equal(plain.oracle.score(range(150)), mixed.oracle.score(range(150))) is same
        assert plain.exposures.equals(mixed.exposures) is same


@pytest.mark.parametrize("name", ["category", "look", "sound", "theme", "quality"])
def test_more_weight_explains_more(name):
    shares = [audience(weights={name: weight}).explained_share().loc[name, "share"] for weight in (0, 0.1, 0.4, 2.0)]
    assert shares[0] == 0
    assert (np.diff(shares) > 0.03).all()


def test_weight_is_the_share_of_the_variance():
    weights = {"category": 0.1, "look": 0.4, "theme": 0.2, "sound": 0.2, "quality": 0.1}
    people = audience(n_users=2000, n_lists=1, weights=weights)
    share = people.explained_share()
    assert share.loc[list(weights), "share"].to_dict() == pytest.approx(weights, abs=0.02)
    assert people.utility().var() == pytest.approx(1, abs=0.1)
    assert share.loc["image", "share"] == pytest.approx(share.loc["look", "share"] + share.loc["category", "share"])
    assert share.loc["image", "only"] == share.loc["look", "share"]


def test_modality_names_stand_for_what_only_they_show():
    by_modality = audience(weights={"image": 0.5, "text": 0, "audio": 0.1, "category": 0.2, "quality": 0.2}).weights
    assert by_modality == pytest.approx({"look": 0.5, "theme": 0, "sound": 0.1, "category": 0.2, "quality": 0.2})


def test_an_item_without_sound_gets_nothing_from_sound(people):
    from_sound = people.utility(components=["sound"])
    silent = np.arange(N_ITEMS) % 3 > 0
    assert not from_sound[:, silent].any()
    assert from_sound[:, ~silent].any(axis=0).all()


def test_components_add_up_to_the_utility(people):
    parts = sum(people.utility(components=[name]) for name in people.weights)
    np.testing.assert_allclose(parts, people.utility(), atol=1e-5)
    np.testing.assert_allclose(people.utility([7, 3]), people.utility()[[7, 3]], atol=1e-6)


def test_utility_of_an_item_is_taste_times_attributes():
    people = audience(weights={"look": 1, "category": 0, "theme": 0, "sound": 0, "quality": 0}, drift=0.0)
    expected = people.tastes["look"].to_numpy() @ people.attributes["look"].to_numpy().T
    np.testing.assert_allclose(people.utility(), expected, atol=1e-5)


def test_drift_turns_tastes_but_not_quality():
    still, moving = audience(drift=0.0), audience(drift=1.0)
    assert np.array_equal(still.utility(time=0), still.utility(time=1))
    start, end = moving.utility(time=0), moving.utility(time=1)
    np.testing.assert_allclose(start, still.utility(time=0), atol=1e-6)
    content = ["category", "look", "theme", "sound"]
    parts = [moving.utility(time=t, components=content).ravel() for t in (0, 1)]
    assert abs(np.corrcoef(*parts)[0, 1]) < 0.1
    assert np.array_equal(moving.utility(time=0, components="quality"), moving.utility(time=1, components="quality"))
    assert end.var() == pytest.approx(start.var(), rel=0.2)


# -- what was shown ----------------------------------------------------------------------------------------------
def test_propensities_are_the_frequencies():
    """20,000 visits of a user: each item stands at each place as often as its propensity says."""
    people = audience(n_users=2, n_lists=20_000, list_length=5, popularity_bias=1.0, targeting=1.0)
    propensity = people.propensity()
    np.testing.assert_allclose(propensity.sum(axis=1), 1)
    shown = people.exposures
    for user in (0, 1):
        mine = shown[shown["user"] == user]
        np.testing.assert_allclose(mine["propensity"], propensity[user, mine["item"]])
        for place in (1, 5):
            count = np.bincount(mine.loc[mine["position"] == place, "item"], minlength=N_ITEMS)
            error = np.sqrt(20_000 * propensity[user] * (1 - propensity[user]))
            assert (np.abs(count - 20_000 * propensity[user]) < 5 * error + 1e-9).all()


def test_inverse_propensity_estimates_the_truth(people):
    """Weighting clicks by 1 / propensity gives the click rate of a policy that shows all items alike."""
    people = audience(n_users=400, n_lists=40, position_bias=0.0, drift=0.0)
    shown = people.exposures
    estimate = (shown["click"] / shown["propensity"]).mean() / N_ITEMS
    users, items = np.indices((400, N_ITEMS))
    truth = people.click_probability(users, items).mean()
    assert estimate == pytest.approx(truth, rel=0.05)
    assert shown["click"].mean() > 1.3 * truth  # the plain mean is far off: the lists follow taste and fame


def test_biases_act():
    def fame_of_shown(bias):
        people = audience(popularity_bias=bias, targeting=0.0)
        return people.items["fame"].to_numpy()[people.exposures["item"]].mean()

    assert abs(fame_of_shown(0.0)) < 0.05
    assert fame_of_shown(1.0) > fame_of_shown(0.5) > 0.3
    neutral = audience(popularity_bias=0.0, targeting=0.0).propensity()
    np.testing.assert_allclose(neutral, 1 / N_ITEMS)
    clicks = audience(n_users=1000, position_bias=1.0).exposures.groupby("position")["click"].mean()
    flat = audience(n_users=1000, position_bias=0.0).exposures.groupby("position")["click"].mean()
    assert clicks[1] / clicks[8] == pytest.approx(8, rel=0.25)
    assert flat[1] / flat[8] == pytest.approx(1, rel=0.1)


def test_log_is_consistent(people):
    shown = people.exposures
    assert len(shown) == 150 * 10 * 8
    assert not shown.duplicated(["user", "list", "item"]).any()
    assert not shown.duplicated(["user", "list", "position"]).any()
    assert shown["time"].is_monotonic_increasing
    assert shown["rating"].notna().equals(shown["click"])
    assert set(shown["rating"].dropna()) <= {1, 2, 3, 4, 5}
    clicked = shown[shown["click"]].drop_duplicates(["user", "item"])
    events = people.interactions
    assert (len(events), events.shape) == (len(clicked), (150, N_ITEMS))
    np.testing.assert_array_equal(events.value, clicked["rating"])
    np.testing.assert_array_equal(events.time, clicked["time"])
    assert people.users["clicks"].sum() == shown["click"].sum()


def test_ratings_follow_utility(people):
    events = people.interactions
    utility = people.utility()[events.user, events.item]
    assert np.corrcoef(utility, events.value)[0, 1] > 0.4


# -- determinism -------------------------------------------------------------------------------------------------
def test_same_seed_same_audience(people):
    again, other = audience(), audience(seed=1)
    assert people.exposures.equals(again.exposures)
    assert not people.exposures.equals(other.exposures)


def test_first_users_do_not_depend_on_the_number(people):
    np.testing.assert_array_equal(people.utility(range(20)), audience(n_users=20).utility())


# -- responses ---------------------------------------------------------------------------------------------------
def test_click_probability_by_hand(people):
    utility = float(people.utility([3], time=0.25)[0, 17])
    by_hand = 4**-0.5 / (1 + np.exp((1.0 - utility) / 0.15))
    assert people.click_probability(3, 17, 4, time=0.25) == pytest.approx(by_hand, rel=1e-4)


def test_responses_have_the_stated_probability(people):
    lists = np.tile(np.argsort(-people.utility([5])[0])[[0, 8, 16, 24]], (20_000, 1))
    answers = people.respond(np.full(20_000, 5), lists, seed=3)
    rate = answers.groupby("position")["click"].mean()
    np.testing.assert_allclose(rate, people.click_probability(5, lists[0], np.arange(1, 5)), atol=0.02)
    assert answers.equals(people.respond(np.full(20_000, 5), lists, seed=3))


def test_empty_places_are_not_shown(people):
    answers = people.respond([0, 1], [[4, -1, 6], [-1, -1, 2]])
    assert answers[["user", "item", "position"]].to_numpy().tolist() == [[0, 4, 1], [0, 6, 3], [1, 2, 3]]


def test_without_noise_only_liking_counts():
    people = audience(noise=0.0, position_bias=0.0, drift=0.0)
    utility = people.utility()[people.exposures["user"], people.exposures["item"]]
    np.testing.assert_array_equal(people.exposures["click"], utility > people.setting.threshold)


# -- the oracle --------------------------------------------------------------------------------------------------
def test_oracle_beats_everything():
    people = audience(n_users=600, n_lists=20)
    split = mm.data.split(people.interactions, "random", seed=0)

    def ndcg(model):
        return mm.evaluation.evaluate(model, split.test, train=split.train, ks=(20,)).summary.loc["ndcg@20", "mean"]

    popularity = ndcg(mm.models.create("popularity").fit(split.train))
    best = ndcg(people.oracle)
    in_part = {name: ndcg(people.oracle_knowing(name)) for name in (*people.weights, "text", "image", "audio")}
    assert best > 1.5 * popularity
    assert best > 1.2 * max(in_part.values())
    assert best > ndcg(people.oracle_knowing("text", "image", "audio")) > in_part["image"] > in_part["look"]


def test_oracle_knowing_a_modality_knows_what_it_shows(people):
    np.testing.assert_array_equal(
        people.oracle_knowing("image").score([2]), people.utility([2], components=["category", "look"])
    )


# -- bad input ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_users": 0}, ParameterError, "n_users=0"),
        ({"n_users": 2.5}, ParameterError, "n_users=2.5"),
        ({"n_lists": 0}, ParameterError, "n_lists"),
        ({"list_length": N_ITEMS + 1}, ParameterError, "only 120 items"),
        ({"noise": -1}, ParameterError, "noise=-1"),
        ({"popularity_bias": np.nan}, ParameterError, "popularity_bias"),
        ({"drift": 1.5}, ParameterError, "drift=1.5"),
        ({"threshold": np.inf}, ParameterError, "threshold"),
        ({"seed": -1}, ParameterError, "seed=-1"),
        ({"weights": {"look": -0.1}}, ParameterError, "look"),
        ({"weights": {"smell": 1}}, UnknownNameError, "smell"),
        ({"weights": {"look": 1, "image": 1}}, ParameterError, "twice"),
        ({"weights": dict.fromkeys(mm.simulation.DEFAULT_WEIGHTS, 0)}, ParameterError, "zero"),
    ],
)
def test_bad_arguments(options, error, words):
    with pytest.raises(error, match=words):
        audience(**options)


def test_weight_for_what_the_catalogue_lacks():
    dataset, attributes = catalogue()
    only_category = {"category": attributes["category"]}
    people = mm.simulation.simulate(dataset, 5, attributes=only_category, list_length=8)
    assert people.weights["look"] == 0  # a default weight gives way
    with pytest.raises(DataError, match="nothing to measure 'look' on"):
        mm.simulation.simulate(dataset, 5, attributes=only_category, weights={"image": 0.5})


def test_bad_attributes():
    _, attributes = catalogue()
    with pytest.raises(FeatureError, match="119 rows"):
        audience(attributes={**attributes, "look": attributes["look"].iloc[1:]})
    half = attributes["look"].copy()
    half.iloc[4, 1] = np.nan
    with pytest.raises(FeatureError, match="row 4"):
        audience(attributes={**attributes, "look": half})
    with pytest.raises(FeatureError, match="same for all items"):
        audience(attributes={**attributes, "look": attributes["look"] * 0})


def test_unknown_codes(people):
    with pytest.raises(UnknownUserError, match="150"):
        people.utility([150])
    with pytest.raises(UnknownItemError, match="120"):
        people.click_probability(0, 120)
    with pytest.raises(UnknownItemError, match="500"):
        people.respond([0], [[500]])
    with pytest.raises(ParameterError, match="lists must be"):
        people.respond([0, 1], [[5]])
    with pytest.raises(ParameterError, match="count from 1"):
        people.click_probability(0, 0, 0)
    with pytest.raises(UnknownNameError, match="taste"):
        people.oracle_knowing("taste")
    with pytest.raises(ParameterError, match="time"):
        people.utility([0], time=2)
