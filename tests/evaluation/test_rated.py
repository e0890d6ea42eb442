"""RMSE and MAE by hand, over all ratings and by user."""

import numpy as np
import pytest

from mmrec_lib.data import Interactions
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.evaluation import compare, evaluate_ratings


class Constant:
    def __init__(self, rating):
        self.rating = rating

    def predict(self, users, items):
        return np.full(len(users), self.rating, dtype=float)


# predictions of 3: errors of user 0 are -1, 0, 2; of user 4 (nobody between) 2
TEST = Interactions([0, 0, 4, 0], [0, 1, 0, 2], [4, 3, 1, 1])


def test_over_all_ratings():
    report = evaluate_ratings(Constant(3), TEST)
    assert report["rmse"] == pytest.approx(np.sqrt((1 + 0 + 4 + 4) / 4))
    assert report["mae"] == pytest.approx((1 + 0 + 2 + 2) / 4)
    assert report.per_user.index.tolist() == [0, 4]
    assert report.per_user["rmse"].tolist() == pytest.approx([np.sqrt(5 / 3), 2])
    assert report.per_user["mae"].tolist() == pytest.approx([1, 2])


def test_by_user():
    report = evaluate_ratings(Constant(3), TEST, per_user=True)
    assert report["rmse"] == pytest.approx((np.sqrt(5 / 3) + 2) / 2)
    assert report["mae"] == pytest.approx(1.5)


def test_intervals_are_those_of_resampled_users():
    rng = np.random.default_rng(0)
    ratings = Interactions(rng.integers(0, 60, 900), rng.integers(0, 40, 900), rng.integers(1, 6, 900))
    report = evaluate_ratings(Constant(3), ratings, n_boot=3000)
    error = np.abs(3 - ratings.value)
    by_user = [error[ratings.user == u] for u in np.unique(ratings.user)]
    means = []
    for _ in range(3000):
        drawn = np.concatenate([by_user[i] for i in rng.integers(0, len(by_user), len(by_user))])
        means.append((np.sqrt((drawn**2).mean()), drawn.mean()))
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    assert report.summary["ci_low"].tolist() == pytest.approx(low, abs=0.01)
    assert report.summary["ci_high"].tolist() == pytest.approx(high, abs=0.01)
    assert (report.summary["ci_low"] < report.summary["mean"]).all()


def test_perfect_predictions_and_comparison():
    class Perfect:
        def predict(self, users, items):
            return TEST.value

    perfect = evaluate_ratings(Perfect(), TEST)
    assert perfect.summary.to_numpy().tolist() == [[0, 0, 0]] * 2
    table = compare(perfect, evaluate_ratings(Constant(3), TEST), "mae")
    assert table.loc["mae", "difference"] == pytest.approx(-1.5)


def test_refuses():
    with pytest.raises(ParameterError, match="predict"):
        evaluate_ratings(object(), TEST)
    with pytest.raises(DataError, match="no ratings"):
        evaluate_ratings(Constant(3), Interactions([], []))
    with pytest.raises(DataError, match="predicts nan for user 0 and item 0"):
        evaluate_ratings(Constant(np.nan), TEST)

    class Wide:
        def predict(self, users, items):
            return np.ones((len(users), 2))

    with pytest.raises(DataError, match=r"shape \(4, 2\) for 4 pairs"):
        evaluate_ratings(Wide(), TEST)
