"""Hidden tests of assignment 1: the questions of the public checks with other inputs."""

import time

import numpy as np
import pytest
from scipy import sparse

from mmrec_lib.coursework import a1
from mmrec_lib.data import Interactions

near = pytest.approx
SEEDS = (11, 12, 13)


def same(got, expected, message):
    got = got.toarray() if sparse.issparse(got) else np.asarray(got)
    assert got.shape == expected.shape, f"{message}: the shape is {got.shape}, not {expected.shape}"
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-8, equal_nan=True), f"{message}: other values"


# -- 1 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(1)
def test_repeats_of_another_log(space):
    rng = np.random.default_rng(1)
    user, item = rng.integers(20, size=400), rng.integers(30, size=400)
    assert space["count_repeats"](user, item) == a1.right_repeats(user, item), "repeats of a log of 400 events"


@pytest.mark.task(1)
def test_no_repeat(space):
    assert space["count_repeats"](np.array([0, 1, 0]), np.array([1, 0, 0])) == 0, "(0, 1) and (1, 0) are two pairs"


@pytest.mark.task(1)
def test_leak_of_another_split(space):
    rng = np.random.default_rng(2)
    log = Interactions(rng.integers(20, size=500), rng.integers(30, size=500), n_users=20, n_items=30)
    careless = a1.careless_split(log, rng)
    expected = a1.right_leak(careless.train, careless.test)
    assert space["leaked_share"](careless.train, careless.test) == near(expected), "the leak of another split"


@pytest.mark.task(1)
def test_own_numbers(space, work):
    assert space["n_repeats"] == a1.right_repeats(work.log.user, work.log.item), "n_repeats"
    assert space["leak"] == near(a1.right_leak(work.careless.train, work.careless.test)), "leak"


# -- 2 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(2)
@pytest.mark.parametrize(
    ("k", "recall", "precision"), [(1, 0, 0), (2, 0.2, 0.5), (4, 0.4, 0.5), (6, 0.6, 0.5), (9, 0.6, 3 / 9)]
)
def test_every_k(space, k, recall, precision):
    ranked, relevant = [3, 8, 1, 9, 4, 7], {8, 9, 7, 20, 21}
    assert space["recall_at_k"](ranked, relevant, k) == near(recall), f"recall@{k} of a list of six films"
    assert space["precision_at_k"](ranked, relevant, k) == near(precision), f"precision@{k} of a list of six films"


@pytest.mark.task(2)
def test_a_film_that_stands_twice(space):
    assert space["recall_at_k"]([1, 1, 2], {1, 2}, 3) == near(1.0), "a film that stands twice is found once"


@pytest.mark.task(2)
def test_nothing_relevant(space):
    assert np.isnan(space["recall_at_k"]([4], set(), 1)), "recall of nothing is NaN"
    assert space["precision_at_k"]([4], set(), 1) == 0, "precision is 0 when nothing is relevant"


# -- 3 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(3)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("k", "n"), [(1, 3), (5, 2), (10, 25)])
def test_ndcg_of_random_lists(space, seed, k, n):
    rng = np.random.default_rng(seed)
    ranked, relevant = rng.permutation(30)[:12].tolist(), set(rng.choice(30, n, replace=False).tolist())
    expected = a1.right_ndcg(ranked, relevant, k)
    assert space["ndcg_at_k"](ranked, relevant, k) == near(expected), f"NDCG@{k} with {n} relevant films"


@pytest.mark.task(3)
def test_ndcg_of_nothing(space):
    assert np.isnan(space["ndcg_at_k"]([1, 2], set(), 2)), "NDCG of nothing is NaN"


# -- 4 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(4)
@pytest.mark.parametrize("seed", SEEDS)
def test_recall_of_other_people(space, seed):
    held = a1.choices(40, 25, 0.05, seed)
    lists = np.argsort(np.random.default_rng(seed).random((40, 25)), axis=1)[:, :6]
    same(space["recall_per_person"](lists, held), a1.right_recall(lists, held), "recall of 40 people")


@pytest.mark.task(4)
def test_many_people_are_quick(space):
    held = a1.choices(20_000, 60, 0.05, seed=5)
    lists = np.tile(np.arange(10), (20_000, 1))
    start = time.process_time()
    got = space["recall_per_person"](lists, held)
    assert time.process_time() - start < 2, "20,000 people take more than two seconds: is there a loop over people?"
    same(got, a1.right_recall(lists, held), "recall of 20,000 people")
    assert not a1.has_loop(space["recall_per_person"]), "there is a loop over people"


# -- 5 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(5)
@pytest.mark.parametrize("seed", SEEDS)
def test_lists_of_other_scores(space, seed):
    X = a1.choices(15, 20, 0.3, seed)
    scores = np.random.default_rng(seed).normal(size=X.shape)
    same(space["top_lists"](scores, X, 4), a1.right_lists(scores, X, 4), "lists by scores of both signs")


@pytest.mark.task(5)
def test_equal_scores(space):
    X = a1.choices(10, 12, 0.2, seed=4)
    scores = np.random.default_rng(4).integers(0, 3, X.shape).astype(float)
    same(space["top_lists"](scores, X, 5), a1.right_lists(scores, X, 5), "equal scores: the lower number first")


@pytest.mark.task(5)
def test_own_popularity(space, work):
    X, V, _ = a1.parts(work)
    shown = np.argsort(-a1.right_popularity(X), axis=1, kind="stable")[:, :10]
    assert space["popularity_recall"] == near(np.nanmean(a1.per_person(X, V, None)), abs=1e-3), "popularity_recall"
    assert space["seen_recall"] == near(np.nanmean(a1.right_recall(shown, V)), abs=1e-3), "seen_recall"


# -- 6 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(6)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shrinkage", [0, 7.5])
def test_cosine_of_others(space, seed, shrinkage):
    X = a1.choices(30, 18, 0.2, seed)
    same(space["cosine"](X, shrinkage=shrinkage), a1.right_cosine(X, shrinkage), f"cosine, shrinkage {shrinkage}")


@pytest.mark.task(6)
def test_film_without_people(space):
    X = a1.choices(30, 18, 0.2, seed=3).tolil()
    X[:, 4] = 0
    same(space["cosine"](X.tocsr()), a1.right_cosine(X.tocsr()), "a film that nobody chose is near to nothing")


@pytest.mark.task(6)
def test_many_films_are_quick(space):
    X = a1.choices(500, 1500, 0.03, seed=6)
    start = time.process_time()
    space["cosine"](X)
    assert time.process_time() - start < 5, "1,500 films take more than five seconds: is there a loop over films?"
    assert not a1.has_loop(space["cosine"]), "there is a loop over films"


# -- 7 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(7)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 4])
def test_scores_of_others(space, seed, k):
    X = a1.choices(9, 12, 0.4, seed)
    S = np.random.default_rng(seed).random((12, 12))  # not symmetric: rows and columns differ
    np.fill_diagonal(S, 0)
    same(space["neighbour_scores"](X, S.copy(), k), a1.right_scores(X, S, k), f"scores with {k} neighbours")


@pytest.mark.task(7)
def test_similarities_stay_as_they_were(space):
    X, S = a1.choices(5, 6, 0.5, seed=2), np.random.default_rng(2).random((6, 6))
    before = S.copy()
    got = space["neighbour_scores"](X, S, 2)
    assert (before == S).all(), "the similarities were changed"
    same(got, a1.right_scores(X, S, 2), "scores")
    same(space["neighbour_scores"](X, S, 50), a1.right_scores(X, S, 6), "more neighbours than films")
    assert not a1.has_loop(space["neighbour_scores"]), "there is a loop over films"


# -- 8 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(8)
def test_scores_of_other_people(space):
    other = a1.personal(2024)["split"]
    X, V = other.train.to_csr(), other.valid.to_csr()
    settings = [(20, 5), (400, 80)]
    got, right = np.asarray(space["validation_scores"](X, V, settings)), a1.right_validation(X, V, settings)
    assert got.shape == (2,), "one number for each setting"
    assert np.allclose(got, right, atol=a1.TIES), "validation_scores of 300 other people"


@pytest.mark.task(8)
def test_own_choice(space, work):
    on_valid, _ = a1.own_values(work)
    best = tuple(space["best"])
    assert best in work.settings, "best is one of work.settings"
    assert on_valid[work.settings.index(best)] >= on_valid.max() - a1.TIES / 2, (
        "another setting is better on validation"
    )


@pytest.mark.task(8)
def test_own_test_recall(space, work):
    X, _, T = a1.parts(work)
    expected = np.nanmean(a1.per_person(X, T, tuple(space["best"])))
    assert space["test_recall"] == near(expected, abs=a1.TIES), "test_recall is not the recall of best on test"


# -- 9 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(9)
@pytest.mark.parametrize("seed", SEEDS)
def test_interval_of_other_people(space, seed):
    a, b = a1.two_models(250, seed)
    a1.ask_interval(space["paired_interval"], a, b, "paired_interval of 250 other people")


@pytest.mark.task(9)
def test_people_without_a_value(space):
    a, b = a1.two_models(300, seed=20)
    a[:50], b[30:90] = np.nan, np.nan
    a1.ask_interval(space["paired_interval"], a, b, "paired_interval with missing values on both sides")


@pytest.mark.task(9)
def test_own_difference(space, work):
    X, _, T = a1.parts(work)
    expected = a1.paired(a1.per_person(X, T, tuple(space["best"])), a1.per_person(X, T, None))
    got = np.asarray(space["difference"], float)
    assert got.shape == (3,), "difference is three numbers: mean, low, high"
    assert np.allclose(got, expected, atol=a1.TIES), "difference is neighbours less popularity, by recall@10 on test"
