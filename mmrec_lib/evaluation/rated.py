"""Evaluation of predicted ratings."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from ..data import Interactions
from ..errors import DataError, ParameterError
from . import bootstrap
from .report import Report


def evaluate_ratings(
    model,
    test: Interactions,
    per_user: bool = False,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    name: str | None = None,
) -> Report:
    """How far are predicted ratings from the given ones: RMSE and MAE.

    Parameters
    ----------
    model
        Any object with ``predict(users, items)`` that returns one rating per pair.
    test : Interactions
        Its ``value`` holds the ratings.
    per_user
        False: one error over all ratings, so that users with many ratings count more (the usual figure). True: the
        mean over users of each user's own error.
    confidence, n_boot, seed
        Percentile bootstrap interval; users are resampled with all their ratings, because ratings of one user are
        not independent of each other.
    name : str, optional
        Of the report.

    Returns
    -------
    Report
        ``summary`` has the rows rmse and mae. ``per_user`` always holds each user's own errors, so that
        :func:`~mmrec_lib.evaluation.compare` tests the difference of the per-user means.

    Raises
    ------
    DataError
        No ratings; predictions of the wrong shape or not finite.
    ParameterError
        A model without ``predict``.

    Examples
    --------
    >>> class Three:
    ...     def predict(self, users, items):
    ...         return np.full(len(users), 3.0)
    >>> evaluate_ratings(Three(), Interactions([0, 0, 1], [0, 1, 0], [3, 5, 2]))["mae"]
    1.0
    """
    started = time.perf_counter()
    bootstrap.check(confidence, n_boot)
    error = _errors(model, test)
    users, of = np.unique(test.user, return_inverse=True)
    count = np.bincount(of)
    # column by column: sum of squares, sum of absolute values, number; divided by each user's number
    sums = np.stack([np.bincount(of, error**2), np.bincount(of, np.abs(error)), count], axis=1)
    own = np.stack([np.sqrt(sums[:, 0] / count), sums[:, 1] / count], axis=1)
    if per_user:
        values, figures = own, lambda means: means
    else:
        values, figures = sums, _overall
    low, high = bootstrap.interval(figures(bootstrap.resampled_means(values, n_boot, seed)), confidence)
    index = pd.Index(["rmse", "mae"], name="metric")
    columns = {"mean": figures(values.mean(axis=0)[None])[0], "ci_low": low, "ci_high": high}
    info = {
        "n_users": len(users),
        "n_ratings": len(test),
        "confidence": confidence,
        "n_boot": n_boot,
        "seed": seed,
        "seconds": time.perf_counter() - started,
    }
    table = pd.DataFrame(own, index=pd.Index(users, name="user"), columns=["rmse", "mae"])
    name = name or str(getattr(model, "name", "") or type(model).__name__)
    return Report(pd.DataFrame(columns, index=index), table, name, info)


def _overall(means: np.ndarray) -> np.ndarray:
    """RMSE and MAE over all ratings from mean sums per user: the number of users cancels."""
    return np.stack([np.sqrt(means[:, 0] / means[:, 2]), means[:, 1] / means[:, 2]], axis=1)


def _errors(model, test: Interactions) -> np.ndarray:
    if not callable(getattr(model, "predict", None)):
        raise ParameterError(
            f"model is a {type(model).__name__} without predict(users, items): it ranks, but does not predict ratings; "
            "use evaluate"
        )
    if not len(test):
        raise DataError("test holds no ratings: there is nothing to evaluate")
    predicted = np.asarray(model.predict(test.user, test.item), dtype=np.float64)
    if predicted.shape != (len(test),):
        raise DataError(f"predict returned shape {predicted.shape} for {len(test)} pairs; expected one rating each")
    bad = np.flatnonzero(~np.isfinite(predicted))
    if len(bad):
        raise DataError(
            f"the model predicts {predicted[bad[0]]} for user {test.user[bad[0]]} and item {test.item[bad[0]]} "
            f"({len(bad)} such pairs): look for a division by zero or a diverged training run"
        )
    return predicted - test.value
