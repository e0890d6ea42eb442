"""The protocol: who is evaluated, what is masked, what the figures are, and what is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrec_testing import Table, events

import mmrec_lib as mm
from mmrec_lib import ranking
from mmrec_lib.data import Features, Interactions
from mmrec_lib.errors import (
    DataError,
    FeatureError,
    ParameterError,
    UnknownItemError,
    UnknownNameError,
    UnknownUserError,
)
from mmrec_lib.evaluation import DEFAULT_METRICS, available_metrics, evaluate

# Five items. Lists after masking:        user 0: 4, 2, 0   (3 and 1 are seen)
#                                         user 1: 0, 1, 2, 3, 4 (nothing seen)
SCORES = [[1, 9, 2, 8, 3], [5, 4, 3, 2, 1], [1, 2, 3, 4, 5]]
TRAIN = events([(0, 1), (0, 3), (2, 0)], 3, 5)
TEST = events([(0, 2), (1, 1), (1, 4)], 3, 5)
ALL = (*DEFAULT_METRICS, "auc", "coverage", "gini", "entropy", "novelty", "popularity")


def test_known_answer_with_masking_and_without_users_who_have_no_test_item():
    report = evaluate(Table(SCORES), TEST, TRAIN, ks=(1, 2))
    assert report.per_user.index.tolist() == [0, 1]
    assert report.lists.tolist() == [[4, 2], [0, 1]]
    # user 0 finds its one item at rank 2; user 1 finds one of two at rank 2
    log3 = np.log2(3)
    expected = {
        "precision@1": [0, 0],
        "precision@2": [1 / 2, 1 / 2],
        "recall@2": [1, 1 / 2],
        "f1@2": [2 * 0.5 / 1.5, 1 / 2],
        "hit@1": [0, 0],
        "hit@2": [1, 1],
        "ndcg@2": [1 / log3, (1 / log3) / (1 + 1 / log3)],
        "mrr@2": [1 / 2, 1 / 2],
        "map@2": [1 / 2, (1 / 2) / 2],
    }
    for name, values in expected.items():
        assert report.per_user[name].tolist() == pytest.approx(values), name
        assert report[name] == pytest.approx(np.mean(values))
    assert list(report.summary.columns) == ["mean", "ci_low", "ci_high"]
    assert report.summary.index[:4].tolist() == ["precision@1", "precision@2", "recall@1", "recall@2"]


def test_seen_items_never_appear_and_train_none_masks_nothing():
    masked = evaluate(Table(SCORES), TEST, TRAIN, ks=3)
    assert masked.lists.tolist() == [[4, 2, 0], [0, 1, 2]]
    assert evaluate(Table(SCORES), TEST, ks=3).lists.tolist() == [[1, 3, 4], [0, 1, 2]]
    extra = events([(1, 0), (0, 4)], 3, 5)
    assert evaluate(Table(SCORES), TEST, TRAIN, ks=2, exclude=extra).lists.tolist() == [[2, 0], [1, 2]]
    # all but two of user 0's items are masked: the list is short
    assert evaluate(Table(SCORES), TEST, TRAIN, ks=5, exclude=extra).lists[0].tolist() == [2, 0, -1, -1, -1]


def test_candidates_compete_alone():
    # user 0 has seen 1 and 3: of 0, 2, 3 the list is 2, 0; user 1's relevant items 1 and 4 are no candidates
    model = Table(SCORES)
    before = model.scores.copy()
    report = evaluate(model, TEST, TRAIN, ks=3, candidates=[3, 0, 2, 2])
    assert report.lists.tolist() == [[2, 0, -1]]
    assert report.per_user.index.tolist() == [0]
    assert report["ndcg@3"] == 1
    assert report.info["n_candidates"] == 3
    np.testing.assert_array_equal(model.scores, before)
    everything = evaluate(model, TEST, TRAIN, ks=3, candidates=np.arange(5))
    assert everything.lists.tolist() == evaluate(model, TEST, TRAIN, ks=3).lists.tolist()


def test_auc_among_candidates_by_hand():
    # user 1: 0 (5) beats 1 (4), which beats 4 (1): the relevant 1 and 4 meet only 0, and lose
    assert evaluate(Table(SCORES), TEST, ks=1, metrics="auc", candidates=[0, 1, 4]).per_user["auc"].tolist() == [0]


@pytest.mark.parametrize(
    ("candidates", "error"),
    [([5], UnknownItemError), ([-1], UnknownItemError), ([0.5], ParameterError), ([[1]], ParameterError)],
)
def test_wrong_candidates(candidates, error):
    with pytest.raises(error, match="candidates"):
        evaluate(Table(SCORES), TEST, ks=1, candidates=candidates)


def test_no_relevant_candidate():
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(Table(SCORES), TEST, ks=1, candidates=[3])


def test_auc_by_hand():
    # user 0: unseen 0, 2, 4 with scores 1, 2, 3; item 2 beats one of the two others -> 1/2
    # user 1: relevant 1 (score 4) and 4 (score 1), others 0, 2, 3 (5, 3, 2): 2 + 0 of 6 pairs -> 1/3
    assert evaluate(Table(SCORES), TEST, TRAIN, metrics="auc").per_user["auc"].tolist() == pytest.approx([1 / 2, 1 / 3])
    assert evaluate(Table(np.ones((3, 5))), TEST, TRAIN, metrics="auc")["auc"] == pytest.approx(0.5)  # all tied
    # a relevant item that is never recommended loses to all others; user 1's other one still beats 2 and 3
    never = np.array(SCORES, float)
    never[0, 2] = never[1, 4] = -np.inf
    assert evaluate(Table(never), TEST, TRAIN, metrics="auc").per_user["auc"].tolist() == pytest.approx([0, 1 / 3])


def test_auc_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (20, 40))
    kind = rng.choice(3, (20, 40), p=[0.6, 0.2, 0.2])  # 0 other, 1 train, 2 test
    train, test = (Interactions(*np.nonzero(kind == part), n_users=20, n_items=40) for part in (1, 2))
    found = evaluate(Table(scores), test, train, metrics="auc").per_user["auc"]
    for user in range(20):
        unseen = kind[user] != 1
        assert found[user] == pytest.approx(roc_auc_score(kind[user, unseen] == 2, scores[user, unseen]))


def test_catalogue_metrics_by_hand():
    report = evaluate(Table(SCORES), TEST, TRAIN, ks=2, metrics=("coverage", "gini", "novelty", "popularity"))
    # lists 4, 2 and 0, 1: four of five items, each once
    assert report["coverage@2"] == pytest.approx(4 / 5)
    # sorted exposures 0 1 1 1 1; weights 2i - n - 1 = -4 -2 0 2 4; (-2 + 0 + 2 + 4) / (5 * 4) = 1/5
    assert report["gini@2"] == pytest.approx(1 / 5)
    # training: two users have events; items 0, 1, 3 have one user each, 2 and 4 none (counted as one): all 1/2 -> 1 bit
    assert report["novelty@2"] == pytest.approx(1)
    # list of user 0: 4 and 2, nobody; list of user 1: 0 and 1, one event each
    assert report.per_user["popularity@2"].tolist() == [0, 1]
    assert report.summary.loc[["coverage@2", "gini@2"], ["ci_low", "ci_high"]].isna().all().all()


def test_gini_is_zero_for_equal_exposure_and_near_one_for_one_item():
    n = 50
    test = events([(u, (u + 1) % n) for u in range(n)], n, n)
    assert evaluate(Table(np.eye(n)), test, ks=1, metrics="gini")["gini@1"] == pytest.approx(0)
    # everybody gets item 0: (2n - n - 1) / n = (n - 1) / n
    assert evaluate(Table(np.eye(1, n).repeat(n, 0)), test, ks=1, metrics="gini")["gini@1"] == pytest.approx(49 / 50)


def test_intra_list_diversity_by_hand():
    vectors = np.array([[1, 0], [0, 2], [3, 0], [0, 0], [-1, 0]], float)
    features = Features({"image": vectors}, mask={"image": [True, True, True, False, True]})
    test = events([(0, 0), (1, 0), (2, 0), (3, 0)], 4, 5)
    scores = [[9, 8, 7, 0, 0], [9, 0, 8, 0, 7], [9, 0, 0, 8, 7], [0, 0, 0, 9, 8]]
    report = evaluate(Table(scores), test, ks=(2, 3), metrics="ild", features=features)
    # 0 1 2: distances 1 (01), 0 (02), 1 (12) -> 2/3.   0 2 4: 0, 2, 2 -> 4/3.   0 3 4: 3 has no vector -> 2
    # 3 4 0 (the tie at 0 goes to the lower code): 4 and 0 -> 2
    assert report.per_user["ild@3"].tolist() == pytest.approx([2 / 3, 4 / 3, 2, 2])
    # 0 1 -> 1.   0 2 -> 0.   0 3 and 3 4: one vector, no pair
    assert report.per_user["ild@2"].tolist() == pytest.approx([1, 0, np.nan, np.nan], nan_ok=True)
    assert report["ild@2"] == pytest.approx(1 / 2)
    two = evaluate(Table(scores), test, ks=3, metrics="ild", features=Features({"a": vectors, "b": np.ones((5, 4))}))
    assert two.per_user["ild@3"].tolist()[:2] == pytest.approx([1 / 3, 2 / 3])  # averaged with distances of 0


def test_agrees_with_ranx(tmp_path):
    rng = np.random.default_rng(1)
    scores = rng.permuted(np.tile(np.arange(60.0), (30, 1)), axis=1)  # no ties: their order is a convention
    relevant = rng.random((30, 60)) < 0.1
    relevant[:, 0] |= ~relevant.any(axis=1)
    test = Interactions(*np.nonzero(relevant), n_users=30, n_items=60)
    report = evaluate(Table(scores), test, ks=(5, 20))
    np.savez(tmp_path / "run.npz", scores=scores, relevant=relevant)
    names = {"precision": "precision", "recall": "recall", "f1": "f1", "hit": "hit_rate", "ndcg": "ndcg", "mrr": "mrr"}
    program = """
import json, sys
import numpy as np
from ranx import Qrels, Run, evaluate
data = np.load(sys.argv[1])
qrels = Qrels({f"u{u}": {f"i{i}": 1 for i in np.flatnonzero(row)} for u, row in enumerate(data["relevant"])})
run = Run({f"u{u}": {f"i{i}": float(s) for i, s in enumerate(row)} for u, row in enumerate(data["scores"])})
print(json.dumps({m: float(v) for m, v in evaluate(qrels, run, sys.argv[2].split(",")).items()}))
"""
    wanted = {f"{ours}@{k}": f"{theirs}@{k}" for ours, theirs in names.items() for k in (5, 20)}
    # in a process of its own, where its compiler can be switched off: compiling takes far longer than computing
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run.npz"), ",".join(wanted.values())],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    for ours, name in wanted.items():
        assert report[ours] == pytest.approx(theirs[name]), ours


def test_agrees_with_a_plain_loop_on_random_data():
    rng = np.random.default_rng(2)
    scores = rng.standard_normal((40, 70)).astype(np.float32)
    kind = rng.choice(3, (40, 70), p=[0.85, 0.1, 0.05])
    train, test = (Interactions(*np.nonzero(kind == part), n_users=40, n_items=70) for part in (1, 2))
    report = evaluate(Table(scores), test, train, ks=10)
    for user in report.per_user.index:
        left = [i for i in np.argsort(-scores[user]) if kind[user, i] != 1][:10]
        gains = [int(kind[user, i] == 2) for i in left]
        n = int((kind[user] == 2).sum())
        ideal = sum(1 / np.log2(r + 2) for r in range(min(n, 10)))
        row = report.per_user.loc[user]
        assert row["recall@10"] == pytest.approx(sum(gains) / n)
        assert row["ndcg@10"] == pytest.approx(sum(g / np.log2(r + 2) for r, g in enumerate(gains)) / ideal)
        precisions = [sum(gains[: r + 1]) / (r + 1) for r in range(10) if gains[r]]
        assert row["map@10"] == pytest.approx(sum(precisions) / min(n, 10))


# -- properties ----------------------------------------------------------------------------------------------------


@st.composite
def problems(draw):
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, (8, 15), p=[0.6, 0.2, 0.2])
    kind[0, :2] = 2, 0
    train, test = (Interactions(*np.nonzero(kind == part), n_users=8, n_items=15) for part in (1, 2))
    return rng.integers(0, 8, (8, 15)).astype(np.float32), train, test, rng


fast = settings(max_examples=25, deadline=None)


@fast
@given(problems())
def test_only_the_order_of_the_scores_counts(problem):
    scores, train, test, _ = problem
    a = evaluate(Table(scores), test, train, ks=5, metrics=ALL, n_boot=5).per_user
    b = evaluate(Table(np.exp(scores) - 40), test, train, ks=5, metrics=ALL, n_boot=5).per_user
    pd.testing.assert_frame_equal(a, b)


@fast
@given(problems())
def test_renaming_the_items_changes_nothing_when_no_scores_tie(problem):
    _, train, test, rng = problem
    scores = rng.permuted(np.tile(np.arange(15.0), (8, 1)), axis=1)
    new = rng.permutation(15)
    renamed = [Interactions(part.user, new[part.item], n_users=8, n_items=15) for part in (train, test)]
    moved = np.empty_like(scores)
    moved[:, new] = scores
    a = evaluate(Table(scores), test, train, ks=5, metrics=ALL, n_boot=5)
    b = evaluate(Table(moved), renamed[1], renamed[0], ks=5, metrics=ALL, n_boot=5)
    pd.testing.assert_frame_equal(a.per_user, b.per_user)
    assert a.summary["mean"].tolist() == pytest.approx(b.summary["mean"].tolist())


@fast
@given(problems())
def test_a_perfect_model_gets_one_and_its_opposite_the_lowest_auc(problem):
    _, train, test, _ = problem
    right = test.to_csr().toarray()
    best = evaluate(Table(right), test, train, ks=15, metrics=("recall", "ndcg", "map", "mrr", "auc"), n_boot=5)
    values = best.per_user.dropna()  # a user without another unseen item has no AUC
    assert np.allclose(values, 1)
    worst = evaluate(Table(-right), test, train, metrics="auc", n_boot=5)
    assert np.allclose(worst.per_user.dropna(), 0)


@fast
@given(problems())
def test_an_item_that_nobody_wants_and_the_model_puts_last_changes_no_list_metric(problem):
    scores, train, test, _ = problem
    more = [Interactions(part.user, part.item, n_users=8, n_items=16) for part in (train, test)]
    a = evaluate(Table(scores), test, train, ks=5, n_boot=5).per_user
    b = evaluate(Table(np.c_[scores, np.full(8, -1)]), more[1], more[0], ks=5, n_boot=5).per_user
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize("n_negatives", [None, 4])
def test_blocks_of_users_do_not_change_anything(monkeypatch, n_negatives):
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 9, (50, 30))
    kind = rng.choice(3, (50, 30), p=[0.7, 0.2, 0.1])
    train, test = (Interactions(*np.nonzero(kind == part), n_users=50, n_items=30) for part in (1, 2))
    whole = evaluate(Table(scores), test, train, ks=5, metrics=ALL, n_negatives=n_negatives)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 4 * 30 * 7)  # seven users a block
    pieces = evaluate(Table(scores), test, train, ks=5, metrics=ALL, n_negatives=n_negatives)
    pd.testing.assert_frame_equal(whole.per_user, pieces.per_user)
    pd.testing.assert_frame_equal(whole.summary, pieces.summary)


def test_scores_are_asked_for_in_blocks_and_left_alone(monkeypatch):
    asked = []

    class Watched(Table):
        def score(self, users):
            asked.append(len(users))
            return self.scores[: len(users)]  # a view of the model's own memory

    monkeypatch.setattr(ranking, "BLOCK_BYTES", 4 * 5 * 2)
    model = Watched(SCORES)
    test = events([(0, 2), (1, 1), (2, 1)], 3, 5)
    evaluate(model, test, TRAIN, ks=1)
    assert asked == [2, 1]
    assert model.scores.tolist() == SCORES


# -- options -------------------------------------------------------------------------------------------------------


def test_chosen_users_single_cut_offs_tensors_and_names():
    report = evaluate(Table(SCORES), TEST, TRAIN, ks=1, users=[1, 2], metrics=("recall@3", "ndcg"), name="mine")
    assert report.per_user.index.tolist() == [1]
    assert report.per_user.columns.tolist() == ["recall@3", "ndcg@1"]
    assert report.name == "mine"

    class Tensors(Table):
        def score(self, users):
            return torch.from_numpy(self.scores)[users].double().requires_grad_()

    report = evaluate(Tensors(SCORES), TEST, TRAIN, ks=2)
    assert report.lists.tolist() == [[4, 2], [0, 1]]
    assert report.name == "Tensors"


def test_repeated_test_pairs_count_once_and_seen_test_pairs_do_not_count():
    twice = Interactions([1, 1, 1], [1, 4, 1], n_users=3, n_items=5)
    assert evaluate(Table(SCORES), twice, ks=2)["recall@2"] == pytest.approx(1 / 2)
    leaking = events([(0, 1), (0, 2), (2, 0)], 3, 5)  # (0, 1) and (2, 0) are training pairs
    with pytest.warns(UserWarning, match="2 of 3 test pairs are also in train"):
        report = evaluate(Table(SCORES), leaking, TRAIN, ks=2)
    assert report.per_user["recall@2"].to_dict() == {0: 1.0}


def test_intervals_enclose_the_mean_shrink_with_confidence_and_repeat_with_the_seed(blocks):
    split = mm.data.split(blocks, seed=0)
    model = mm.models.create("random").fit(split.train)
    a, b = (evaluate(model, split.test, split.train, ks=5, seed=1).summary for _ in range(2))
    pd.testing.assert_frame_equal(a, b)
    assert not a.equals(evaluate(model, split.test, split.train, ks=5, seed=2).summary)
    assert ((a["ci_low"] <= a["mean"]) & (a["mean"] <= a["ci_high"])).all()
    narrow = evaluate(model, split.test, split.train, ks=5, confidence=0.5).summary
    assert (narrow["ci_high"] - narrow["ci_low"] < a["ci_high"] - a["ci_low"]).all()


def test_sampled_negatives_flatter_and_say_so():
    rng = np.random.default_rng(4)
    scores = rng.standard_normal((80, 500))
    test = Interactions(np.arange(80), rng.integers(0, 500, 80), n_users=80, n_items=500)
    full = evaluate(Table(scores), test, ks=10)
    sampled = evaluate(Table(scores), test, ks=10, n_negatives=20)
    # by chance: 10 of 500 places against 10 of 21
    assert full["recall@10"] < 0.1
    assert sampled["recall@10"] == pytest.approx(10 / 21, abs=0.17)
    assert "only 20 sampled negatives" in repr(sampled)
    assert "sampled" not in repr(full)
    # the relevant item and 20 others, none of them twice
    lists = evaluate(Table(scores), test, ks=30, n_negatives=20).lists
    assert ((lists >= 0).sum(axis=1) == 21).all()
    assert (lists == test.item[:, None]).any(axis=1).all()
    # as many negatives as there are: the full ranking again
    everything = evaluate(Table(scores), test, ks=10, n_negatives=499)
    pd.testing.assert_frame_equal(everything.per_user, full.per_user)


def test_sampled_negatives_are_neither_seen_nor_relevant():
    kind = np.array([[1] * 10 + [2] * 5 + [0] * 15])
    train, test = (Interactions(*np.nonzero(kind == part), n_users=1, n_items=30) for part in (1, 2))
    lists = evaluate(Table(np.ones((1, 30))), test, train, ks=30, n_negatives=3).lists[0]
    assert set(range(10, 15)) <= set(lists.tolist())
    assert (kind[0, lists[lists >= 0]] == 0).sum() == 3
    assert (kind[0, lists[lists >= 0]] == 1).sum() == 0


def test_works_with_the_library_s_own_models(blocks):
    split = mm.data.split(blocks, seed=0)
    report = evaluate(mm.models.create("popularity").fit(split.train), split.test, split.train, ks=5)
    assert report.name == "popularity"
    assert report.info["n_users"] == 60
    assert "recall@5" in repr(report)
    assert "<table" in report._repr_html_()
    with pytest.raises(UnknownNameError, match=r"recall@50.*Did you mean"):
        report["recall@50"]


def test_the_table_of_metrics_defines_every_one():
    table = available_metrics()
    assert set(ALL) | {"serendipity", "ild", "ild_jaccard", "miscalibration", "rmse", "mae"} == set(table.index)
    assert table["definition"].str.endswith(".").all()
    assert table.loc[["novelty", "popularity", "ild"], "needs"].tolist() == ["train", "train", "features"]


# -- refusals ------------------------------------------------------------------------------------------------------

REFUSED = {
    "no test": ({"test": Interactions([], [], n_users=3, n_items=5)}, DataError, "no interactions"),
    "no test for these users": ({"users": [2]}, DataError, "nothing to evaluate"),
    "unknown user": ({"users": [3]}, UnknownUserError, "user 3"),
    "other items": ({"train": events([(0, 1)], 3, 6)}, DataError, r"train counts \(3, 6\)"),
    "other users": ({"exclude": events([(0, 1)], 2, 5)}, DataError, r"exclude counts \(2, 5\)"),
    "k zero": ({"ks": (0, 10)}, ParameterError, "ks=0"),
    "k negative": ({"ks": -1}, ParameterError, "ks=-1"),
    "k too large": ({"ks": 6}, ParameterError, "the catalogue has 5"),
    "no k": ({"ks": ()}, ParameterError, "nothing to compute"),
    "unknown metric": ({"metrics": "recal"}, UnknownNameError, "Did you mean 'recall'"),
    "rating metric": ({"metrics": "rmse"}, UnknownNameError, "rmse"),
    "bad cut-off": ({"metrics": "recall@x"}, ParameterError, "recall@20"),
    "needs train": ({"train": None, "metrics": "novelty"}, ParameterError, "train=split.train"),
    "needs features": ({"metrics": "ild"}, ParameterError, "features"),
    "features of other items": ({"metrics": "ild", "features": np.ones((4, 2))}, FeatureError, "4 rows"),
    "confidence": ({"confidence": 95}, ParameterError, "confidence=95"),
    "n_boot": ({"n_boot": 0}, ParameterError, "n_boot=0"),
    "n_negatives": ({"n_negatives": 0}, ParameterError, "n_negatives=0"),
    "a frame": ({"test": TEST.to_frame()}, ParameterError, "test is a DataFrame"),
    "no model": ({"model": "ease"}, ParameterError, "object with score"),
    "wrong shape": ({"model": Table(np.zeros((3, 4)))}, DataError, r"returned shape \(2, 4\)"),
    "nan": ({"model": Table([[0] * 5, [0, 0, np.nan, 0, 0], [0] * 5])}, DataError, "user 1 with NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    change, error, message = REFUSED[case]
    arguments = {"model": Table(SCORES), "test": TEST, "train": TRAIN, "ks": (1, 2)} | change
    with pytest.raises(error, match=message):
        evaluate(**arguments)
