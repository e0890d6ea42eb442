"""Sizes, tests and looks: formulas worked out by hand, published bounds, and false alarms counted on simulated data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.evaluation import (
    ab_test,
    always_valid,
    experiment_power,
    experiment_size,
    sample_ratio_check,
    sequential_test,
    spending_bounds,
)

LOOKS = np.arange(1, 21) * 50  # twenty looks, 1,000 people in each group


@pytest.fixture(scope="module")
def null_paths():
    """Differences and standard errors at each look of 4,000 experiments without an effect."""
    return paths(0.0, 4000, seed=0)


def paths(effect, n_experiments, seed):
    """Sums of 50 people at a time: exact for normal values of variance 1."""
    rng = np.random.default_rng(seed)
    sums = rng.normal(50 * effect, np.sqrt(2 * 50), (n_experiments, len(LOOKS))).cumsum(axis=1)
    return sums / LOOKS, np.sqrt(2 / LOOKS)


# -- size and power ------------------------------------------------------------------------------------------------


def test_size_for_means_by_hand():
    # (1.959964 + 0.841621)^2 * 2 * 1 / 0.5^2 = 7.848880 * 8 = 62.79
    assert experiment_size(0.5, sd=1.0) == (63, 63)
    assert experiment_size(-0.5, sd=1.0) == (63, 63)
    # twice as many treated: 7.848880 * 1.5 / 0.25 = 47.09, and 94.19
    assert experiment_size(0.5, sd=1.0, ratio=2) == (48, 95)


def test_size_for_proportions_by_hand():
    # 10 % to 12 %: (1.959964 * sqrt(2 * .11 * .89) + .841621 * sqrt(.09 + .1056))^2 / .02^2 = 3840.8
    assert experiment_size(0.02, baseline=0.1) == (3841, 3841)


@settings(deadline=None)
@given(st.floats(0.02, 0.3), st.floats(0.05, 0.6), st.floats(0.5, 0.95), st.floats(0.5, 3))
def test_power_turns_size_around(effect, baseline, power, ratio):
    for kind in ({"sd": 0.5}, {"baseline": baseline}):
        n, _ = experiment_size(effect, power=power, ratio=ratio, **kind)
        assert experiment_power(n, effect, ratio=ratio, **kind) >= power - 1e-9
        if n > 1:
            assert experiment_power(n - 1, effect, ratio=ratio, **kind) < power


def test_power_is_what_happens():
    rng = np.random.default_rng(0)
    control, treatment = rng.binomial(800, 0.1, 20_000) / 800, rng.binomial(800, 0.15, 20_000) / 800
    pooled = (control + treatment) / 2
    z = (treatment - control) / np.sqrt(2 * pooled * (1 - pooled) / 800)
    assert (z > 1.96).mean() == pytest.approx(experiment_power(800, 0.05, baseline=0.1), abs=0.015)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"effect": 0, "sd": 1}, "other than 0"),
        ({"effect": 1}, "either sd"),
        ({"effect": 1, "sd": 1, "baseline": 0.5}, "either sd"),
        ({"effect": 0.6, "baseline": 0.5}, "share 1.1"),
        ({"effect": 1, "sd": 0}, "sd=0"),
        ({"effect": 1, "sd": 1, "alpha": 0}, "alpha"),
        ({"effect": 1, "sd": 1, "power": 1}, "power"),
        ({"effect": 1, "sd": 1, "ratio": 0}, "ratio"),
        ({"effect": 1, "sd": 1, "alpha": 0.9, "power": 0.1}, "without any data"),
    ],
)
def test_size_errors(arguments, words):
    with pytest.raises(ParameterError, match=words):
        experiment_size(**arguments)


def test_power_needs_people():
    with pytest.raises(ParameterError, match="n=0"):
        experiment_power(0, 0.1, sd=1)


# -- comparison ----------------------------------------------------------------------------------------------------


def test_plain_is_the_test_of_welch():
    rng = np.random.default_rng(0)
    c, t = rng.normal(0, 1, 40), rng.normal(0.5, 3, 25)
    row, expected = ab_test(c, t).loc["plain"], stats.ttest_ind(t, c, equal_var=False)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert (row["n_control"], row["n_treatment"]) == (40, 25)


def test_cuped_by_hand():
    # within the groups the slope is (2 + 4) / (2 + 2) = 1.5; means of x are 2 and 3, so 1.5 of the difference goes
    c, x_c = [1.0, 2, 3], [1.0, 2, 3]
    t, x_t = [3.0, 5, 7], [2.0, 3, 4]
    table = ab_test(c, t, x_c, x_t)
    assert table["difference"].tolist() == pytest.approx([3.0, 1.5])
    assert table.loc["cuped", ["mean_control", "mean_treatment"]].tolist() == pytest.approx([2.75, 4.25])


def test_cuped_takes_off_what_the_covariate_explains_and_stays_unbiased():
    rng = np.random.default_rng(1)
    plain, cuped, ratio = [], [], []
    for _ in range(200):
        x = rng.standard_normal(400)
        y = 0.8 * x + 0.6 * rng.standard_normal(400)
        table = ab_test(y[:200], y[200:] + 0.3, x[:200], x[200:])
        plain.append(table.loc["plain", "difference"])
        cuped.append(table.loc["cuped", "difference"])
        ratio.append(table.loc["cuped", "standard_error"] / table.loc["plain", "standard_error"])
    assert np.mean(cuped) == pytest.approx(0.3, abs=4 * 0.06 / np.sqrt(200))
    assert np.std(cuped) < 0.7 * np.std(plain)
    assert np.mean(ratio) == pytest.approx(0.6, abs=0.02)  # sqrt(1 - 0.8^2)


def test_ratio_by_hand():
    # control: 3 clicks of 10 shown, 1 of 10; treatment: 5 of 10 and 3 of 10
    table = ab_test([3, 1], [5, 3], denominator_c=[10, 10], denominator_t=[10, 10])
    row = table.loc["plain"]
    assert (row["mean_control"], row["mean_treatment"], row["difference"]) == pytest.approx((0.2, 0.4, 0.2))
    # residuals (3 - 0.2 * 10) / 10 = 0.1: variance 0.02 / 2 in each group
    assert row["standard_error"] == pytest.approx(np.sqrt(0.02))


def test_delta_method_counts_people_not_rows():
    rng = np.random.default_rng(2)
    p_people, p_rows = [], []
    for _ in range(300):  # rates that differ by person: no effect, but rows of a person are alike
        shown = rng.integers(1, 60, 200)
        clicks = rng.binomial(shown, rng.beta(1, 4, 200))
        table = ab_test(clicks[:100], clicks[100:], denominator_c=shown[:100], denominator_t=shown[100:])
        p_people.append(table.loc["plain", "p"])
        counts = [[c.sum(), n.sum() - c.sum()] for c, n in zip(np.split(clicks, 2), np.split(shown, 2), strict=True)]
        p_rows.append(stats.chi2_contingency(counts, correction=False).pvalue)
    assert np.mean(np.array(p_people) < 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(np.array(p_rows) < 0.05) > 0.3


def test_values_without_spread():
    assert ab_test([1, 1], [1, 1]).loc["plain", "p"] == 1
    assert ab_test([1, 1], [2, 2]).loc["plain", "p"] == 0
    assert ab_test([1, 2], [2, 3], [1, 1], [1, 1]).loc["cuped", "difference"] == 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (([1], [1, 2]), {}, DataError, "at least two"),
        (([1, np.nan], [1, 2]), {}, DataError, "control holds NaN"),
        (([1, 2], [1, 2], [1, 2]), {}, ParameterError, "both covariate_c"),
        (([1, 2], [1, 2], [1, 2], [1, 2, 3]), {}, DataError, "covariate_t"),
        (([1, 2], [1, 2]), {"denominator_c": [1, 1]}, ParameterError, "both denominator_c"),
        (([1, 2], [1, 2]), {"denominator_c": [0, 0], "denominator_t": [1, 1]}, DataError, "above 0"),
        (([1, 2], [1, 2]), {"confidence": 95}, ParameterError, "confidence"),
    ],
)
def test_comparison_errors(arguments, options, error, words):
    with pytest.raises(error, match=words):
        ab_test(*arguments, **options)


def test_sample_ratio():
    # 50 away from 1000 on both sides: 2 * 50^2 / 1000 = 5
    check = sample_ratio_check([950, 1050])
    assert check.chi2 == pytest.approx(5)
    assert check.p == pytest.approx(0.02535, abs=1e-5)
    assert not check.mismatch
    assert sample_ratio_check([9500, 10_500]).mismatch
    assert sample_ratio_check([900, 100], [9, 1]).p == 1
    expected = stats.chisquare([30, 50, 20], [25, 50, 25])
    assert sample_ratio_check([30, 50, 20], [1, 2, 1])[:2] == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("counts", "shares", "error"),
    [([5], None, DataError), ([0, 0], None, DataError), ([1, -1], None, DataError), ([5, 5], [1, 0], ParameterError)],
)
def test_sample_ratio_errors(counts, shares, error):
    with pytest.raises(error):
        sample_ratio_check(counts, shares)


# -- looks ---------------------------------------------------------------------------------------------------------


def test_published_bounds_for_five_looks():
    # the example of the R package ldbounds (Casper and Perez), five equal looks, two-sided 5 %
    fifths = np.arange(1, 6) / 5
    assert spending_bounds(fifths) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    assert spending_bounds(fifths, "pocock") == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-4)


@pytest.mark.parametrize("how", ["obrien-fleming", "pocock"])
def test_one_look_is_the_ordinary_test(how):
    assert spending_bounds([1.0], how) == pytest.approx([1.959964], abs=1e-6)


def test_two_looks_against_the_normal_distribution_in_the_plane():
    first, second = spending_bounds([0.4, 1.0], "pocock", alpha=0.1)
    z = stats.multivariate_normal(cov=[[1, np.sqrt(0.4)], [np.sqrt(0.4), 1]])
    inside = z.cdf([first, second], lower_limit=[-first, -second])
    assert 1 - inside == pytest.approx(0.1, abs=1e-5)
    assert 2 * stats.norm.sf(first) == pytest.approx(0.1 * np.log(1 + (np.e - 1) * 0.4), abs=1e-9)


def test_always_valid_by_hand():
    # variance 1 and scale 1: ratio sqrt(1/2) exp(9 / 4) at z = 3, below 1 at z = 1, and p never rises again
    found = always_valid([1.0, 3.0, 0.0], 1.0, scale=1.0)
    p = np.sqrt(2) * np.exp(-9 / 4)
    assert found.p == pytest.approx([1, p, p])
    half = np.sqrt(2 * (2 * np.log(20) + np.log(2)))
    assert found.ci_high - [1, 3, 0] == pytest.approx([half] * 3)


@settings(deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=1, max_size=8), st.floats(0.1, 5), st.floats(0.01, 0.5))
def test_p_is_small_when_an_interval_left_zero_out(difference, scale, alpha):
    found = always_valid(difference, 1.0, scale, 1 - alpha)
    outside = np.maximum.accumulate((found.ci_low > 0) | (found.ci_high < 0))
    clear = np.abs(found.p - alpha) > 1e-9
    assert ((found.p < alpha) == outside)[clear].all()


def test_false_alarms_under_peeking(null_paths):
    difference, error = null_paths
    z = np.abs(difference / error)
    margin = 3 * np.sqrt(0.05 * 0.95 / len(z))
    assert (z > 1.96).any(axis=1).mean() > 0.2  # naive: five times as many as were bargained for
    for how in ("obrien-fleming", "pocock"):
        rate = (z >= spending_bounds(LOOKS / LOOKS[-1], how)).any(axis=1).mean()
        assert rate == pytest.approx(0.05, abs=margin)  # all of alpha is spent, and no more
    for scale in (0.03, 0.1, 0.5):
        found = always_valid(difference, error, scale)
        assert (found.p[:, -1] <= 0.05).mean() <= 0.05
        missed = (found.ci_low > 0) | (found.ci_high < 0)
        assert missed.any(axis=1).mean() <= 0.05


def test_effects_are_found_early():
    difference, error = paths(0.2, 1000, seed=1)
    valid = always_valid(difference, error, scale=0.2).p <= 0.05
    bounded = np.abs(difference / error) >= spending_bounds(LOOKS / LOOKS[-1])
    for stops in (valid, bounded):
        found = stops.any(axis=1)
        assert found.mean() > 0.9
        # on average over all experiments, those that never stop taken to the end
        assert np.where(found, LOOKS[stops.argmax(axis=1)], LOOKS[-1]).mean() < 0.7 * LOOKS[-1]
    # the price of looking at any time: a fixed bound for a known end finds more
    assert bounded.any(axis=1).mean() >= valid.any(axis=1).mean()


def test_intervals_hold_an_effect_at_all_looks():
    difference, error = paths(0.3, 2000, seed=2)
    found = always_valid(difference, error, scale=0.2)
    assert ((found.ci_low <= 0.3) & (found.ci_high >= 0.3)).all(axis=1).mean() >= 0.95


@pytest.mark.parametrize("how", ["always-valid", "obrien-fleming", "pocock", "naive"])
def test_sequential_table(how):
    rng = np.random.default_rng(0)
    c, t = rng.exponential(1, 1000), rng.exponential(1.4, 1200)
    table = sequential_test(c, t, [100, 300, 1000], how, scale=0.2)
    for n, row in table.iterrows():
        error = np.sqrt((c[:n].var(ddof=1) + t[:n].var(ddof=1)) / n)
        assert row["difference"] == pytest.approx(t[:n].mean() - c[:n].mean())
        assert row["standard_error"] == pytest.approx(error)
    crossed = np.abs(table["z"]) >= table["bound"]
    assert table["stop"].tolist() == np.maximum.accumulate(crossed).tolist()
    assert table["stop"].iloc[-1]


def test_bounds_of_an_unfinished_experiment():
    values = np.random.default_rng(0).standard_normal((2, 300))
    table = sequential_test(*values, [200, 300], "obrien-fleming", planned=400, alpha=0.1)
    expected = spending_bounds([0.5, 0.75, 1.0], alpha=0.1)[:2]
    assert table["bound"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_first_look_with_nothing_to_spend():
    bounds = spending_bounds([0.01, 0.5, 1.0])
    assert np.isinf(bounds[0])
    assert bounds[1:] == pytest.approx([2.963, 1.969], abs=1e-3)


@pytest.mark.parametrize(
    ("looks", "how", "options", "error", "words"),
    [
        ([10, 5], "naive", {}, ParameterError, "rising"),
        ([10, 99], "naive", {}, ParameterError, "from 2 to 20"),
        ([1, 5], "naive", {}, ParameterError, "from 2"),
        ([0.5, 1.0], "naive", {}, ParameterError, "whole numbers"),
        ([10], "always-valid", {}, ParameterError, "needs scale"),
        ([10], "always-valid", {"scale": 0}, ParameterError, "scale=0"),
        ([10, 20], "pocock", {"planned": 15}, ParameterError, "planned"),
        ([10], "bonferroni", {}, ParameterError, "choose one of"),
    ],
)
def test_look_errors(looks, how, options, error, words):
    values = np.random.default_rng(0).standard_normal((2, 20))
    with pytest.raises(error, match=words):
        sequential_test(*values, looks, how, **options)


def test_other_errors_of_looks():
    with pytest.raises(DataError, match="alike"):
        sequential_test(np.ones(5), np.ones(5), [3], "naive")
    with pytest.raises(DataError, match="above 0"):
        always_valid([1.0], [0.0], scale=1)
    for fractions in ([], [0.5, 0.5], [0.0, 1.0], [0.5, 1.2]):
        with pytest.raises(ParameterError, match="rising shares"):
            spending_bounds(fractions)
