"""Hidden tests of assignment 2: the questions of the public checks with other inputs."""

import time

import numpy as np
import pytest
import torch

from mmrec_lib.coursework import a2

near = pytest.approx
SEEDS = (101, 102, 103)


# -- 1 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(1)
@pytest.mark.parametrize("seed", SEEDS)
def test_loss_of_other_models(space, seed):
    toy = a2.toy_model(seed, n_users=5, n_items=9, dim=4, n=20)
    expected = a2.mf_loss(**toy)
    assert space["mf_loss"](**toy) == near(expected), "the loss of another model with 20 ratings is wrong"


@pytest.mark.task(1)
def test_predictions_of_one_person_and_all_films(space):
    toy = a2.toy_model(104, n_users=2, n_items=6, dim=3, n=5)
    users, items = np.zeros(6, int), np.arange(6)
    arguments = {name: toy[name] for name in ("mean", "b_user", "b_item", "P", "Q")}
    got = np.asarray(space["predict"](**arguments, users=users, items=items))
    expected = toy["mean"] + toy["b_user"][0] + toy["b_item"] + toy["Q"] @ toy["P"][0]
    assert got.shape == (6,), "one prediction a pair"
    assert got == near(expected), "six films of the same person: the person's bias and vector come each time"


@pytest.mark.task(1)
def test_own_loss(space, work):
    assert space["my_loss"] == near(a2.mf_loss(**work.toy)), "my_loss is not the loss of work.toy"


# -- 2 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(2)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_of_other_ratings(space, seed):
    rating = a2.one_rating(a2.toy_model(seed, dim=5))
    got = np.concatenate([np.ravel(part) for part in space["rating_gradient"](**rating)])
    assert got == near(a2.gradient_of_rating(**rating)), "the gradient of another rating, with five factors, is wrong"


@pytest.mark.task(2)
def test_differences_of_a_table(space):
    x = np.arange(6.0).reshape(2, 3)
    got = np.asarray(space["numeric_gradient"](lambda v: (v**2).sum() + v[0, 1] * v[1, 2], x))
    expected = 2 * x
    expected[0, 1] += x[1, 2]
    expected[1, 2] += x[0, 1]
    assert got.shape == (2, 3), "the gradient has the shape of x, also when x is a table"
    assert got == near(expected, abs=1e-6)
    assert np.array_equal(x, np.arange(6.0).reshape(2, 3)), "x must stay as it was"


@pytest.mark.task(2)
def test_differences_are_central(space):
    got = np.ravel(space["numeric_gradient"](lambda v: float(v[0] ** 3), np.array([2.0]), h=0.1))
    assert got == near([12.01]), "(2.1^3 - 1.9^3) / 0.2 is 12.01"


# -- 3 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(3)
@pytest.mark.parametrize(("alpha", "l2"), [(0.5, 10.0), (40.0, 0.1)])
def test_vector_of_other_people(space, alpha, l2):
    rng = np.random.default_rng(31)
    Q, items = rng.normal(size=(30, 6)), np.sort(rng.choice(30, 8, replace=False))
    expected = a2.solve_user(Q, items, alpha, l2)
    assert np.asarray(space["als_user"](Q, items, alpha=alpha, l2=l2)) == near(expected), "another person is wrong"


@pytest.mark.task(3)
def test_it_is_the_minimum(space):
    rng = np.random.default_rng(32)
    Q, items, alpha, l2 = rng.normal(size=(10, 3)), np.array([0, 3]), 2.0, 1.0
    y = np.isin(np.arange(10), items)

    def loss(p):
        return ((1 + alpha * y) * (y - Q @ p) ** 2).sum() + l2 * (p @ p)

    p = np.asarray(space["als_user"](Q, items, alpha=alpha, l2=l2))
    around = [loss(p + step) for step in 0.01 * np.vstack([np.eye(3), -np.eye(3)])]
    assert loss(p) < min(around), "a small step away from your vector lowers the loss"


@pytest.mark.task(3)
def test_no_history(space):
    Q = np.random.default_rng(33).normal(size=(5, 2))
    got = space["als_user"](Q, np.array([], int), alpha=1.0, l2=1.0)
    assert np.asarray(got) == near(np.zeros(2)), "somebody who chose nothing gets zeros"


# -- 4 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(4)
def test_step_agrees_with_one_at_a_time(space):
    rng = np.random.default_rng(41)
    X, Q = (rng.random((25, 14)) < 0.2).astype(float), rng.normal(size=(14, 5))
    assert np.asarray(space["als_step"](X, Q, alpha=7.0, l2=2.0)) == near(a2.solve_rows(X, Q, 7.0, 2.0))


@pytest.mark.task(4)
def test_step_is_not_a_loop(space):
    a2.check_step(space["als_step"], 70, seed=42)


@pytest.mark.task(4)
@pytest.mark.parametrize("rounds", [1, 3])
def test_whole_algorithm(space, rounds):
    X = (np.random.default_rng(44).random((15, 10)) < 0.3).astype(float)
    P, Q = space["als"](X, dim=4, alpha=3.0, l2=0.7, rounds=rounds, seed=5)
    true_p, true_q = a2.factorise(X, 4, 3.0, 0.7, rounds, 5)
    assert np.asarray(Q) == near(true_q, abs=1e-6), f"the films' vectors after {rounds} round(s) with seed 5"
    assert np.asarray(P) == near(true_p, abs=1e-6), "after the last round solve for the people once more"


# -- 5 ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def seen(work):
    return work.split.train.to_csr().toarray() > 0


@pytest.mark.task(5)
def test_own_people(space, work, seen):
    users = work.split.train.user
    items = np.asarray(space["sample_negatives"](users, seen, np.random.default_rng(51)))
    assert not seen[users, items].any(), "a negative was chosen by its person, on your own training data"
    assert len(np.unique(items)) > 0.9 * seen.shape[1], "in a whole epoch nearly every film should come"


@pytest.mark.task(5)
def test_each_free_film_equally_often(space):
    seen = np.random.default_rng(52).random((4, 8)) < 0.5
    seen[:, 7] = False
    users = np.tile(np.arange(4), 6000)
    items = np.asarray(space["sample_negatives"](users, seen, np.random.default_rng(53)))
    for user in range(4):
        share = np.bincount(items[users == user], minlength=8) / 6000
        free = ~seen[user]
        assert share[free] == near(1 / free.sum(), abs=0.03), f"films are not equally likely: {share.round(3)}"


@pytest.mark.task(5)
def test_one_film_left(space):
    seen = np.ones((2, 40), bool)
    seen[0, 39] = seen[1, 0] = False
    items = np.asarray(space["sample_negatives"](np.array([0, 1, 0]), seen, np.random.default_rng(54)))
    assert items.tolist() == [39, 0, 39], "one film is left for each person, the first or the last"


@pytest.mark.task(5)
def test_chance_comes_from_rng(space, work, seen):
    users, rng = work.split.train.user[:500], np.random.default_rng(58)
    first, second = (np.asarray(space["sample_negatives"](users, seen, rng)) for _ in range(2))
    again = np.asarray(space["sample_negatives"](users, seen, np.random.default_rng(58)))
    assert np.array_equal(first, again), "the same generator must give the same films"
    assert not np.array_equal(first, second), "two calls with one generator must give different films"


@pytest.mark.task(5)
def test_fast_enough_for_an_epoch(space):
    seen = np.random.default_rng(55).random((50, 100)) < 0.5
    users = np.random.default_rng(56).integers(50, size=300_000)
    started = time.process_time()
    space["sample_negatives"](users, seen, np.random.default_rng(57))
    assert time.process_time() - started < 4, "300,000 negatives took more than 4 s: no loop over the pairs"


# -- 6 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(6)
def test_loss_of_other_scores(space):
    positive, negative = np.random.default_rng(61).normal(0, 3, (2, 50))
    expected = np.log1p(np.exp(negative - positive)).mean()
    assert space["bpr_loss"](positive, negative) == near(expected), "the loss of 50 other pairs is wrong"


@pytest.mark.task(6)
@pytest.mark.parametrize(("x", "expected"), [(-800.0, 800.0), (800.0, 0.0), (-40.0, 40.0)])
def test_loss_far_out(space, x, expected):
    with np.errstate(all="ignore"):
        got = space["bpr_loss"](np.array([x]), np.array([0.0]))
    assert got == near(expected, abs=1e-9), f"for a difference of {x:g} the loss is {expected:g}"


@pytest.mark.task(6)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_of_other_triples(space, seed):
    p, q_i, q_j = np.random.default_rng(seed).normal(size=(3, 6))
    got = np.stack([np.asarray(part) for part in space["bpr_gradient"](p, q_i, q_j, l2=0.15)])
    assert got == near(a2.gradient_of_triple(p, q_i, q_j, 0.15)), "the gradient of another triple is wrong"


@pytest.mark.task(6)
@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_far_out(space, sign):
    p, q_i, q_j = np.array([50.0, 0]), np.array([sign * 20.0, 0]), np.zeros(2)
    with np.errstate(all="ignore"):
        got = np.stack([np.asarray(part) for part in space["bpr_gradient"](p, q_i, q_j, l2=0.0)])
    expected = np.zeros((3, 2)) if sign > 0 else np.stack([q_j - q_i, -p, p])
    assert got == near(expected, abs=1e-9), f"for a difference of {sign * 1000} the gradient overflows"


# -- 7 ---------------------------------------------------------------------------------------------------------------
def trained(step, l2=0.25, steps=1, old=None, make=torch.optim.SGD):
    rng = torch.Generator().manual_seed(71)
    P, Q = (torch.randn(n, 3, generator=rng).requires_grad_() for n in (5, 7))
    if old is not None:
        P.grad, Q.grad = torch.full_like(P, old), torch.full_like(Q, old)
    optimiser = make([P, Q], lr=0.3)
    codes = [torch.tensor(c) for c in ([4, 1, 1, 0], [6, 2, 3, 3], [0, 5, 5, 1])]
    losses = [float(step(P, Q, optimiser, *codes, l2)) for _ in range(steps)]
    return losses, np.concatenate([P.detach().numpy(), Q.detach().numpy()])


@pytest.mark.task(7)
@pytest.mark.parametrize("l2", [0.0, 0.25])
def test_one_step(space, l2):
    (loss,), moved = trained(space["train_step"], l2=l2)
    (true_loss,), truth = trained(a2.step, l2=l2)
    assert moved == near(truth, abs=1e-5), f"P and Q after one step of SGD with l2 = {l2} are wrong"
    assert loss == near(true_loss, rel=1e-4), "the loss that is returned is wrong"


@pytest.mark.task(7)
def test_three_steps(space):
    losses, moved = trained(space["train_step"], steps=3)
    true_losses, truth = trained(a2.step, steps=3)
    assert moved == near(truth, abs=1e-4), "after three steps P and Q are wrong: are old gradients cleared each time?"
    assert losses == near(true_losses, rel=1e-4)


@pytest.mark.task(7)
def test_old_gradients_and_another_optimiser(space):
    _, moved = trained(space["train_step"], old=-3.0, make=torch.optim.Adam)
    _, truth = trained(a2.step, make=torch.optim.Adam)
    assert moved == near(truth, abs=1e-3), "what stood in .grad before the call must not count"


# -- 8 ---------------------------------------------------------------------------------------------------------------
OPTIONS = {"l2": 0.02, "learning_rate": 0.04}


@pytest.mark.task(8)
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_epochs(space, batch_size):
    train = a2.planted(81)
    log = a2.watch(space["train_bpr"], train, dim=3, epochs=3, batch_size=batch_size, seed=4, **OPTIONS)
    a2.check_epochs(log, train, epochs=3, batch_size=batch_size, l2=0.02)


@pytest.mark.task(8)
def test_it_learns(space):
    train = a2.planted(82)
    P, Q = space["train_bpr"](train, dim=6, epochs=10, batch_size=50, seed=5, step=a2.step, sample=a2.draw, **OPTIONS)
    assert a2.ordered(np.asarray(P), np.asarray(Q), train) > 0.9, "two groups of people are not told apart"


@pytest.mark.task(8)
def test_the_seed_decides(space):
    def run(seed):
        torch.manual_seed(time.time_ns() % 2**31)
        more = {"step": a2.step, "sample": a2.draw, **OPTIONS}
        return np.asarray(space["train_bpr"](a2.planted(83), dim=3, epochs=2, batch_size=32, seed=seed, **more)[0])

    assert run(6) == near(run(6), abs=1e-5), "the same seed gives other vectors"
    assert not np.allclose(run(6), run(7)), "another seed gives the same vectors"


# -- 9 ---------------------------------------------------------------------------------------------------------------
@pytest.mark.task(9)
@pytest.mark.parametrize(
    ("valid", "test", "train"),
    [([0.4, 0.1, 0.3], [0.1, 0.2, 0.9], [0.5, 0.9, 0.6]), ([0.1, 0.2, 0.3, 0.3, 0.0], [0.5, 0, 0, 0.1, 0.2], [1] * 5)],
)
def test_choice(space, valid, test, train):
    a2.check_choice(space["choose"], valid, test, train)


@pytest.mark.task(9)
def test_own_neighbours(space, work):
    truth = [a2.ndcg(a2._item_neighbours(work, s), work.split.valid, work) for s in work.settings["itemknn"]]
    assert np.asarray(space["validation"]["itemknn"], float) == near(truth, abs=1e-4), "validation scores of itemknn"
    assert space["chosen"]["itemknn"] == work.settings["itemknn"][int(np.argmax(truth))], "the chosen itemknn"


@pytest.mark.task(9)
def test_own_factor_models(space, work):
    for name in ("als", "bpr"):
        scores = np.asarray(space["validation"][name], float)
        assert scores.shape == (6,), f"six validation scores of {name}"
        assert np.isfinite(scores).all(), f"validation scores of {name} that are no numbers"
        assert scores.max() > 0.08, f"{name} with its best setting is no better than showing everybody the same"
        assert space["chosen"][name] == work.settings[name][int(scores.argmax())], f"the chosen setting of {name}"


# -- 10 --------------------------------------------------------------------------------------------------------------
@pytest.mark.task(10)
def test_interval_of_other_scores(space):
    rng = np.random.default_rng(1001)
    b = rng.beta(1, 3, 400)
    a = np.clip(b - 0.03 + rng.normal(0, 0.05, 400), 0, 1)
    difference, low, high = space["paired_interval"](a, b, n_boot=1500, seed=9)
    half = 1.96 * (a - b).std() / 20
    assert difference == near((a - b).mean()), "the difference is the mean of a - b"
    assert low < difference < high
    assert high - low == near(2 * half, rel=0.1), "the interval has the wrong width: pair the people"


@pytest.mark.task(10)
def test_nothing_uncertain(space):
    b = np.random.default_rng(1002).random(50)
    got = space["paired_interval"](b - 0.2, b)
    assert np.asarray(got, float) == near(-0.2), "the same difference for everybody leaves nothing uncertain"


@pytest.mark.task(10)
def test_own_comparison(space, work):
    truth = per_person(a2._item_neighbours(work, space["chosen"]["itemknn"]), work)
    got = np.asarray(space["test_scores"]["itemknn"], float)
    assert got.shape == truth.shape, "one test score for each person with test films"
    assert got == near(truth, abs=1e-4), "test scores of the chosen item neighbours"
    gap = np.asarray(space["test_scores"]["als"], float) - got
    difference, low, high = space["comparison"]
    assert difference == near(gap.mean(), abs=1e-6), "comparison is ALS minus item neighbours"
    assert high - low == near(2 * 1.96 * gap.std() / np.sqrt(len(gap)), rel=0.2)


def per_person(model, work):
    from mmrec_lib.evaluation import evaluate

    report = evaluate(model, work.split.test, train=work.split.train, metrics="ndcg", ks=10, n_boot=2)
    return report.per_user["ndcg@10"].to_numpy()


# -- 11 --------------------------------------------------------------------------------------------------------------
@pytest.mark.task(11)
@pytest.mark.parametrize("k", [1, 5])
def test_list_of_somebody_else(space, k):
    Q = np.random.default_rng(1101).normal(size=(20, 4))
    items, options = np.array([0, 3, 19]), {"alpha": 2.0, "l2": 1.5}
    got = np.asarray(space["for_newcomer"](Q, items, k=k, solve=a2.solve_user, **options))
    a2.check_list(got, Q, items, k, **options)


@pytest.mark.task(11)
def test_own_newcomer(space, work):
    setting = space["chosen"]["als"]
    X = work.split.train.to_csr().toarray().astype(float)
    _, Q = a2.factorise(X, setting["dim"], setting["alpha"], setting["l2"], 10, 0)
    scores = Q @ a2.solve_user(Q, work.newcomer, setting["alpha"], setting["l2"])
    scores[work.newcomer] = -np.inf
    best = set(np.argsort(-scores)[:10].tolist())
    assert len(best & set(np.asarray(space["newcomer_list"]).tolist())) >= 9, "ten films for work.newcomer"
