"""Is the difference real: paired tests over the same users, and correction for many of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import DataError, ParameterError, UnknownNameError
from . import bootstrap
from .report import Report

TESTS = ("t", "wilcoxon", "bootstrap")


def compare(
    report_a: Report,
    report_b: Report,
    metric: str | Sequence[str] | None = None,
    test: str | Sequence[str] = TESTS,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    allow_different_users: bool = False,
) -> pd.DataFrame:
    """Paired comparison of two reports, user by user: is ``a`` better than ``b``, and by how much?

    Parameters
    ----------
    report_a, report_b : Report
        Of the same test data.
    metric
        One metric or several. Default: all that both have for each user.
    test
        Which tests, all two-sided: ``"t"`` (paired t-test: is the mean difference zero?), ``"wilcoxon"`` (signed ranks,
        users without a difference left out: is the difference symmetric around zero?), ``"bootstrap"`` (how often
        do resampled users differ from the observed mean by as much as that differs from zero?).
    confidence, n_boot, seed
        Percentile bootstrap interval of the mean difference.
    allow_different_users
        Compare on the users that both have, instead of raising an error when they differ.

    Returns
    -------
    DataFrame
        Indexed by metric: mean_a, mean_b, difference (a minus b), ci_low, ci_high, one p value per test
        (``p_t``, ``p_wilcoxon``, ``p_bootstrap``), n_users. The p values of several metrics are not corrected:
        metrics of the same lists are not separate questions.

    Raises
    ------
    DataError
        The users differ, or none is common.
    UnknownNameError, ParameterError
        A metric that a report lacks, an unknown test.
    """
    bootstrap.check(confidence, n_boot)
    tests = _tests(test)
    a, b = _paired(report_a, report_b, _metrics(report_a, report_b, metric), allow_different_users)
    # a user without a value in one of the two (no pair of vectors, say) is left out, metric by metric
    difference = a - b
    resampled = bootstrap.resampled_means(difference.to_numpy(), n_boot, seed)
    low, high = bootstrap.interval(resampled, confidence)
    rows = []
    for i, name in enumerate(difference.columns):
        known = difference[name].notna()
        d = difference.loc[known, name].to_numpy()
        p = {f"p_{t}": _P_VALUE[t](d, resampled[:, i]) for t in tests}
        means = {"mean_a": a.loc[known, name].mean(), "mean_b": b.loc[known, name].mean()}
        rows.append(means | {"difference": d.mean(), "ci_low": low[i], "ci_high": high[i]} | p | {"n_users": len(d)})
    return pd.DataFrame(rows, index=pd.Index(difference.columns, name="metric"))


def compare_all(
    reports: Mapping[str, Report],
    metric: str,
    baseline: str | None = None,
    test: str = "t",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    allow_different_users: bool = False,
) -> pd.DataFrame:
    """Compare many models on one metric: each pair, or each with ``baseline``, and correct for their number.

    The more pairs are tested, the surer one of them seems to differ by chance alone. ``p_holm`` is the p value after
    Holm's correction (1979): calling everything below 0.05 a difference is wrong in at most 5 % of such tables.

    Returns a DataFrame indexed by ``(a, b)``: mean_a, mean_b, difference, ci_low, ci_high, p, p_holm, n_users.
    The intervals are not corrected. Other parameters and errors: see :func:`compare`.
    """
    if len(reports) < 2:
        raise ParameterError(f"compare_all needs at least two reports; got {len(reports)}")
    if baseline is not None and baseline not in reports:
        raise UnknownNameError("report", baseline, reports)
    if not isinstance(test, str):
        raise ParameterError(f"test={test!r}: name one test, so that there is one family of p values to correct")
    if baseline is None:
        pairs = list(itertools.combinations(reports, 2))
    else:
        pairs = [(other, baseline) for other in reports if other != baseline]
    tables = [
        compare(reports[a], reports[b], metric, test, confidence, n_boot, seed, allow_different_users) for a, b in pairs
    ]
    table = pd.concat(tables).rename(columns={f"p_{test}": "p"})
    table.index = pd.MultiIndex.from_tuples(pairs, names=["a", "b"])
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"]))
    return table


def holm(p_values) -> np.ndarray:
    """Holm's step-down correction (1979): p values of a family, each adjusted for the size of the family.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none may fall below the one before, or above 1.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ParameterError("p values must be a list of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def _p_t(difference: np.ndarray, resampled: np.ndarray) -> float:
    from scipy import stats

    if len(difference) < 2:
        return np.nan
    if np.ptp(difference) == 0:  # without spread the statistic is 0/0 or infinite
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def _p_wilcoxon(difference: np.ndarray, resampled: np.ndarray) -> float:
    from scipy import stats

    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


def _p_bootstrap(difference: np.ndarray, resampled: np.ndarray) -> float:
    observed = difference.mean()
    # the resamples scatter around the observed mean as, under the null hypothesis, the mean would around zero
    # (Efron and Tibshirani, 1993, chapter 16); the tolerance keeps rounding from deciding about equality
    as_far = np.abs(resampled - observed) >= abs(observed) * (1 - 1e-12)
    return float((1 + as_far.sum()) / (1 + len(resampled)))


_P_VALUE = {"t": _p_t, "wilcoxon": _p_wilcoxon, "bootstrap": _p_bootstrap}


def _tests(test: str | Sequence[str]) -> list[str]:
    tests = [test] if isinstance(test, str) else list(test)
    for t in tests:
        if t not in TESTS:
            raise UnknownNameError("test", t, TESTS)
    return tests


def _metrics(a: Report, b: Report, metric: str | Sequence[str] | None) -> list[str]:
    if metric is None:
        common = [name for name in a.per_user if name in b.per_user]
        if not common:
            raise DataError("the reports have no metric in common: evaluate both with the same metrics and ks")
        return common
    names = [metric] if isinstance(metric, str) else list(metric)
    for name, report in itertools.product(names, (a, b)):
        if name not in report.per_user:
            raise UnknownNameError(f"per-user metric of report {report.name!r}:", name, report.per_user.columns)
    return names


def _paired(a: Report, b: Report, metrics: list[str], allow_different: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    common = a.per_user.index.intersection(b.per_user.index)
    only_a, only_b = len(a.per_user) - len(common), len(b.per_user) - len(common)
    if (only_a or only_b) and not allow_different:
        raise DataError(
            f"the reports are of different users: {only_a} only in {a.name!r}, {only_b} only in {b.name!r}; "
            "evaluate both on the same test data, or compare the common users with allow_different_users=True"
        )
    if not len(common):
        raise DataError(f"the reports {a.name!r} and {b.name!r} have no user in common")
    return a.per_user.loc[common, metrics], b.per_user.loc[common, metrics]
