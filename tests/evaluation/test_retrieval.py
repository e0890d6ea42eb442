import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib import ranking
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.evaluation import retrieval_metrics


def test_by_hand():
    # query 0 finds its item first, query 1 second (item 0 is nearer), query 2 third
    items = np.eye(3)
    queries = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.7, 0.6, 0.1]])
    report = retrieval_metrics(queries, items, ks=(1, 2))
    assert report.per_user["rank"].tolist() == [1, 2, 3]
    assert report["recall@1"] == pytest.approx(1 / 3)
    assert report["recall@2"] == pytest.approx(2 / 3)
    assert report["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert report["median_rank"] == 2
    assert (report.summary["ci_low"] <= report.summary["mean"]).all()
    assert (report.summary["mean"] <= report.summary["ci_high"]).all()


def test_length_of_vectors_does_not_matter():
    rng = np.random.default_rng(0)
    queries, items = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
    a = retrieval_metrics(queries, items)
    b = retrieval_metrics(queries * 7, items * rng.uniform(1, 9, size=(8, 1)))
    assert a.per_user["rank"].tolist() == b.per_user["rank"].tolist()


def test_vectors_that_are_all_alike_look_like_chance():
    report = retrieval_metrics(np.ones((9, 2)), np.ones((9, 2)), ks=(1, 5))
    assert report.per_user["rank"].tolist() == [5] * 9  # the middle of nine
    assert report["recall@1"] == 0


def test_twins_are_equally_right_and_not_in_each_others_way():
    items = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert retrieval_metrics(items, items).per_user["rank"].tolist() == [1.5, 1.5, 1]
    assert retrieval_metrics(items, items, groups=["a", "a", "b"]).per_user["rank"].tolist() == [1, 1, 1]
    # query 0 points away from its own item, but its twin is found
    items[0] = [-1, 0]
    queries = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert retrieval_metrics(queries, items, groups=["a", "a", "b"]).per_user["rank"].tolist() == [1, 1, 1]


def test_masked_pairs_are_neither_asked_nor_found():
    items = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    items_with_gap = items.copy()
    items_with_gap[0] = np.nan
    report = retrieval_metrics(items, items_with_gap, mask=[False, True, True])
    assert report.per_user.index.tolist() == [1, 2]
    assert report.per_user["rank"].tolist() == [1, 1]


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    queries, items = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    whole = retrieval_metrics(queries, items).per_user
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 4 * 30 * 7)
    assert retrieval_metrics(queries, items).per_user.equals(whole)


def test_two_reports_can_be_compared():
    rng = np.random.default_rng(2)
    items = rng.normal(size=(40, 8))
    good = retrieval_metrics(items + 0.1 * rng.normal(size=items.shape), items, name="good")
    poor = retrieval_metrics(rng.normal(size=items.shape), items, name="poor")
    row = mm.evaluation.compare(good, poor, "recall@1").iloc[0]
    assert row["difference"] > 0.5
    assert row["p_t"] < 0.001


def test_the_interval_of_the_median_rank_is_resampled():
    rng = np.random.default_rng(3)
    report = retrieval_metrics(rng.normal(size=(60, 4)), rng.normal(size=(60, 4)))
    low, high = report.summary.loc["median_rank", ["ci_low", "ci_high"]]
    assert 1 <= low < report["median_rank"] < high <= 60


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 2**16))
def test_ranks_agree_with_sorting(n, dim, seed):
    rng = np.random.default_rng(seed)
    queries, items = rng.normal(size=(n, dim)), rng.normal(size=(n, dim))
    if dim == 1:
        return  # on a line all cosines are 1 or -1
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    order = np.argsort(-(queries @ unit.T), axis=1)
    expected = [order[i].tolist().index(i) + 1 for i in range(n)]
    assert retrieval_metrics(queries, items, n_boot=10).per_user["rank"].tolist() == expected


@pytest.mark.parametrize(
    ("queries", "items", "options", "match"),
    [
        (np.ones((3, 2)), np.ones((3, 4)), {}, "no common space"),
        (np.ones((3, 2)), np.ones((3, 2)), {"mask": [True]}, "one entry a pair"),
        (np.ones((3, 2)), np.ones((3, 2)), {"groups": [1]}, "one entry a pair"),
        (np.ones((3, 2)), np.ones((3, 2)), {"mask": [True, False, False]}, "at least 2"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), {}, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(queries, items, options, match):
    with pytest.raises(DataError, match=match):
        retrieval_metrics(queries, items, **options)


def test_a_list_of_length_zero_is_refused():
    with pytest.raises(ParameterError, match="at least 1"):
        retrieval_metrics(np.eye(2), np.eye(2), ks=(0,))
