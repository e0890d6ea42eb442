"""Experiments with people: how many are needed, what came out, and when one may look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..checks import above, between, one_of, whole
from ..errors import DataError, ParameterError

SPENDING = ("obrien-fleming", "pocock")
SEQUENTIAL = ("always-valid", *SPENDING, "naive")
_TINY = 1e-9


class AlwaysValid(NamedTuple):
    """What :func:`always_valid` returns: arrays with one entry a look."""

    p: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray


class SampleRatio(NamedTuple):
    """What :func:`sample_ratio_check` returns."""

    chi2: float
    p: float
    mismatch: bool


# -- before --------------------------------------------------------------------------------------------------------
def experiment_size(
    effect: float,
    *,
    sd: float | None = None,
    baseline: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1.0,
) -> tuple[int, int]:
    """People needed in control and treatment to find a difference of means or of proportions.

    Parameters
    ----------
    effect
        Smallest difference (treatment minus control) that is worth finding, not 0.
    sd, baseline
        One of the two: the standard deviation of a person's value, for means; or the share in control, for proportions
        (then the test pools the shares under the null hypothesis, Fleiss 1981).
    alpha
        False alarms of the two-sided test.
    power
        Probability of a significant difference in the right direction when ``effect`` is true.
    ratio
        People in treatment for each in control.

    Examples
    --------
    >>> experiment_size(0.5, sd=1.0)
    (63, 63)
    """
    null, other = _variances(effect, sd, baseline, ratio)
    between("alpha", alpha, _TINY, 1 - _TINY)
    between("power", power, _TINY, 1 - _TINY)
    root = _z(1 - alpha / 2) * math.sqrt(null) + _z(power) * math.sqrt(other)
    if root <= 0:
        raise ParameterError(f"power={power!r} with alpha={alpha!r} is reached without any data: ask for more power")
    control = (root / effect) ** 2
    return math.ceil(control), math.ceil(control * ratio)


def experiment_power(
    n: int,
    effect: float,
    *,
    sd: float | None = None,
    baseline: float | None = None,
    alpha: float = 0.05,
    ratio: float = 1.0,
) -> float:
    """Probability that an experiment with ``n`` people in control finds ``effect``; see :func:`experiment_size`.

    Examples
    --------
    >>> round(experiment_power(63, 0.5, sd=1.0), 3)
    0.801
    """
    from scipy.special import ndtr

    whole("n", n)
    null, other = _variances(effect, sd, baseline, ratio)
    between("alpha", alpha, _TINY, 1 - _TINY)
    return float(ndtr((abs(effect) * math.sqrt(n) - _z(1 - alpha / 2) * math.sqrt(null)) / math.sqrt(other)))


def _variances(effect: float, sd: float | None, baseline: float | None, ratio: float) -> tuple[float, float]:
    """Variance of the difference times n of control: under the null hypothesis, and when the effect is true."""
    above("ratio", ratio, 0)
    if not (math.isfinite(effect) and effect):
        raise ParameterError(f"effect={effect!r}: give a difference other than 0")
    if (sd is None) == (baseline is None):
        raise ParameterError("give either sd (for means) or baseline (for proportions)")
    if sd is not None:
        variance = above("sd", sd, 0) ** 2 * (1 + 1 / ratio)
        return variance, variance
    treated = between("baseline", baseline, 0, 1) + effect
    if not 0 <= treated <= 1:
        raise ParameterError(f"baseline={baseline!r} and effect={effect!r} give the share {treated:g}, not in 0 to 1")
    pooled = (baseline + ratio * treated) / (1 + ratio)
    other = baseline * (1 - baseline) + treated * (1 - treated) / ratio
    return pooled * (1 - pooled) * (1 + 1 / ratio), max(other, _TINY)


# -- after ---------------------------------------------------------------------------------------------------------
def ab_test(
    control: np.ndarray,
    treatment: np.ndarray,
    covariate_c: np.ndarray | None = None,
    covariate_t: np.ndarray | None = None,
    *,
    denominator_c: np.ndarray | None = None,
    denominator_t: np.ndarray | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Difference of two groups of people, treatment minus control, with interval and two-sided p value.

    Parameters
    ----------
    control, treatment : array (n_control,), (n_treatment,)
        One value a person, at least two in each group.
    covariate_c, covariate_t : arrays of the same lengths, optional
        Something known of each person from before the experiment (the same measure last month): adds the row
        ``"cuped"`` (Deng et al., 2013), where what it explains is taken off, which cannot bias the difference.
    denominator_c, denominator_t : arrays of the same lengths, optional
        The metric is a ratio of sums (clicks over items shown): the variance is by the delta method over people
        (Deng, Knoblich and Lu, 2018), because the rows of one person are not independent.

    Returns
    -------
    DataFrame
        Indexed by method, ``"plain"`` (Welch's t-test) and ``"cuped"``: mean_control, mean_treatment, difference,
        ci_low, ci_high, standard_error, p, n_control, n_treatment.

    Examples
    --------
    >>> float(ab_test([1, 2, 3], [2, 3, 4]).loc["plain", "difference"])
    1.0
    """
    between("confidence", confidence, _TINY, 1 - _TINY)
    c, t = _values("control", control), _values("treatment", treatment)
    if _both("denominator", denominator_c, denominator_t):
        c = _linearised(c, _values("denominator_c", denominator_c, len(c)), "denominator_c")
        t = _linearised(t, _values("denominator_t", denominator_t, len(t)), "denominator_t")
    rows = {"plain": _welch(c, t, confidence)}
    if _both("covariate", covariate_c, covariate_t):
        x_c, x_t = _values("covariate_c", covariate_c, len(c)), _values("covariate_t", covariate_t, len(t))
        rows["cuped"] = _welch(*_adjusted(c, t, x_c, x_t), confidence)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def sample_ratio_check(
    counts: Sequence[int], shares: Sequence[float] | None = None, alpha: float = 0.001
) -> SampleRatio:
    """Did each group get the people it was meant to get? Chi-square test (Fabijan et al., 2019).

    A mismatch says that people went missing or were counted twice, and that no result of the experiment can be trusted.

    Parameters
    ----------
    counts
        People in each group, two groups or more.
    shares
        Planned shares, scaled to sum 1. Default: all alike.
    alpha
        ``mismatch`` is p below this; small, because the check is made often and a real mismatch is glaring.

    Returns
    -------
    SampleRatio
        chi2, p, mismatch.

    Examples
    --------
    >>> sample_ratio_check([5000, 5000]).p
    1.0
    """
    from scipy.special import chdtrc

    between("alpha", alpha, _TINY, 1 - _TINY)
    counts = np.asarray(counts, dtype=float)
    if counts.ndim != 1 or len(counts) < 2 or not np.isfinite(counts).all() or (counts < 0).any() or not counts.sum():
        raise DataError(f"counts={counts.tolist()}: give the people in each of at least two groups, not all 0")
    shares = np.ones(len(counts)) if shares is None else np.asarray(shares, dtype=float)
    if shares.shape != counts.shape or not np.isfinite(shares).all() or (shares <= 0).any():
        raise ParameterError(f"shares={shares.tolist()}: give {len(counts)} numbers above 0, one a group")
    expected = counts.sum() * shares / shares.sum()
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    p = float(chdtrc(len(counts) - 1, chi2))
    return SampleRatio(chi2, p, p < alpha)


def _linearised(y: np.ndarray, x: np.ndarray, name: str) -> np.ndarray:
    """Values with mean sum(y) / sum(x) whose variance over n is that of the ratio, to first order."""
    if (x < 0).any() or not x.any():
        raise DataError(f"{name} must be at least 0 for everybody, and above 0 for somebody")
    ratio = y.sum() / x.sum()
    return ratio + (y - ratio * x) / x.mean()


def _adjusted(c: np.ndarray, t: np.ndarray, x_c: np.ndarray, x_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre = np.r_[x_c, x_t].mean()
    # the slope within the groups, so that the difference itself does not enter it
    inner = [(x - x.mean(), y - y.mean()) for x, y in ((x_c, c), (x_t, t))]
    spread = sum((x**2).sum() for x, _ in inner)
    theta = sum((x * y).sum() for x, y in inner) / spread if spread else 0.0
    return c - theta * (x_c - centre), t - theta * (x_t - centre)


def _welch(c: np.ndarray, t: np.ndarray, confidence: float) -> dict[str, float]:
    from scipy.special import stdtr, stdtrit

    v_c, v_t = c.var(ddof=1) / len(c), t.var(ddof=1) / len(t)
    difference, error = t.mean() - c.mean(), math.sqrt(v_c + v_t)
    if error:
        df = (v_c + v_t) ** 2 / (v_c**2 / (len(c) - 1) + v_t**2 / (len(t) - 1))
        half, p = stdtrit(df, (1 + confidence) / 2) * error, 2 * stdtr(df, -abs(difference) / error)
    else:
        half, p = 0.0, float(difference == 0)
    means = {"mean_control": c.mean(), "mean_treatment": t.mean(), "difference": difference}
    spread = {"ci_low": difference - half, "ci_high": difference + half, "standard_error": error, "p": p}
    return means | spread | {"n_control": len(c), "n_treatment": len(t)}


# -- meanwhile -----------------------------------------------------------------------------------------------------
def always_valid(difference, standard_error, scale: float, confidence: float = 0.95) -> AlwaysValid:
    """P values and intervals that hold at every look, however many there are: the mixture sequential probability ratio.

    The likelihood of the data, averaged over effects from a normal distribution with standard deviation ``scale``, is
    divided by that without an effect (Robbins, 1970; Johari et al., 2017). Without an effect this ratio passes
    ``1 / alpha`` with a probability of at most alpha, ever.

    Parameters
    ----------
    difference, standard_error : arrays (..., n_looks)
        Of all data until each look, looks along the last axis; normal to a good approximation, so not of a few people.
    scale
        Size of effects that are thought likely, above 0; fixed before the data are seen. It moves power, not validity.

    Returns
    -------
    AlwaysValid
        p (smallest so far: it never rises again), ci_low, ci_high, of the shape of ``difference``.
    """
    above("scale", scale, 0)
    between("confidence", confidence, _TINY, 1 - _TINY)
    difference, error = np.broadcast_arrays(np.asarray(difference, float), np.asarray(standard_error, float))
    if not difference.ndim or not np.isfinite(difference).all() or not (np.isfinite(error) & (error > 0)).all():
        raise DataError("difference and standard_error must be arrays of finite numbers, the errors above 0")
    variance, prior = error**2, scale**2
    total = variance + prior
    log_ratio = 0.5 * np.log(variance / total) + difference**2 * prior / (2 * variance * total)
    p = np.exp(-np.maximum.accumulate(np.maximum(log_ratio, 0.0), axis=-1))
    half = np.sqrt(variance * total / prior * (2 * math.log(1 / (1 - confidence)) + np.log(total / variance)))
    return AlwaysValid(p, difference - half, difference + half)


def spending_bounds(fractions: Sequence[float], how: str = "obrien-fleming", alpha: float = 0.05) -> np.ndarray:
    """Two-sided bounds of the z statistic for planned looks, which together spend ``alpha`` (Lan and DeMets, 1983).

    ``"obrien-fleming"`` spends next to nothing at first and leaves the last look almost as it was; ``"pocock"`` spends
    evenly, with bounds that are almost the same for all looks. The bounds are found by integrating over the paths that
    have not crossed yet (Armitage, McPherson and Rowe, 1969).

    Parameters
    ----------
    fractions
        Share of the planned data at each look, rising, above 0 and at most 1.
    how, alpha

    Returns
    -------
    float array (n_looks,)
        Stop at look k when ``abs(z) >= bounds[k]``; infinity where there is next to nothing to spend yet.

    Examples
    --------
    >>> spending_bounds([0.5, 1.0]).round(3).tolist()
    [2.963, 1.969]
    """
    one_of("how", how, SPENDING)
    between("alpha", alpha, _TINY, 1 - _TINY)
    t = np.asarray(fractions, dtype=float)
    if t.ndim != 1 or not len(t) or not (np.diff(t, prepend=0.0) > 0).all() or t[-1] > 1 + _TINY:
        raise ParameterError(f"fractions={fractions!r}: give rising shares of the planned data, above 0 and at most 1")
    spend = np.diff(_spent(t, how, alpha / 2), prepend=0.0)  # in each direction
    points, density, before = np.zeros(1), np.ones(1), 0.0
    bounds = np.full(len(t), np.inf)
    for k, now in enumerate(t):
        step = math.sqrt(now - before)
        bounds[k] = _bound(points, density, step, spend[k], math.sqrt(now))
        points, density = _survivors(points, density, step, min(bounds[k], 8.0) * math.sqrt(now))
        before = now
    return bounds


def sequential_test(
    control: np.ndarray,
    treatment: np.ndarray,
    looks: Sequence[int],
    how: str = "always-valid",
    *,
    scale: float | None = None,
    planned: int | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Look at a running experiment several times without more than ``alpha`` false alarms.

    Parameters
    ----------
    control, treatment : arrays
        Values in the order in which people came, one a person.
    looks
        People in each group at each look, rising, at least 2 (better 100: the tests are approximate for few).
    how
        ``"always-valid"`` (:func:`always_valid`, needs ``scale``), ``"obrien-fleming"`` or ``"pocock"``
        (:func:`spending_bounds`), or ``"naive"``: the same bound at each look, which is wrong and there to be shown.
    planned
        People in each group at the planned end, for the bounds. Default: those of the last look.

    Returns
    -------
    DataFrame
        Indexed by look (n): difference, standard_error, z, bound (of the absolute z), stop (crossed by now).
    """
    one_of("how", how, SEQUENTIAL)
    between("alpha", alpha, _TINY, 1 - _TINY)
    c, t = _values("control", control), _values("treatment", treatment)
    looks = _looks(looks, min(len(c), len(t)))
    (mean_c, var_c), (mean_t, var_t) = _running(c, looks), _running(t, looks)
    difference, error = mean_t - mean_c, np.sqrt((var_c + var_t) / looks)
    if not error.all():
        raise DataError(f"at {looks[error == 0][0]} people all values are alike: take the first look later")
    if how == "always-valid":
        if scale is None:
            raise ParameterError("always-valid needs scale, the size of effects that are thought likely beforehand")
        half = (valid := always_valid(difference, error, scale, 1 - alpha)).ci_high - difference
        bound, stop = half / error, valid.p <= alpha
    else:
        end = looks[-1] if planned is None else whole("planned", planned, int(looks[-1]))
        bound = np.full(len(looks), _z(1 - alpha / 2)) if how == "naive" else spending_bounds(looks / end, how, alpha)
        stop = np.maximum.accumulate(np.abs(difference / error) >= bound)
    columns = {"difference": difference, "standard_error": error, "z": difference / error, "bound": bound, "stop": stop}
    return pd.DataFrame(columns, index=pd.Index(looks, name="n"))


def _spent(t: np.ndarray, how: str, alpha: float) -> np.ndarray:
    """False alarms that may have happened by each share of the data, in one direction."""
    from scipy.special import ndtr

    if how == "pocock":
        return alpha * np.log1p((math.e - 1) * t)
    return 2 * ndtr(-_z(1 - alpha / 2) / np.sqrt(t))


def _bound(points: np.ndarray, density: np.ndarray, step: float, spend: float, root: float) -> float:
    """The z above which a path that has not crossed yet comes out with probability ``spend``."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def excess(z: float) -> float:
        return float(density @ ndtr((points - z * root) / step)) - spend

    if spend < 1e-14 or excess(8.0) > 0:
        return math.inf
    return brentq(excess, -8.0, 8.0, xtol=1e-10)


def _survivors(points: np.ndarray, density: np.ndarray, step: float, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the paths within ``limit`` are after one more step: points and their probabilities."""
    # eight points for each standard deviation of a step: errors far below the fourth digit of a bound
    x, w = np.polynomial.legendre.leggauss(64 + math.ceil(16 * limit / step))
    y = limit * x
    kernel = np.exp(-0.5 * ((y[:, None] - points[None, :]) / step) ** 2) / (step * math.sqrt(2 * math.pi))
    return y, limit * w * (kernel @ density)


def _running(values: np.ndarray, looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the first n values, for each n in ``looks``."""
    centre = values.mean()  # against cancellation
    first, second = np.cumsum(values - centre)[looks - 1], np.cumsum((values - centre) ** 2)[looks - 1]
    variance = np.maximum(second - first**2 / looks, 0.0) / (looks - 1)
    return centre + first / looks, variance


def _looks(looks: Sequence[int], n: int) -> np.ndarray:
    looks = np.asarray(looks)
    whole_numbers = looks.ndim == 1 and looks.size and np.issubdtype(looks.dtype, np.integer)
    if not whole_numbers or looks[0] < 2 or (np.diff(looks) <= 0).any() or looks[-1] > n:
        raise ParameterError(f"looks={looks.tolist()}: give rising whole numbers from 2 to {n}, the people in a group")
    return looks


def _values(name: str, values, n: int | None = None) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or (n is not None and len(values) != n):
        wanted = "at least two values" if n is None else f"{n} values, one a person"
        raise DataError(f"{name} has shape {values.shape}: give {wanted}")
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinity: leave these people out, or say what their value is")
    return values


def _both(name: str, c, t) -> bool:
    if (c is None) != (t is None):
        raise ParameterError(f"give both {name}_c and {name}_t, or neither")
    return c is not None


def _z(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))
