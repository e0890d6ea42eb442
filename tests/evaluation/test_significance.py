"""Intervals and tests: known answers, agreement with SciPy, and how often they are right on simulated data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmrec_lib.errors import DataError, ParameterError, UnknownNameError
from mmrec_lib.evaluation import Report, bootstrap, compare, compare_all, holm


def report(values, name="model", metric="recall@20", users=None):
    values = np.asarray(values, dtype=float)
    index = pd.Index(np.arange(len(values)) if users is None else users, name="user")
    table = pd.DataFrame({metric: values}, index=index)
    return Report(pd.DataFrame({"mean": table.mean()}), table, name)


# -- bootstrap -----------------------------------------------------------------------------------------------------


def test_intervals_cover_the_truth_as_often_as_they_promise():
    rng = np.random.default_rng(0)
    values = rng.binomial(1, 0.3, (300, 200)).astype(float)  # 200 experiments with 300 users each
    low, high = zip(
        *(bootstrap.interval(bootstrap.resampled_means(v[:, None], 400, 0), 0.95) for v in values.T), strict=True
    )
    covered = np.mean((np.ravel(low) <= 0.3) & (np.ravel(high) >= 0.3))
    assert 0.90 <= covered <= 0.985  # 95 %, give or take three standard errors of 1.5 %


def test_resampled_means_have_the_right_centre_and_spread():
    rng = np.random.default_rng(1)
    values = np.c_[rng.standard_normal(400), rng.integers(0, 2, 400)]
    means = bootstrap.resampled_means(values, 4000, seed=0)
    standard_error = values.std(axis=0) / np.sqrt(400)
    assert np.allclose(means.mean(axis=0), values.mean(axis=0), atol=4 * standard_error / np.sqrt(4000))
    assert means.std(axis=0) == pytest.approx(standard_error, rel=0.05)
    # columns are resampled together: the correlation of the means is that of the columns
    assert np.corrcoef(means.T)[0, 1] == pytest.approx(np.corrcoef(values.T)[0, 1], abs=0.05)


def test_users_without_a_value_are_left_out_of_the_mean():
    values = np.array([[1.0, 5], [np.nan, 5], [3, 5]])
    means = bootstrap.resampled_means(values, 50, seed=0)
    assert np.nanmin(means[:, 0]) >= 1
    assert np.nanmax(means[:, 0]) <= 3
    assert (means[:, 1] == 5).all()


def test_chunks_of_resamples_do_not_change_the_result(monkeypatch):
    values = np.random.default_rng(2).standard_normal((30, 2))
    whole = bootstrap.resampled_means(values, 20, seed=0)
    monkeypatch.setattr(bootstrap, "_SCRATCH_BYTES", 16 * 30 * 3)
    assert np.allclose(bootstrap.resampled_means(values, 20, seed=0), whole)


# -- Holm ----------------------------------------------------------------------------------------------------------


def test_holm_known_answer():
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04 -> the last may not fall below .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == pytest.approx([1, 1])
    assert holm([0.2]) == pytest.approx([0.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_keeps_the_order_and_stays_between_the_raw_p_and_bonferroni(p):
    p = np.array(p)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(p * len(p), 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("p", [[1.2], [-0.1], [np.nan], 0.5])
def test_holm_refuses_what_is_no_p_value(p):
    with pytest.raises(ParameterError, match="between 0 and 1"):
        holm(p)


# -- compare -------------------------------------------------------------------------------------------------------


def test_compare_agrees_with_scipy():
    rng = np.random.default_rng(3)
    a, b = rng.random(80), rng.random(80) * 0.9
    row = compare(report(a), report(b), n_boot=4000).loc["recall@20"]
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert row["p_t"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(a, b).pvalue)
    ci = stats.bootstrap((a - b,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0))
    assert row["ci_low"] == pytest.approx(ci.confidence_interval.low, abs=0.01)
    assert row["ci_high"] == pytest.approx(ci.confidence_interval.high, abs=0.01)
    assert row["p_bootstrap"] == pytest.approx(row["p_t"], abs=0.03)
    assert row["n_users"] == 80


def test_users_are_paired_by_code_and_not_by_row():
    a = report([0.1, 0.5, 0.9], users=[1, 2, 3])
    b = report([0.9, 0.1, 0.5], users=[3, 1, 2])
    row = compare(a, b).loc["recall@20"]
    assert row["difference"] == 0
    assert row[["p_t", "p_wilcoxon", "p_bootstrap"]].tolist() == [1, 1, 1]


def test_a_difference_without_spread_is_certain():
    row = compare(report([1.0] * 20), report([0.5] * 20), n_boot=199).loc["recall@20"]
    assert (row["ci_low"], row["ci_high"]) == (0.5, 0.5)
    assert row["p_t"] == 0
    assert row["p_bootstrap"] == pytest.approx(1 / 200)  # the smallest that 199 resamples can give


@pytest.mark.parametrize("test", ["t", "wilcoxon", "bootstrap"])
def test_false_alarms_are_as_rare_as_promised(test):
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(200):
        a, b = rng.random((2, 60))
        alarms += compare(report(a), report(b), test=test, n_boot=200).iloc[0][f"p_{test}"] < 0.05
    assert alarms <= 22  # 5 % of 200, and three and a half standard errors


def test_different_users_are_refused_unless_allowed():
    a, b = report([0.1, 0.2, 0.3], "a", users=[0, 1, 2]), report([0.1, 0.4, 0.2], "b", users=[1, 2, 5])
    with pytest.raises(DataError, match="1 only in 'a', 1 only in 'b'"):
        compare(a, b)
    row = compare(a, b, allow_different_users=True).loc["recall@20"]
    assert row["n_users"] == 2
    assert row["mean_a"] == pytest.approx(0.25)
    with pytest.raises(DataError, match="no user in common"):
        compare(a, report([1.0], users=[9]), allow_different_users=True)


def test_users_without_a_value_in_one_report_are_left_out():
    row = compare(report([0.5, np.nan, 0.7, 0.2]), report([0.4, 0.1, np.nan, 0.4])).loc["recall@20"]
    assert row["n_users"] == 2
    assert row["difference"] == pytest.approx(((0.5 - 0.4) + (0.2 - 0.4)) / 2)


def test_unknown_names():
    a = report([0.1, 0.2])
    with pytest.raises(UnknownNameError, match="recall@21"):
        compare(a, a, "recall@21")
    with pytest.raises(UnknownNameError, match="sign"):
        compare(a, a, test="sign")
    with pytest.raises(DataError, match="no metric in common"):
        compare(a, report([0.1, 0.2], metric="mrr@5"))


# -- compare_all ---------------------------------------------------------------------------------------------------


def test_compare_all_corrects_for_the_number_of_pairs():
    rng = np.random.default_rng(5)
    reports = {name: report(rng.random(50) + shift, name) for name, shift in (("a", 0), ("b", 0.1), ("c", 0.3))}
    table = compare_all(reports, "recall@20")
    assert table.index.tolist() == [("a", "b"), ("a", "c"), ("b", "c")]
    assert table["p_holm"].to_numpy() == pytest.approx(holm(table["p"]))
    expected = stats.ttest_rel(reports["a"].per_user["recall@20"], reports["c"].per_user["recall@20"]).pvalue
    assert table.loc[("a", "c"), "p"] == pytest.approx(expected)
    against = compare_all(reports, "recall@20", baseline="b", test="wilcoxon")
    assert against.index.tolist() == [("a", "b"), ("c", "b")]
    assert against.loc[("c", "b"), "difference"] > 0


def test_compare_all_refuses():
    a = report([0.1, 0.2])
    with pytest.raises(ParameterError, match="at least two"):
        compare_all({"a": a}, "recall@20")
    with pytest.raises(UnknownNameError, match="'c'"):
        compare_all({"a": a, "b": a}, "recall@20", baseline="c")
    with pytest.raises(ParameterError, match="one test"):
        compare_all({"a": a, "b": a}, "recall@20", test=["t", "wilcoxon"])
