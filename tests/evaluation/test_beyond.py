"""Beyond accuracy: serendipity, entropy of exposure, diversity and calibration by groups, each worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrec_testing import Table, events
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.data import Interactions
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.evaluation import evaluate
from mmrec_lib.evaluation.groups import as_shares, divergence, group_matrix, history_shares, list_shares

# Six items; how many users met them: 0 three, 1 two, 2 one, the others none. Popularity order: 0 1 2 3 4 5.
TRAIN = events([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 2)], 4, 6)
# User 0 met 0 and 1: is shown 2 3 by popularity. User 2 met 0 and 2: 1 3. User 3 met nothing: 0 1.
TEST = events([(0, 5), (0, 2), (2, 1), (2, 4), (3, 0), (3, 5)], 4, 6)


def test_serendipity_counts_hits_that_popularity_would_not_show():
    scores = np.zeros((4, 6))
    scores[0, [5, 2]] = 2, 1  # both relevant; 2 is popular, 5 is not
    scores[2, [4, 1]] = 2, 1  # both relevant; 1 is popular
    scores[3, [0, 4]] = 2, 1  # 0 is relevant and popular, 4 is neither
    report = evaluate(Table(scores), TEST, TRAIN, ks=(1, 2), metrics=("serendipity", "precision"))
    assert report.per_user["serendipity@2"].tolist() == [1 / 2, 1 / 2, 0]
    assert report.per_user["serendipity@1"].tolist() == [1, 1, 0]
    assert report.per_user["precision@2"].tolist() == [1, 1, 1 / 2]
    # with items 3 and 4 out of the way, popularity would show 2 and 5 to user 0
    exclude = events([(0, 3), (0, 4)], 4, 6)
    moved = evaluate(Table(scores), TEST, TRAIN, ks=2, metrics="serendipity", exclude=exclude)
    assert moved.per_user["serendipity@2"].tolist() == [0, 1 / 2, 0]


def test_the_popularity_model_is_never_serendipitous(blocks):
    split = mm.data.split(blocks, seed=0)
    popular = mm.models.create("popularity").fit(split.train)
    for exclude in (None, split.valid):
        report = evaluate(popular, split.test, split.train, ks=(3, 10), exclude=exclude, metrics="serendipity")
        assert (report.per_user == 0).all(axis=None)
    ease = mm.models.create("ease").fit(split.train)
    report = evaluate(ease, split.test, split.train, ks=5, metrics=("precision", "serendipity"))
    assert (report.per_user["serendipity@5"] <= report.per_user["precision@5"]).all()
    assert report["serendipity@5"] > 0


def test_entropy_of_exposure_is_that_of_its_formula():
    # lists of length 1: item 0 twice, items 1 and 2 once: shares 1/2 1/4 1/4 -> 1/2 + 1/2 + 1/2 = 1.5 bits
    test = events([(u, 5) for u in range(4)], 4, 6)
    scores = np.zeros((4, 6))
    scores[[0, 1, 2, 3], [0, 0, 1, 2]] = 1
    assert evaluate(Table(scores), test, ks=1, metrics="entropy")["entropy@1"] == pytest.approx(1.5)
    same = evaluate(Table(np.eye(1, 6).repeat(4, 0)), test, ks=1, metrics="entropy")
    assert same["entropy@1"] == 0
    assert evaluate(Table(scores), test, ks=6, metrics="entropy")["entropy@6"] == pytest.approx(np.log2(6))
    assert np.isnan(same.summary.loc["entropy@1", "ci_low"])


def test_jaccard_diversity_by_hand():
    groups = [{"a", "b"}, {"b"}, {"a", "b", "c"}, set(), ["c"]]
    test = events([(0, 0), (1, 0), (2, 0)], 3, 5)
    scores = [[9, 8, 7, 0, 0], [9, 0, 0, 8, 7], [0, 0, 0, 9, 8]]
    report = evaluate(Table(scores), test, ks=(2, 3), metrics="ild_jaccard", groups=groups)
    # 0 1 2: 1 - 1/2, 1 - 2/3, 1 - 1/3 -> 1/2.  0 3 4: 3 has no group, 0 and 4 share nothing -> 1.  3 4 0: the same
    assert report.per_user["ild_jaccard@3"].tolist() == pytest.approx([1 / 2, 1, 1])
    assert report.per_user["ild_jaccard@2"].tolist() == pytest.approx([1 / 2, np.nan, np.nan], nan_ok=True)


def test_miscalibration_by_hand():
    # user 0 met items of groups a, a, a, b; user 1 one without a group; user 2 one of a and b
    groups = ["a", "a", "a", "b", "b", None, "a"]
    both = group_matrix(groups, 7)
    both = np.r_[both, [[1, 1]]]
    train = events([(0, 0), (0, 1), (0, 2), (0, 3), (1, 5), (2, 7)], 3, 8)
    test = events([(0, 6), (1, 6), (2, 6)], 3, 8)
    scores = np.zeros((3, 8))
    scores[:, [6, 4]] = 2, 1
    report = evaluate(Table(scores), test, train, ks=(1, 2), metrics="miscalibration", groups=both)

    def kl(p, q):  # of two groups; the list is mixed with a hundredth of the history
        return sum(a * np.log2(a / (0.99 * b + 0.01 * a)) for a, b in zip(p, q, strict=True) if a)

    assert report.per_user["miscalibration@2"].tolist() == pytest.approx(
        [kl([0.75, 0.25], [0.5, 0.5]), np.nan, 0], nan_ok=True, abs=1e-12
    )
    assert report.per_user["miscalibration@1"].tolist()[0] == pytest.approx(kl([0.75, 0.25], [1, 0]))
    assert 1 < report.per_user["miscalibration@1"][0] < 1.5  # b is missing: 1/4 of log2(100) at the most, less for a


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_divergence_is_zero_for_equal_shares_and_else_positive_and_finite(seed):
    rng = np.random.default_rng(seed)
    history, shown = as_shares(rng.random((2, 6, 4)) * (rng.random((2, 6, 4)) < 0.6))
    history, shown = (np.where(x.any(axis=1, keepdims=True), x, [1, 0, 0, 0]) for x in (history, shown))
    assert divergence(history, history) == pytest.approx(np.zeros(6), abs=1e-12)
    apart = divergence(history, shown)
    assert (apart > -1e-12).all()
    assert (apart <= np.log2(100) + 1e-9).all()
    assert (apart[np.abs(history - shown).max(axis=1) > 0.05] > 0).all()


def test_blocks_and_order_of_users_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    scores, groups = rng.random((30, 40)), rng.random((40, 5)) < 0.3
    kind = rng.choice(3, (30, 40), p=[0.6, 0.2, 0.2])
    train, test = (Interactions(*np.nonzero(kind == part), n_users=30, n_items=40) for part in (1, 2))
    names = ("ild_jaccard", "miscalibration", "serendipity", "entropy")
    whole = evaluate(Table(scores), test, train, ks=(3, 8), metrics=names, groups=groups).per_user
    monkeypatch.setattr(mm.evaluation.metrics, "_SCRATCH_BYTES", 1)
    monkeypatch.setattr(mm.ranking, "BLOCK_BYTES", 4 * 40 * 7)
    part = evaluate(Table(scores), test, train, ks=(3, 8), metrics=names, groups=groups, users=[3, 9, 20]).per_user
    pd.testing.assert_frame_equal(part, whole.loc[[3, 9, 20]])


def test_groups_are_taken_in_every_form():
    expected = [[1, 0], [0, 1], [0, 0], [1, 0]]
    table = np.array(expected)
    forms = {
        "labels": ["x", "y", None, "x"],
        "codes": np.array([4, 7, -1, 4]),
        "nan": pd.Series(["x", "y", np.nan, "x"], index=[5, 5, 6, 7]),
        "lists": [["x"], ("y",), [], {"x"}],
        "table": table,
        "bool": table.astype(bool),
        "sparse": sparse.csr_matrix(table),
        "frame": pd.DataFrame(table, columns=["x", "y"]),
    }
    for name, form in forms.items():
        assert group_matrix(form, 4).tolist() == expected, name
    shares = as_shares(group_matrix(np.array([[1, 1], [0, 1], [0, 0]]), 3))
    assert shares.tolist() == [[1 / 2, 1 / 2], [0, 1], [0, 0]]
    train = events([(0, 0), (0, 1), (0, 2), (1, 2)], 2, 3)
    assert history_shares(train.to_csr(), np.array([1, 0]), shares).tolist() == [[0, 0], [1 / 4, 3 / 4]]
    assert list_shares(np.array([[0, 1, -1], [-1, -1, -1]]), shares).tolist() == [[1 / 4, 3 / 4], [0, 0]]


def test_refuses_what_is_missing_or_does_not_fit():
    model = Table(np.zeros((4, 6)))
    for metric, there in (("ild_jaccard", {}), ("miscalibration", {"train": TRAIN})):
        with pytest.raises(ParameterError, match="groups of the items"):
            evaluate(model, TEST, ks=2, metrics=metric, **there)
    for metric, there in (("serendipity", {}), ("miscalibration", {"groups": list("abcabc")})):
        with pytest.raises(ParameterError, match=r"train=split\.train"):
            evaluate(model, TEST, ks=2, metrics=metric, **there)
    for groups, message in (
        (list("abc"), "3 items, there are 6"),
        ([None] * 6, "no item belongs"),
        (np.full((6, 2), 2), "from 0"),
        (np.full((6, 2), np.nan), "from 0"),
        (np.full((6, 2), "a"), "must hold numbers"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(model, TEST, ks=2, metrics="ild_jaccard", groups=groups)


def test_a_leaderboard_takes_groups(blocks):
    split = mm.data.split(blocks, seed=0)
    table = mm.evaluation.leaderboard(
        {"popularity": mm.models.create("popularity"), "ease": mm.models.create("ease")},
        split,
        ks=5,
        metrics=("ndcg", "miscalibration"),
        groups=np.arange(30) // 10,
        n_boot=5,
    )
    # users met six items of one group and one of another: who looks at the history is nearer to it
    assert table.loc["ease", "miscalibration@5"] < table.loc["popularity", "miscalibration@5"]
