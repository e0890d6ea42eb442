"""The leaderboard trains, measures and compares under one protocol."""

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError, UnknownNameError
from mmrec_lib.evaluation import compare, evaluate, holm, leaderboard


class Oracle:
    """Knows each user's group; has nothing to learn."""

    def score(self, users):
        return (np.arange(30)[None] // 10 == users[:, None] % 3).astype(np.float32)


@pytest.fixture
def split(blocks):
    return mm.data.split(blocks, seed=0)


def models():
    return {"random": mm.models.create("random"), "popular": mm.models.create("popularity"), "oracle": Oracle()}


def test_one_table_best_first_with_reports_and_models(split):
    board = leaderboard(models(), split, ks=(3, 5))
    assert isinstance(board, pd.DataFrame)
    assert board.index[0] == "oracle"
    assert (board["ndcg@5"].diff().dropna() <= 0).all()
    again = evaluate(board.models["popular"], split.test, split.train, ks=(3, 5))
    assert board.loc["popular", "recall@5"] == again["recall@5"]
    pd.testing.assert_frame_equal(board.reports["popular"].summary, again.summary)
    assert board.loc["popular", "fit_seconds"] >= 0
    assert np.isnan(board.loc["oracle", "fit_seconds"])
    assert (board["score_seconds"] > 0).all()


def test_p_values_are_against_the_best_or_the_baseline_and_corrected(split):
    board = leaderboard(models(), split, ks=5)
    raw = [compare(board.reports[m], board.reports["oracle"]).loc["ndcg@5", "p_t"] for m in ("random", "popular")]
    assert np.isnan(board.loc["oracle", "p_holm"])
    assert board.loc[["random", "popular"], "p_holm"].tolist() == pytest.approx(holm(raw))
    board = leaderboard(models(), split, ks=5, baseline="popular", sort_by="recall@5", test="wilcoxon")
    raw = [
        compare(board.reports[m], board.reports["popular"]).loc["recall@5", "p_wilcoxon"] for m in ("random", "oracle")
    ]
    assert board.loc[["random", "oracle"], "p_holm"].tolist() == pytest.approx(holm(raw))
    assert np.isnan(board.loc["popular", "p_holm"])


def test_intervals_as_text_and_one_model(split):
    board = leaderboard({"oracle": Oracle()}, split, ks=5, metrics=("recall", "coverage"), intervals=True)
    mean, low, high = board.reports["oracle"].summary.loc["recall@5", ["mean", "ci_low", "ci_high"]]
    assert board.loc["oracle", "recall@5"] == f"{mean:.3f} [{low:.3f}, {high:.3f}]"
    assert board.loc["oracle", "coverage@5"] == f"{board.reports['oracle']['coverage@5']:.3f}"
    assert board["p_holm"].isna().all()


def test_the_validation_part_and_what_fit_is_given(split):
    class Watching(Oracle):
        def fit(self, train, features=None, valid=None):
            self.given = train, features, valid
            return self

    features = mm.data.Features({"image": np.eye(30)})
    board = leaderboard({"w": Watching()}, split, features, ks=5, metrics=("recall", "ild"), part="valid")
    assert board.models["w"].given == (split.train, features, split.valid)
    assert board.loc["w", "recall@5"] == evaluate(Oracle(), split.valid, split.train, ks=5)["recall@5"]
    assert board.loc["w", "ild@5"] == pytest.approx(1)  # the vectors are at right angles


def test_refuses(split):
    with pytest.raises(ParameterError, match=r"mm\.models\.create"):
        leaderboard(["ease"], split)
    with pytest.raises(ParameterError, match="part='train'"):
        leaderboard(models(), split, part="train")
    with pytest.raises(UnknownNameError, match="eaze"):
        leaderboard(models(), split, baseline="eaze")
    empty = mm.data.Split(split.train, split.valid, split.test.select([]))
    with pytest.raises(DataError, match="test part of the split is empty"):
        leaderboard(models(), empty)


def test_refuses_before_anything_is_trained(split):
    class Never(Oracle):
        def fit(self, train, features=None, valid=None):
            raise AssertionError("trained for nothing")

    for change, error in (
        ({"sort_by": "ndcg@7"}, UnknownNameError),
        ({"metrics": "recal"}, UnknownNameError),
        ({"ks": 31}, ParameterError),
        ({"metrics": "ild"}, ParameterError),
    ):
        with pytest.raises(error):
            leaderboard({"never": Never()}, split, **({"ks": 5} | change))
