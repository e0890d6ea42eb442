"""Hidden tests of assignment 5: the questions of the public checks with other inputs."""

import numpy as np
import pytest

from mmrec_lib.coursework import a5
from mmrec_lib.evaluation import compare, evaluate

near = pytest.approx
SEEDS = (501, 502)


# -- 1 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(1)
@pytest.mark.parametrize("shares", [(0.5, 0.25, 0.25), (0.8, 0.05, 0.15)])
def test_whole_things(space, shares):
    item = np.random.default_rng(11).zipf(1.3, 5000) % 200 + 7
    for seed in range(17, 22):
        a5.check_split(space["cold_split"], item, seed, shares)


@pytest.mark.task(1)
def test_own_customers(space, work):
    item = work.customers.item
    a5.check_split(space["cold_split"], item, 5, (0.7, 0.1, 0.2))
    assert len(space["leaks"](item, space["cold_split"](item, 5))) == 0, "your split leaks, or leaks finds what is not"


@pytest.mark.task(1)
def test_every_pair_of_parts_counts(space):
    rng = np.random.default_rng(12)
    item, part = rng.integers(0, 300, 500), rng.integers(0, 3, 500)
    expected = [code for code in np.unique(item) if len(set(part[item == code])) > 1]
    assert np.asarray(space["leaks"](item, part)).tolist() == expected, "leaks of 500 random events, sorted"


@pytest.mark.task(1)
def test_no_leak_is_found_where_none_is(space):
    assert len(space["leaks"](np.array([8, 8, 3]), np.array([1, 1, 0]))) == 0


# -- 2 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(2)
@pytest.mark.parametrize("k", [1, 3, 6])
def test_neighbours_of_other_shops(space, k):
    a5.check_neighbours(space["content_neighbours"], a5.a_shop(20 + k, n_items=16, k=k), "another shop")


@pytest.mark.task(2)
def test_length_does_not_matter(space):
    shop = a5.a_shop(25, n_items=18, k=4)
    longer = shop | {"content": shop["content"] * np.linspace(0.1, 9, 18)[:, None]}
    one, other = (np.asarray(space["content_neighbours"](**given), float) for given in (shop, longer))
    assert one == near(other), "longer vectors change the scores, so these are no cosines"


@pytest.mark.task(2)
def test_own_new_things(space, work):
    clicked = work.split.train.to_csr().toarray()
    blur = np.random.default_rng(26).normal(0, 1e-3, work.content.shape)  # no two things are alike to the last digit
    given = (clicked, work.content + blur * work.has[:, None], work.has, work.known, work.new, 15)
    got, truth = np.asarray(space["content_neighbours"](*given)), a5.neighbour_scores(*given)
    assert (got == -np.inf).all(axis=0).tolist() == (~work.has[work.new]).tolist(), "new things without content: -inf"
    there = work.has[work.new]
    assert got[:, there] == near(truth[:, there], abs=1e-4), "scores of your own new things"


# -- 3 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(3)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("l2", [0.1, 25.0])
def test_map_of_other_catalogues(space, seed, l2):
    content, Q, rows, _ = a5.a_catalogue(seed, n=40, dim=7, factors=4)
    a5.check_map(space["fit_map"], content, Q, rows, l2, "another catalogue")


@pytest.mark.task(3)
def test_prediction_of_other_catalogues(space):
    a5.check_prediction(space["predict_vectors"], *a5.a_catalogue(33, n=25, dim=6, factors=2))


@pytest.mark.task(3)
def test_own_map(space, work):
    rows = work.known & work.has
    got = space["predict_vectors"](work.content, work.has, *space["fit_map"](work.content, work.Q, rows, 2.0))
    expected = a5.mapped(work.content, work.has, *a5.ridge(work.content, work.Q, rows, 2.0))
    assert np.asarray(got) == near(expected, abs=1e-4), "the vectors of your own things with l2 = 2"


# -- 4 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(4)
@pytest.mark.parametrize("seed", SEEDS)
def test_lengths_of_others(space, seed):
    rng = np.random.default_rng(seed)
    known = rng.random(50) < 0.7
    a5.check_lengths(space["same_length"], rng.normal(size=(50, 8)) * np.where(known, 3, 0.4)[:, None], known)


# -- 5 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(5)
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_of_other_tests(space, seed):
    a5.check_numbers(space["three_numbers"], *a5.a_test(seed))


@pytest.mark.task(5)
def test_own_penalty(space, work):
    scores = {l2: a5.ndcg_new(work, l2, work.split.valid, work.new_valid) for l2 in work.penalties}
    assert space["best_l2"] in scores, "best_l2 is one of work.penalties"
    assert scores[space["best_l2"]] == near(max(scores.values()), abs=1e-4), "best_l2 is not the best on validation"


# -- 6 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(6)
@pytest.mark.parametrize("seed", SEEDS)
def test_shuffle_of_others(space, seed):
    rng = np.random.default_rng(seed)
    content, has = rng.normal(size=(60, 5)), rng.random(60) > 0.3
    content[~has] = 0
    a5.check_shuffle(space["shuffled"], content, has, seed)


@pytest.mark.task(6)
def test_own_gain(space, work):
    def report(content):
        model = a5.Scored(work.P @ a5.vectors_of(work, space["best_l2"], content).T)
        return evaluate(model, work.split.test, work.split.train, metrics="ndcg", ks=20, candidates=work.new)

    dealt = space["shuffled"](work.content, work.has, 0)
    row = compare(report(work.content), report(dealt), "ndcg@20", test="t").iloc[0]
    difference, low, high = map(float, space["gain"])
    assert difference == near(row["difference"], abs=2e-3), "real minus shuffled (seed 0) on your own data"
    assert high - low == near(row["ci_high"] - row["ci_low"], rel=0.25), "the interval has another width: is it paired?"


# -- 7 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(7)
@pytest.mark.parametrize("seed", [501, 503, 504])
def test_questions_of_others(space, seed):
    a5.check_questions(space["greedy_questions"], *a5.an_interview(seed, n=20, asked=8))


@pytest.mark.task(7)
def test_own_questions(space, work):
    C = a5.moments(work)[1]
    got = np.asarray(space["my_questions"])
    assert got.tolist() == a5.greedy(C, 10, 0.02, work.pool).tolist(), "my_questions of your own customers"


# -- 8 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(8)
@pytest.mark.parametrize("answers", [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
def test_answers_of_others(space, answers):
    C, _, noise, _ = a5.an_interview(801, n=15)
    mean = np.linspace(0.05, 0.7, 15)
    a5.check_reading(space["read_answers"], mean, C, np.array([2, 9, 14, 5]), np.array(answers), noise)


@pytest.mark.task(8)
def test_much_noise_leaves_the_mean(space):
    C, *_ = a5.an_interview(802)
    mean = np.full(len(C), 0.3)
    got = space["read_answers"](mean, C, np.array([1, 4]), np.array([1.0, 0.0]), 1e9)
    assert np.asarray(got) == near(mean, abs=1e-6), "answers that are all noise must not move anything"


# -- 9 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(9)
@pytest.mark.parametrize("seed", range(901, 905))
@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_choice_of_others(space, seed, alpha):
    A, b, x, _ = a5.a_state(seed, n=200)
    a5.check_choice(space["linucb_choose"], A, b, x, alpha)


@pytest.mark.task(9)
@pytest.mark.parametrize("click", [0, 1])
def test_update_of_others(space, click):
    A, b, x, _ = a5.a_state(906)
    a5.check_update(space["linucb_update"], A, b, x[3], click)


@pytest.mark.task(9)
def test_a_whole_run(space, work):
    x = work.vectors
    A, b = 5.0 * np.eye(x.shape[1]), np.zeros(x.shape[1])
    true_a, true_b = A.copy(), b.copy()
    for visit in range(40):
        row = int(a5.worths(true_a, true_b, x, 0.3).argmax())
        click = bool(work.reactions[visit, 0, row])
        assert int(space["linucb_choose"](A, b, x, 0.3)) == row, f"another thing is shown at visit {visit + 1}"
        A, b = space["linucb_update"](A, b, x[row], click)
        true_a, true_b = true_a + np.outer(x[row], x[row]), true_b + click * x[row]
    assert np.asarray(A) == near(true_a)
