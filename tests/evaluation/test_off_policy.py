"""Estimates from logs: worked out by hand, and simulated where the truth is known exactly."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lib.errors import (
    DataError,
    MissingColumnError,
    ParameterError,
    UnknownItemError,
    UnknownNameError,
    UnknownUserError,
)
from mmrec_lib.evaluation import LoggedFeedback, cross_fitted_rewards, off_policy_difference, off_policy_value
from mmrec_lib.evaluation.off_policy import ESTIMATORS
from mmrec_lib.simulation.logging_policy import list_probabilities, sample_lists

MODEL = np.array([0.5, 0.2])
TARGET = np.array([0.25, 0.75])


def three_rows(**changes):
    """Weights for TARGET: 0.25 / 0.5 = 0.5, 0.75 / 0.25 = 3, 0.75 / 0.75 = 1."""
    return LoggedFeedback(**({"action": [0, 1, 1], "reward": [1, 1, 0], "propensity": [0.5, 0.25, 0.75]} | changes))


class World:
    """Users whose rewards are known, and a softmax policy that was logged."""

    def __init__(self, n_users=40, n_actions=5, shift=0.0, seed=0):
        rng = np.random.default_rng(seed)
        self.context = rng.standard_normal((n_users, 3))
        taste = self.context @ rng.standard_normal((3, n_actions))
        self.rewards = shift + 1 / (1 + np.exp(1 - taste))
        self.logging = list_probabilities(0.7 * rng.standard_normal((n_users, n_actions)), 1)
        self.target = list_probabilities(taste, 1)
        self.value = (self.target * self.rewards).sum(axis=1).mean()

    def log(self, n, rng):
        """Each row is a visit of its own by someone drawn at random."""
        user = rng.integers(len(self.context), size=n)
        action = (self.logging[user].cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        reward = np.floor(self.rewards[user, action]) + (rng.random(n) < self.rewards[user, action] % 1)
        return user, action, reward, self.logging[user, action]

    def feedback(self, n, rng):
        user, action, reward, propensity = self.log(n, rng)
        return LoggedFeedback(action, reward, propensity, context=self.context[user], n_actions=5), user

    def estimates(self, names, n_logs=200, n=300, rewards=None, **options):
        rng = np.random.default_rng(1)
        rows = []
        for _ in range(n_logs):
            logged, user = self.feedback(n, rng)
            model = None if rewards is None else rewards[user]
            table = off_policy_value(logged, self.target[user], names, reward_model=model, n_boot=0, **options)
            rows.append(table["mean"].to_numpy())
        return np.array(rows)


# -- by hand -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "options", "value"),
    [
        ("ips", {}, (0.5 + 3 + 0) / 3),
        ("ips", {"clip": 2}, (0.5 + 2 + 0) / 3),
        ("snips", {}, 3.5 / 4.5),
        ("snips", {"clip": 2}, 2.5 / 3.5),
        ("dm", {}, 0.275),  # 0.25 * 0.5 + 0.75 * 0.2
        ("dr", {}, 0.275 + (0.5 * 0.5 + 3 * 0.8 - 1 * 0.2) / 3),
        ("dr", {"clip": 2}, 0.275 + (0.5 * 0.5 + 2 * 0.8 - 1 * 0.2) / 3),
        ("switch-dr", {"tau": 2}, 0.275 + (0.5 * 0.5 - 1 * 0.2) / 3),
        ("switch-dr", {"tau": 3}, 0.275 + (0.5 * 0.5 + 3 * 0.8 - 1 * 0.2) / 3),
    ],
)
def test_known_answers(how, options, value):
    table = off_policy_value(three_rows(), TARGET, how, reward_model=MODEL, n_boot=50, **options)
    assert table.loc[how, "mean"] == pytest.approx(value)


def test_diagnosis_of_weights_by_hand():
    table = off_policy_value(three_rows(), TARGET, ["ips", "dm", "switch-dr"], reward_model=MODEL, tau=2, n_boot=0)
    assert table.loc["ips", ["effective_rows", "largest_weight", "mean_weight"]].tolist() == pytest.approx(
        [4.5**2 / (0.25 + 9 + 1), 3, 1.5]
    )
    assert table.loc["switch-dr", ["effective_rows", "largest_weight"]].tolist() == pytest.approx([1.5**2 / 1.25, 1])
    assert table.loc["dm", ["effective_rows", "largest_weight"]].isna().all()


def test_normal_interval_by_hand():
    row = off_policy_value(three_rows(), TARGET, "ips", n_boot=0).loc["ips"]
    error = np.std([0.5, 3, 0], ddof=1) / np.sqrt(3)
    assert row["standard_error"] == pytest.approx(error)
    assert row["ci_high"] - row["mean"] == pytest.approx(1.959964 * error, rel=1e-6)
    assert row["mean"] - row["ci_low"] == pytest.approx(1.959964 * error, rel=1e-6)


def test_rows_of_one_user_are_resampled_together():
    # the same user thrice: the rows say nothing new, so the error is that of one row each
    user = np.repeat([0, 1, 2], 3)
    once = three_rows()
    thrice = LoggedFeedback(
        np.repeat(once.action, 3), np.repeat(once.reward, 3), np.repeat(once.propensity, 3), user=user
    )
    a, b = (off_policy_value(log, TARGET, ["ips", "snips"], n_boot=300, seed=3) for log in (once, thrice))
    columns = ["mean", "ci_low", "ci_high", "standard_error"]
    np.testing.assert_allclose(a[columns], b[columns])


def test_the_place_picks_its_own_probabilities_and_rewards():
    # one user, two places; the policy shows item 0 first and item 1 second
    log = LoggedFeedback([0, 0], [1, 0], [0.5, 0.5], user=[0, 0], position=[1, 2], n_actions=2)
    target = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    rewards = np.array([[[0.8, 0.4], [0.6, 0.3]]])  # [user, action, place]
    table = off_policy_value(log, target, ["ips", "dm", "dr"], reward_model=rewards, n_boot=0)
    assert table["mean"].tolist() == pytest.approx([1.0, (0.8 + 0.3) / 2, (0.8 + 2 * (1 - 0.8) + 0.3) / 2])
    # rewards that are the same for all places may lack the third axis
    flat = off_policy_value(log, target, "dm", reward_model=rewards[:, :, 0], n_boot=0)
    assert flat["mean"].iloc[0] == pytest.approx((0.8 + 0.6) / 2)


def test_the_logging_policy_itself_has_the_mean_of_the_log():
    world = World()
    user, action, reward, propensity = world.log(500, np.random.default_rng(0))
    logged = LoggedFeedback(action, reward, propensity, user=user, n_users=40)
    table = off_policy_value(logged, world.logging, ["ips", "snips"], n_boot=0)
    assert table["mean"].tolist() == pytest.approx([reward.mean()] * 2)
    assert table.loc["ips", "effective_rows"] == pytest.approx(500)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_relations_between_the_estimators(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, 30)), int(rng.integers(2, 6))
    log = LoggedFeedback(rng.integers(k, size=n), rng.random(n), rng.uniform(0.05, 1, n), n_actions=k)
    target, rewards = rng.dirichlet(np.ones(k), n), rng.random((n, k))

    def value(how, model=rewards, **options):
        return off_policy_value(log, target, how, reward_model=model, n_boot=0, **options)["mean"].iloc[0]

    assert value("switch-dr", tau=0) == pytest.approx(value("dm"))
    assert value("switch-dr", tau=np.inf) == pytest.approx(value("dr"))
    assert value("dr", model=np.zeros(k)) == pytest.approx(value("ips"))
    assert value("ips", clip=1e9) == pytest.approx(value("ips"))
    assert value("ips", clip=0.5) <= value("ips") + 1e-12  # rewards are not negative here
    assert log.reward.min() - 1e-12 <= value("snips") <= log.reward.max() + 1e-12


# -- simulated -----------------------------------------------------------------------------------------------------


def test_no_bias_but_that_of_a_wrong_model():
    world = World()
    wrong = np.full(world.rewards.shape, 0.9)
    estimates = world.estimates(["ips", "dr", "snips", "dm"], rewards=wrong)
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    bias = estimates.mean(axis=0) - world.value
    assert (np.abs(bias[:2]) < 3 * error[:2]).all()
    assert abs(bias[2]) < 0.01  # of order 1 / n
    assert bias[3] == pytest.approx(0.9 - world.value)


def test_the_order_of_the_variances():
    world = World()
    ips, dr, dm = world.estimates(["ips", "dr", "dm"], rewards=world.rewards).std(axis=0)
    assert dm < dr < 0.8 * ips  # the true rewards leave only the noise of the rewards themselves
    clipped = world.estimates(["ips"], clip=2.0).std(axis=0)[0]
    assert clipped < ips
    switched = world.estimates(["switch-dr"], rewards=world.rewards, tau=2.0).std(axis=0)[0]
    assert dm < switched < dr
    # a constant added to all rewards costs IPS the spread of the weights, and SNIPS nothing
    ips, snips = World(shift=5.0).estimates(["ips", "snips"]).std(axis=0)
    assert snips < 0.3 * ips


def test_standard_errors_are_the_spread_over_logs():
    world, rng = World(), np.random.default_rng(5)
    means, errors = [], []
    for _ in range(200):
        logged, user = world.feedback(300, rng)
        table = off_policy_value(logged, world.target[user], ["ips", "snips"], n_boot=0)
        means.append(table["mean"])
        errors.append(table["standard_error"])
    assert np.mean(errors, axis=0) == pytest.approx(np.std(means, axis=0), rel=0.15)


def test_doubly_robust_intervals_hold_the_truth():
    world, rng, held = World(), np.random.default_rng(2), []
    for seed in range(100):
        logged, user = world.feedback(300, rng)
        rewards = cross_fitted_rewards(logged, model="ridge", alpha=10, seed=seed)
        row = off_policy_value(logged, world.target[user], "dr", reward_model=rewards, n_boot=200, seed=seed).iloc[0]
        held.append(row["ci_low"] <= world.value <= row["ci_high"])
    assert np.sum(held) >= 90


def test_lists_with_places():
    """Systematic sampling of lists, clicks that depend on item and place, and a policy that differs by place."""
    rng, n_users, n_items, length = np.random.default_rng(3), 50, 8, 3
    propensity = list_probabilities(rng.standard_normal((n_users, n_items)), length)
    lists = sample_lists(propensity, 60, length, rng)
    user, _, place = (grid.ravel() for grid in np.indices(lists.shape))
    appeal = rng.uniform(0.1, 0.9, (n_users, n_items))[:, :, None] * np.array([1, 0.6, 0.4])
    item = lists.ravel()
    click = rng.random(len(item)) < appeal[user, item, place]
    table = pd.DataFrame({"user": user, "item": item, "click": click, "position": place + 1})
    table["propensity"] = propensity[user, item]
    logged = LoggedFeedback.from_table(table)
    target = np.stack([list_probabilities(s * appeal[:, :, 0], length) for s in (8.0, 0.0, -8.0)], axis=2)
    truth = (target * appeal).sum(axis=1).mean()
    found = off_policy_value(logged, target, ["ips", "snips", "dr"], n_boot=0)
    assert (np.abs(found["mean"] - truth) < 3.5 * found["standard_error"]).all()
    assert found.loc["dr", "standard_error"] < found.loc["ips", "standard_error"]


# -- the reward model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_features", [False, True])
def test_ridge_finds_a_linear_world(with_features):
    rng = np.random.default_rng(0)
    n, context, features = 600, rng.standard_normal((600, 2)), rng.standard_normal((6, 2))
    products = features if with_features else rng.standard_normal((6, 2))
    truth = rng.standard_normal(6) + context @ products.T
    action, place = rng.integers(6, size=n), rng.integers(2, size=n)
    reward = truth[np.arange(n), action] - 3 * place
    log = LoggedFeedback(action, reward, np.full(n, 1 / 6), context=context, position=place + 1)
    found = cross_fitted_rewards(log, features if with_features else None, alpha=1e-4)
    assert found.shape == (600, 6, 2)
    np.testing.assert_allclose(found, truth[:, :, None] - [0, 3], atol=0.02)


def test_logistic_probabilities_follow_the_truth():
    world = World(n_users=3000)
    user, action, reward, propensity = world.log(6000, np.random.default_rng(0))
    found = cross_fitted_rewards(LoggedFeedback(action, reward, propensity, user=user, context=world.context))
    assert ((found > 0) & (found < 1)).all()
    assert np.abs(found - world.rewards).mean() < 0.03


def test_no_user_is_predicted_from_their_own_rows():
    user, action, reward, propensity = World().log(400, np.random.default_rng(0))
    other = np.where(user == 7, 1 - reward, reward)
    a, b = (cross_fitted_rewards(LoggedFeedback(action, r, propensity, user=user, n_users=40)) for r in (reward, other))
    assert (a[7] == b[7]).all()
    assert (a != b).any()


def test_long_logs_are_thinned_for_the_model():
    user, action, reward, propensity = World().log(2000, np.random.default_rng(0))
    log = LoggedFeedback(action, reward, propensity, user=user)
    few, many, all_ = (cross_fitted_rewards(log, max_rows=m) for m in (50, 1000, 5000))
    assert (all_ == cross_fitted_rewards(log)).all()
    assert 0 < np.abs(many - all_).mean() < 0.5 * np.abs(few - all_).mean()


def test_rewards_that_are_all_alike():
    assert (cross_fitted_rewards(LoggedFeedback([0, 1, 2], [0, 0, 0], [0.5] * 3), folds=3) == 0).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"folds": 9}, ParameterError, "only 3 users"),
        ({"folds": 1}, ParameterError, "at least 2"),
        ({"model": "tree"}, ParameterError, "ridge"),
        ({"alpha": 0}, ParameterError, "above 0"),
        ({"max_rows": 0}, ParameterError, "max_rows=0"),
        ({"model": "logistic"}, DataError, "0 or 1"),
        ({"action_features": np.ones((5, 2))}, DataError, r"\(2, f\)"),
    ],
)
def test_reward_model_errors(options, error, words):
    log = three_rows(reward=[0.5, 1, 0])
    with pytest.raises(error, match=words):
        cross_fitted_rewards(log, **({"folds": 3} | options))


# -- the log -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"propensity": [0.5, 0, 1]}, DataError, "propensity 0 in row 1"),
        ({"propensity": [0.5, 0.5, 1.5]}, DataError, "at most 1"),
        ({"propensity": [0.5, 0.5]}, DataError, "each of the 3 actions"),
        ({"reward": [0, np.nan, 1]}, DataError, "reward holds NaN"),
        ({"action": [0, 2, 1], "n_actions": 2}, UnknownItemError, "0 to 1"),
        ({"action": [0, -1, 1]}, UnknownItemError, "-1"),
        ({"action": [0, 0.5, 1]}, DataError, "whole numbers"),
        ({"user": [0, 1, 5], "n_users": 3}, UnknownUserError, "0 to 2"),
        ({"user": [0, 1, 2], "context": np.ones((2, 4))}, UnknownUserError, "0 to 1"),
        ({"context": np.full((3, 1), np.inf)}, DataError, "context holds"),
        ({"context": np.ones((3, 2)), "n_users": 4}, DataError, "one row a user"),
        ({"position": [0, 1, 2]}, DataError, "count from 1"),
        ({"position": [1, 2, 3], "n_positions": 2}, DataError, "position"),
        ({"n_actions": 0}, ParameterError, "at least 1"),
        ({"action": [], "reward": [], "propensity": []}, DataError, "empty"),
    ],
)
def test_log_errors(changes, error, words):
    with pytest.raises(error, match=words):
        three_rows(**changes)


def test_log_defaults():
    log = three_rows(context=[3.0, 4.0, 5.0])
    assert (log.n_actions, log.n_users, log.n_positions, len(log)) == (2, 3, None, 3)
    assert log.user.tolist() == [0, 1, 2]
    assert log.context.shape == (3, 1)
    assert "3 rows" in repr(log)


def test_table_in_the_form_of_the_open_bandit_data():
    table = pd.DataFrame(
        {
            "item_id": [4, 0, 2],
            "position": [1, 3, 2],
            "click": [0, 1, 0],
            "propensity_score": [0.1, 0.2, 0.3],
            "user_feature_0": ["a", "b", "a"],
            "affinity": [0.5, 0.0, 2.0],
        }
    )
    log = LoggedFeedback.from_table(
        table,
        action="item_id",
        propensity="propensity_score",
        user=None,
        context=["user_feature_0", "affinity"],
        n_actions=6,
    )
    assert (log.n_actions, log.n_users, log.n_positions) == (6, 3, 3)
    assert sorted(log.context.T.tolist()) == [[0, 1, 0], [0.5, 0, 2], [1, 0, 1]]
    with pytest.raises(MissingColumnError, match="'item'"):
        LoggedFeedback.from_table(table)
    with pytest.raises(ParameterError, match="user=None"):
        LoggedFeedback.from_table(table, action="item_id", user="position", context=["affinity"])


# -- two policies on one log ---------------------------------------------------------------------------------------
def test_difference_by_hand():
    other = np.array([0.5, 0.5])  # weights 1, 2, 2/3
    table = off_policy_difference(three_rows(), TARGET, other, ["ips", "snips"], n_boot=0)
    assert table.loc["ips", "difference"] == pytest.approx((0.5 + 3) / 3 - (1 + 2) / 3)
    assert table.loc["ips", "standard_error"] == pytest.approx(np.std([-0.5, 1, 0], ddof=1) / np.sqrt(3))
    assert table.loc["snips", ["mean_a", "mean_b"]].tolist() == pytest.approx([3.5 / 4.5, 3 / (3 + 2 / 3)])


def test_difference_is_that_of_the_values_and_none_between_equals():
    logged, user = World().feedback(400, np.random.default_rng(0))
    world, names = World(), ["ips", "snips", "dm", "dr"]
    a, b = world.target[user], np.full((400, 5), 0.2)
    table = off_policy_difference(logged, a, b, names, n_boot=200)
    one, two = (off_policy_value(logged, p, names, n_boot=0)["mean"] for p in (a, b))
    np.testing.assert_allclose(table["mean_a"], one)
    np.testing.assert_allclose(table["difference"], one - two)
    assert (table["ci_low"] < table["difference"]).all()
    assert (table["difference"] < table["ci_high"]).all()
    same = off_policy_difference(logged, a, a, names, n_boot=50)
    assert not same[["difference", "ci_low", "ci_high", "standard_error"]].to_numpy().any()


def test_similar_policies_differ_by_less_noise_than_each_has():
    world = World()
    logged, user = world.feedback(2000, np.random.default_rng(0))
    near = 0.9 * world.target + 0.1 * world.logging
    table = off_policy_difference(logged, world.target[user], near[user], "ips", n_boot=0)
    alone = off_policy_value(logged, world.target[user], "ips", n_boot=0)
    assert table.loc["ips", "standard_error"] < 0.3 * alone.loc["ips", "standard_error"]


def test_difference_intervals_hold_the_truth():
    """100 logs: a 95 % interval that is right holds it 90 times or more with probability 0.99."""
    world, rng = World(), np.random.default_rng(3)
    even = np.full_like(world.target, 0.2)
    truth = world.value - (even * world.rewards).sum(axis=1).mean()
    held = 0
    for _ in range(100):
        logged, user = world.feedback(500, rng)
        row = off_policy_difference(
            logged, world.target[user], even[user], "dr", reward_model=0.8 * world.rewards[user], n_boot=0
        ).loc["dr"]
        held += row["ci_low"] <= truth <= row["ci_high"]
    assert held >= 90


def test_difference_names_the_policy_that_is_wrong():
    with pytest.raises(DataError, match=r"probabilities_b sum to 0\.9"):
        off_policy_difference(three_rows(), TARGET, [0.5, 0.4], "ips")


@pytest.mark.parametrize(
    ("target", "options", "error", "words"),
    [
        ([0.5, 0.6], {}, DataError, "sum to 1.1"),
        ([1.5, -0.5], {}, DataError, "at least 0"),
        ([0.5, 0.25, 0.25], {}, DataError, r"\(3, 2\)"),
        (np.full((3, 2, 2), 0.5), {}, DataError, "places"),
        ([np.nan, 1.0], {}, DataError, "NaN"),
        (TARGET, {"how": "drr"}, UnknownNameError, "dr"),
        (TARGET, {"how": []}, ParameterError, "at least one"),
        (TARGET, {"how": "switch-dr"}, ParameterError, "needs tau"),
        (TARGET, {"how": "switch-dr", "tau": -1}, ParameterError, "at least 0"),
        (TARGET, {"clip": 0}, ParameterError, "above 0"),
        (TARGET, {"confidence": 1}, ParameterError, "confidence"),
        (TARGET, {"n_boot": -1}, ParameterError, "n_boot"),
        (TARGET, {"reward_model": np.ones(3)}, DataError, "reward_model"),
    ],
)
def test_estimate_errors(target, options, error, words):
    with pytest.raises(error, match=words):
        off_policy_value(three_rows(), target, **({"how": "dr", "reward_model": MODEL} | options))


def test_a_policy_that_was_never_seen():
    log = LoggedFeedback([0, 0], [1, 0], [0.5, 0.5], n_actions=2)
    with pytest.raises(DataError, match="ever logged"):
        off_policy_value(log, [0.0, 1.0], "snips")
    assert off_policy_value(log, [0.0, 1.0], "ips")["mean_weight"].iloc[0] == 0


def test_the_seed_decides():
    a, b, c = (off_policy_value(three_rows(), TARGET, "ips", n_boot=40, seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(a, b)
    assert not a.equals(c)
    assert set(ESTIMATORS) == {"ips", "snips", "dm", "dr", "switch-dr"}
