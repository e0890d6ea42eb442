"""Policies on arms whose worth is known."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib import newcomers
from mmrec_lib.errors import DataError, ParameterError, UnknownItemError
from mmrec_lib.newcomers.bandits import arm_contexts

POLICIES = {
    "greedy": newcomers.EpsilonGreedy(0.1),
    "ucb": newcomers.UCB1(0.5),
    "thompson": newcomers.ThompsonSampling(),
    "linucb": newcomers.LinUCB(0.5),
    "linear thompson": newcomers.LinearThompson(0.3),
}


def started(policy, runs, contexts):
    policy.start(runs, np.asarray(contexts, float), np.random.default_rng(0))
    return policy


class TestPolicies:
    @pytest.mark.parametrize("name", POLICIES)
    def test_finds_the_good_arm(self, name):
        """Four arms, told apart by their contexts, one of them good; dice lose 0.6 a round on average."""
        worth = np.tile([0.1, 0.1, 0.9, 0.1], (200, 1))
        played = newcomers.run(POLICIES[name], newcomers.Arms(worth, np.eye(4)), rounds=100)
        assert played.regret[:, -1].mean() < 0.5 * 0.6 * 100
        assert (played.arms[:, -20:] == 2).mean() > 0.7

    @pytest.mark.parametrize("name", POLICIES)
    def test_runs_do_not_mix(self, name):
        """Each run has another good arm."""
        worth = np.where(np.eye(4) > 0, 0.95, 0.05)
        played = newcomers.run(POLICIES[name], newcomers.Arms(worth, np.eye(4)), rounds=300)
        np.testing.assert_array_equal([np.bincount(row[150:]).argmax() for row in played.arms], np.arange(4))

    @pytest.mark.parametrize("name", POLICIES)
    def test_same_seed_same_run(self, name):
        arms = newcomers.Arms(np.random.default_rng(0).random((5, 3)), np.eye(3))
        one, two = (newcomers.run(POLICIES[name], arms, 20, seed=4) for _ in range(2))
        np.testing.assert_array_equal(one.arms, two.arms)
        np.testing.assert_array_equal(one.reward, two.reward)

    def test_epsilon(self):
        policy = started(newcomers.EpsilonGreedy(0.5), 4000, np.eye(2))
        policy.update(np.zeros(4000, int), np.ones(4000))
        assert (policy.choose() == 0).mean() == pytest.approx(0.75, abs=0.03)  # half of the time, and half of the rest

    def test_ucb_by_hand(self):
        policy = started(newcomers.UCB1(2.0), 1, np.eye(2))
        for arm, reward in ((0, 1), (1, 0), (0, 1), (0, 0)):
            policy.update(np.array([arm]), np.array([reward]))
        # arm 0: 2/3 + sqrt(2 ln 4 / 3) = 1.628; arm 1: 0 + sqrt(2 ln 4) = 1.665
        assert policy.choose()[0] == 1
        policy.update(np.array([1]), np.array([0]))
        assert policy.choose()[0] == 0  # 2/3 + sqrt(2 ln 5 / 3) = 1.703 against sqrt(2 ln 5 / 2) = 1.269

    def test_every_arm_once_first(self):
        played = newcomers.run(newcomers.UCB1(), newcomers.Arms(np.full((7, 5), 0.5)), 5)
        np.testing.assert_array_equal(np.sort(played.arms, axis=1), np.tile(np.arange(5), (7, 1)))

    def test_linucb_is_ridge_regression(self):
        rng = np.random.default_rng(0)
        contexts, arms, rewards = rng.normal(size=(6, 3)), rng.integers(6, size=20), rng.random(20)
        policy = started(newcomers.LinUCB(alpha=0.7, l2=2.0), 1, contexts)
        for arm, reward in zip(arms, rewards, strict=True):
            policy.update(np.array([arm]), np.array([reward]))
        x = contexts[arms]
        a = x.T @ x + 2 * np.eye(3)
        w = np.linalg.solve(a, x.T @ rewards)
        np.testing.assert_allclose(policy.taste()[0, 0], w, atol=1e-5)
        bound = contexts @ w + 0.7 * np.sqrt(np.einsum("ad,ad->a", contexts, np.linalg.solve(a, contexts.T).T))
        assert policy.choose()[0] == bound.argmax()

    def test_disjoint_arms_learn_each_for_itself(self):
        policy = started(newcomers.LinUCB(alpha=0.5, l2=1.0, disjoint=True), 1, np.ones((2, 1)))
        policy.update(np.array([0]), np.array([1.0]))
        np.testing.assert_allclose(policy.taste()[0, :, 0], [0.5, 0])  # 1 / (1 + 1), and nothing
        assert policy.choose()[0] == 0  # 0.5 + 0.5 sqrt(1/2) = 0.85 against 0.5

    def test_contexts_of_each_run(self):
        """Two runs see the arms in opposite order; both learn that the first direction is good."""
        order = np.stack([np.eye(2), np.eye(2)[::-1]])
        for policy in (newcomers.LinUCB(0.0), newcomers.LinearThompson(0.0)):
            started(policy, 2, order)
            policy.update(np.array([0, 1]), np.array([1.0, 1.0]))
            assert policy.choose().tolist() == [0, 1]

    def test_linear_thompson_draws_from_the_posterior(self):
        policy = started(newcomers.LinearThompson(scale=1.0, l2=4.0), 20_000, [[1.0], [-1.0]])
        # nothing known: w ~ N(0, 1/4), either arm as likely; after a reward of 1 for arm 0: w ~ N(1/5, 1/5)
        assert (policy.choose() == 0).mean() == pytest.approx(0.5, abs=0.02)
        policy.update(np.zeros(20_000, int), np.ones(20_000))
        assert (policy.choose() == 0).mean() == pytest.approx(0.673, abs=0.02)  # Phi(0.2 / sqrt 0.2)

    def test_content_helps_and_noise_does_not(self):
        """Forty arms of four kinds, each run likes one kind: vectors carry what was learned from arm to arm."""
        kinds = np.arange(40) % 4
        worth = np.where(kinds == np.arange(200)[:, None] % 4, 0.8, 0.05)
        look = np.eye(4)[kinds]
        noise = np.random.default_rng(0).normal(size=look.shape)
        blind = newcomers.run(newcomers.EpsilonGreedy(0.1), newcomers.Arms(worth), 60)
        seeing = newcomers.run(newcomers.LinUCB(0.3), newcomers.Arms(worth, look), 60)
        misled = newcomers.run(newcomers.LinUCB(0.3), newcomers.Arms(worth).with_contexts(noise), 60)
        assert newcomers.compare_runs(seeing, blind)["ci_high"] < -4
        assert newcomers.compare_runs(seeing, misled)["ci_high"] < -0.5

    @pytest.mark.parametrize(
        ("make", "wrong"),
        [
            (newcomers.EpsilonGreedy, {"epsilon": 2}),
            (newcomers.UCB1, {"width": 0}),
            (newcomers.ThompsonSampling, {"prior": (0, 1)}),
            (newcomers.LinUCB, {"alpha": -1}),
            (newcomers.LinUCB, {"l2": 0}),
            (newcomers.LinearThompson, {"scale": -1}),
        ],
    )
    def test_wrong_parameters(self, make, wrong):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            make(**wrong)


class TestRuns:
    def test_regret_by_hand(self):
        class Fixed:
            def start(self, runs, contexts, rng):
                self.t = -1

            def choose(self):
                self.t += 1
                return np.array([self.t % 2, 0])

            def update(self, arms, rewards):
                pass

        played = newcomers.run(Fixed(), newcomers.Arms([[1, 0], [0.25, 0.75]]), 3)
        np.testing.assert_allclose(played.regret, [[0, 1, 1], [0.5, 1, 1.5]])
        np.testing.assert_allclose(played.reward[0], [1, 1, 2])
        curve = played.curve(every=2)
        assert curve.index.tolist() == [2]
        assert curve["mean"].iloc[0] == 1
        assert curve["ci_low"].iloc[0] == curve["ci_high"].iloc[0] == 1

    def test_compare(self):
        zero = np.zeros((3, 2))
        a = newcomers.BanditRun(np.array([[0.0, 1], [0, 2], [0, 3]]), zero, zero)
        b = newcomers.BanditRun(np.array([[1.0, 3], [1, 4], [1, 5]]), zero, zero)
        found = newcomers.compare_runs(a, b)
        assert found[["mean_a", "mean_b", "difference", "ci_low", "ci_high"]].tolist() == [2, 4, -2, -2, -2]
        assert newcomers.compare_runs(a, b, at=1)["difference"] == -1
        with pytest.raises(ParameterError, match="at=3"):
            newcomers.compare_runs(a, b, at=3)
        with pytest.raises(DataError, match="runs differ"):
            newcomers.compare_runs(a, newcomers.BanditRun(zero[:2], zero[:2], zero[:2]))

    def test_arms_that_cannot_be(self):
        for worth in ([[1.5]], [0.5], np.zeros((0, 2))):
            with pytest.raises(DataError, match="probabilities"):
                newcomers.Arms(worth)
        for contexts in (np.ones((3, 1)), [[np.nan], [1]]):
            with pytest.raises(DataError, match="contexts"):
                newcomers.Arms([[0.5, 0.5]], contexts)

    def test_arms_of_an_audience(self):
        world = mm.datasets.load("stamps", n_users=6).extras["audience"]
        items = np.arange(0, 40, 2)
        look = np.random.default_rng(0).normal(size=(world.n_items, 8))
        arms = newcomers.audience_arms(world, [1, 4], items, mm.data.Features({"look": look}), components=5)
        np.testing.assert_allclose(arms.probabilities, world.click_probability(np.array([[1], [4]]), items))
        assert arms.contexts.shape == (20, 6)
        np.testing.assert_allclose(arms.contexts.std(axis=0), [1] * 5 + [0], atol=1e-5)
        np.testing.assert_allclose(arms.contexts.mean(axis=0), [0] * 5 + [1], atol=1e-5)
        assert newcomers.audience_arms(world, [1], items).contexts.shape == (20, 1)
        with pytest.raises(ParameterError, match="components"):
            arm_contexts(mm.data.Features({"look": look}), items, 9)
        with pytest.raises(UnknownItemError, match="items"):
            arm_contexts(mm.data.Features({"look": look}), [world.n_items], 1)
