"""Checks of the second assignment: matrix factorisation and BPR from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from ..data import Dataset, Interactions, split
from ..datasets import load
from .checking import Assignment, Failed, call, close

assignment = Assignment("a2", "Matrix factorisation and BPR from scratch", hours=(6, 8))

#: People of ml-100k that a student works with, and how many of them a film needs.
N_PEOPLE, LEAST = 300, 10
#: The same number of settings for each model: nobody is tuned harder than the others.
SETTINGS = {
    "itemknn": [{"k": k, "shrinkage": s} for s in (0, 10) for k in (20, 50, 100)],
    "als": [{"dim": d, "alpha": 1.2, "l2": l2} for d in (8, 16, 32) for l2 in (3, 10)],
    "bpr": [{"dim": d, "l2": l2} for d in (16, 32) for l2 in (0.003, 0.03, 0.1)],
}


# -- the student's own data ----------------------------------------------------------------------------------------
@assignment.personal
def personal(seed: int) -> dict:
    """300 people of ml-100k, the films that at least ten of them rated, a random split, a toy model, a newcomer."""
    everything = load("ml-100k")
    rng = np.random.default_rng(seed)
    order = rng.permutation(everything.n_users)
    people = np.sort(order[:N_PEOPLE])
    events = everything.interactions
    here = np.isin(events.user, people)
    films = np.flatnonzero(np.bincount(events.item[here], minlength=everything.n_items) >= LEAST)
    here &= np.isin(events.item, films)
    own = Interactions(
        np.searchsorted(people, events.user[here]),
        np.searchsorted(films, events.item[here]),
        events.value[here],
        events.time[here],
        len(people),
        len(films),
    )
    data = Dataset(interactions=own, users=everything.users.iloc[people], items=everything.items.iloc[films])
    toy = toy_model(seed)
    return {
        "data": data,
        "split": split(data, how="random", seed=seed % 2**31),
        "toy": toy,
        "rating": one_rating(toy),
        "newcomer": _newcomer(everything, order[N_PEOPLE:], films),
        "settings": SETTINGS,
    }


def toy_model(seed: int, n_users: int = 3, n_items: int = 5, dim: int = 2, n: int = 7) -> dict:
    """The arguments of ``mf_loss``: small numbers with one decimal, to be followed on paper."""
    rng = np.random.default_rng(seed)
    pairs = np.sort(rng.choice(n_users * n_items, n, replace=False))
    return {
        "mean": 3.5,
        "b_user": rng.integers(-5, 6, n_users) / 10,
        "b_item": rng.integers(-9, 10, n_items) / 10,
        "P": rng.integers(-15, 16, (n_users, dim)) / 10,
        "Q": rng.integers(-15, 16, (n_items, dim)) / 10,
        "users": pairs // n_items,
        "items": pairs % n_items,
        "ratings": rng.integers(1, 6, n).astype(float),
        "l2": float(rng.integers(1, 4)) / 10,
    }


def one_rating(toy: Mapping) -> dict:
    """The arguments of ``rating_gradient``: the first rating of a toy model."""
    u, i = toy["users"][0], toy["items"][0]
    return {
        "mean": toy["mean"],
        "b_u": toy["b_user"][u],
        "b_i": toy["b_item"][i],
        "p": toy["P"][u],
        "q": toy["Q"][i],
        "r": toy["ratings"][0],
        "l2": toy["l2"],
    }


def _newcomer(everything: Dataset, others: np.ndarray, films: np.ndarray) -> np.ndarray:
    """Five liked films of somebody who is not among the student's people, as codes of the student's films."""
    liked = everything.interactions.at_least(4)
    liked = liked.select(np.isin(liked.item, films))
    counts = liked.user_counts()
    person = others[counts[others] >= 20][0]
    return np.sort(np.searchsorted(films, liked.item[liked.user == person][:5]))


# -- the same in few lines, to compare with ------------------------------------------------------------------------
def mf_loss(mean, b_user, b_item, P, Q, users, items, ratings, l2) -> float:
    error = ratings - (mean + b_user[users] + b_item[items] + (P[users] * Q[items]).sum(axis=1))
    penalty = b_user[users] ** 2 + b_item[items] ** 2 + (P[users] ** 2).sum(axis=1) + (Q[items] ** 2).sum(axis=1)
    return float((error**2 + l2 * penalty).sum() / 2)


def gradient_of_rating(mean, b_u, b_i, p, q, r, l2, error=-1.0, penalty=1.0) -> np.ndarray:
    """All parts in one array; ``error`` and ``penalty`` are their signs, for typical mistakes."""
    e = error * (r - mean - b_u - b_i - p @ q)
    l2 = penalty * l2
    return np.concatenate([[e + l2 * b_u], [e + l2 * b_i], e * q + l2 * p, e * p + l2 * q])


def solve_user(Q, items, alpha, l2, everything=1.0, confidence=1.0) -> np.ndarray:
    own = Q[np.asarray(items, int)]
    left = everything * Q.T @ Q + alpha * own.T @ own + l2 * np.eye(Q.shape[1])
    return np.linalg.solve(left, (1 + confidence * alpha) * own.sum(axis=0))


def solve_rows(X, Q, alpha, l2) -> np.ndarray:
    return np.stack([solve_user(Q, np.flatnonzero(row), alpha, l2) for row in X])


def factorise(X, dim, alpha, l2, rounds, seed) -> tuple[np.ndarray, np.ndarray]:
    Q = np.random.default_rng(seed).normal(0, 0.1 / np.sqrt(dim), (X.shape[1], dim))
    for _ in range(rounds):
        P = solve_rows(X, Q, alpha, l2)
        Q = solve_rows(X.T, P, alpha, l2)
    return solve_rows(X, Q, alpha, l2), Q


def draw(users, seen, rng) -> np.ndarray:
    items = rng.integers(seen.shape[1], size=len(users))
    while (wrong := seen[users, items]).any():
        items[wrong] = rng.integers(seen.shape[1], size=wrong.sum())
    return items


def gradient_of_triple(p, q_i, q_j, l2, doubt=1.0, penalty=1.0) -> np.ndarray:
    g = doubt / (1 + np.exp(np.minimum(p @ (q_i - q_j), 700.0)))
    l2 = penalty * l2
    return np.stack([-g * (q_i - q_j) + l2 * p, -g * p + l2 * q_i, g * p + l2 * q_j])


def step(P, Q, optimiser, users, positive, negative, l2) -> float:
    p, q_i, q_j = P[users], Q[positive], Q[negative]
    loss = (F.softplus(-(p * (q_i - q_j)).sum(1)) + l2 / 2 * (p**2 + q_i**2 + q_j**2).sum(1)).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def _parts(got, names: str) -> list[np.ndarray]:
    wanted = names.split(", ")
    if not isinstance(got, (tuple, list)) or len(got) != len(wanted):
        raise Failed(f"return {len(wanted)} things, `return {names}`; got {type(got).__name__}")
    return [np.asarray(part, float) for part in got]


# -- 1 ---------------------------------------------------------------------------------------------------------------
@assignment.task(1, "Prediction and loss", points=8, needs=["predict", "mf_loss", "my_loss"])
def prediction_and_loss(space) -> None:
    by_hand = {
        "mean": 3.0,
        "b_user": np.array([0.5]),
        "b_item": np.array([-0.5]),
        "P": np.array([[1.0, 0.0]]),
        "Q": np.array([[0.5, 2.0]]),
        "users": np.array([0]),
        "items": np.array([0]),
    }
    got = call(space["predict"], **by_hand)
    close(
        got,
        np.array([3.5]),
        "the prediction of the worked example",
        wrong=[(np.array([0.5]), "the mean rating is missing"), (np.array([3.0]), "the dot product is missing")],
    )
    toy = toy_model(11, n_users=4, n_items=6, dim=3, n=9)
    given = {name: toy[name] for name in ("mean", "b_user", "b_item", "P", "Q", "users", "items")}
    truth = mf_loss(**toy)
    error = toy["ratings"] - _predictions(toy)
    got = np.asarray(call(space["predict"], **given))
    if got.ndim == 2:
        raise Failed(f"predict gives a table {got.shape}: one number a pair is wanted, users[n] with items[n]")
    without_mean = (_predictions(toy) - toy["mean"], "the mean rating is missing from the prediction")
    close(got, _predictions(toy), "predict for nine pairs", wrong=[without_mean])
    got = call(space["mf_loss"], **toy)
    once = sum((toy[name] ** 2).sum() for name in ("b_user", "b_item", "P", "Q"))
    wrong = {
        float((error**2).sum() / 2): "the regularisation is missing: each rating also costs l2 times four squares",
        2 * truth: "the factor 1/2 in front of the sum is missing",
        truth / len(error): "you took the mean; the loss is a sum over the ratings",
        float((error**2).sum() - truth): "the regularisation has the wrong sign: it must make the loss larger",
        float(((error**2).sum() + toy["l2"] * once) / 2): "the penalty is counted once a person and film; "
        "the chapter counts it once a rating",
    }
    close(got, truth, "mf_loss of a model with four people and six films", wrong=wrong)
    close(
        space["my_loss"],
        mf_loss(**space.work.toy),
        "my_loss",
        wrong={truth: "this is the loss of other data: use work.toy"},
    )


def _predictions(toy: Mapping) -> np.ndarray:
    u, i = toy["users"], toy["items"]
    return toy["mean"] + toy["b_user"][u] + toy["b_item"][i] + (toy["P"][u] * toy["Q"][i]).sum(axis=1)


# -- 2 ---------------------------------------------------------------------------------------------------------------
@assignment.task(2, "The gradient of one rating", points=8, needs=["rating_gradient", "numeric_gradient"])
def gradient_of_one_rating(space) -> None:
    x = np.array([1.0, 2.0])
    got = call(space["numeric_gradient"], lambda v: v[0] ** 3 + v[0] * v[1], x, h=0.01)
    close(
        np.asarray(got, float),
        np.array([5.0001, 1.0]),
        "numeric_gradient of x0^3 + x0 x1 at (1, 2) with h = 0.01",
        wrong=[
            (np.array([5.0301, 1.0]), "these are one-sided differences; take f(x + h) - f(x - h) over 2h"),
            (np.array([10.0002, 2.0]), "divide by 2h: the two points are 2h apart"),
        ],
    )
    if not np.array_equal(x, [1.0, 2.0]):
        raise Failed("numeric_gradient changes the x that it was given: work on a copy")
    for rating in (one_rating(toy_model(12)), space.work.rating):
        got = _parts(call(space["rating_gradient"], **rating), "g_bu, g_bi, g_p, g_q")
        if [part.size for part in got] != [1, 1, len(rating["p"]), len(rating["q"])]:
            raise Failed("g_bu and g_bi are single numbers, g_p and g_q have the length of p and q")
        got = np.concatenate([part.ravel() for part in got])
        truth = gradient_of_rating(**rating)
        close(
            got,
            truth,
            f"rating_gradient of a rating of {rating['r']:g} stars (g_bu, g_bi, g_p, g_q in a row)",
            wrong=[
                (
                    gradient_of_rating(**rating, error=1.0),
                    "the error has the wrong sign, and the gradient leads uphill: the prediction stands behind a minus",
                ),
                (
                    gradient_of_rating(**rating, penalty=-1.0),
                    "the regularisation has the wrong sign: it must pull towards zero",
                ),
                (gradient_of_rating(**rating, penalty=0.0), "the regularisation is missing from the gradient"),
                (2 * truth, "twice too large: the factor 1/2 of the loss is used up by the derivative of the square"),
                (-truth, "both signs are turned: this is the step downhill, not the gradient"),
            ],
        )


# -- 3 ---------------------------------------------------------------------------------------------------------------
@assignment.task(3, "ALS for one person", points=8, needs=["als_user"])
def als_for_one_person(space) -> None:
    tiny = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    for Q, items, alpha, l2 in (
        (tiny, [0], 3.0, 1.0),
        (np.random.default_rng(3).normal(size=(9, 3)), [1, 4, 5], 2.0, 0.5),
    ):
        got = call(space["als_user"], Q, np.array(items), alpha=alpha, l2=l2)
        own, twice = Q[items], (1 + alpha) * Q[items].sum(axis=0)
        too_much = np.linalg.solve(Q.T @ Q + (1 + alpha) * own.T @ own + l2 * np.eye(Q.shape[1]), twice)
        close(
            np.asarray(got),
            solve_user(Q, items, alpha, l2),
            f"als_user of a person who chose {items}",
            wrong=[
                (
                    solve_user(Q, items, alpha, 0.0),
                    "the identity is missing: add l2 times np.eye(d) before you solve",
                ),
                (
                    np.linalg.solve(Q.T @ Q + alpha * own.T @ own + l2, twice),
                    "l2 was added to every cell of the matrix; it belongs on the diagonal only",
                ),
                (
                    solve_user(Q, items, alpha, l2, everything=0.0),
                    "the zeros are missing: Q.T @ Q runs over all films, not over the chosen ones",
                ),
                (
                    solve_user(Q, items, alpha, l2, confidence=0.0),
                    "on the right-hand side each chosen film counts 1 + alpha times",
                ),
                (too_much, "in the matrix a chosen film gets alpha on top; its 1 is in Q.T @ Q already"),
            ],
        )
    nothing = call(space["als_user"], tiny, np.array([], int), alpha=3.0, l2=1.0)
    close(np.asarray(nothing), np.zeros(2), "als_user of a person who chose nothing")


# -- 4 ---------------------------------------------------------------------------------------------------------------
@assignment.task(4, "ALS for everybody at once", points=8, needs=["als_step", "als"])
def als_for_everybody(space) -> None:
    X = check_step(space["als_step"], 40, seed=4)
    P, Q = _parts(call(space["als"], X, dim=3, alpha=2.0, l2=0.5, rounds=2, seed=7), "P, Q")
    truth_p, truth_q = factorise(X, 3, 2.0, 0.5, 2, 7)
    if P.shape != truth_p.shape or Q.shape != truth_q.shape:
        raise Failed(f"als returns P {P.shape} and Q {Q.shape}; expected {truth_p.shape} and {truth_q.shape}")
    if np.allclose(Q, truth_q, atol=1e-6) and not np.allclose(P, truth_p, atol=1e-6):
        raise Failed("P does not belong to this Q: after the last round solve for the people once more")
    close(P @ Q.T, truth_p @ truth_q.T, "the scores P @ Q.T of als with seed 7 after two rounds")


def check_step(als_step, n_people: int, seed: int) -> np.ndarray:
    """The right vectors, and all of them in few systems of equations; returns the table that was used."""
    rng = np.random.default_rng(seed)
    X, Q = (rng.random((n_people, 12)) < 0.3).astype(float), rng.normal(size=(12, 3))
    X[0] = 0
    solvers = [mock.patch.object(np.linalg, name, wraps=getattr(np.linalg, name)) for name in ("solve", "inv")]
    with solvers[0] as solve, solvers[1] as inv:
        got = call(als_step, X, Q, alpha=2.0, l2=0.5)
    close(np.asarray(got), solve_rows(X, Q, 2.0, 0.5), f"als_step of {n_people} people and 12 films")
    count = solve.call_count + inv.call_count
    if count > 5:
        raise Failed(
            f"right, but one system at a time ({count} for {n_people} people): stack the matrices to (people, d, d), "
            "and np.linalg.solve solves them all in one call"
        )
    return X


# -- 5 ---------------------------------------------------------------------------------------------------------------
@assignment.task(5, "Negatives that nobody chose", points=8, needs=["sample_negatives"])
def negatives(space) -> None:
    seen = np.zeros((3, 6), bool)
    seen[0, [1, 3, 4]] = seen[1, :5] = True
    users = np.repeat([0, 1, 2], 2000)
    got = np.asarray(call(space["sample_negatives"], users, seen, np.random.default_rng(0)))
    if got.shape != users.shape:
        raise Failed(f"give one film for each entry of users: shape {users.shape}; got {got.shape}")
    if not np.issubdtype(got.dtype, np.integer):
        raise Failed(f"film codes are integers; got {got.dtype}")
    if got.min() < 0 or got.max() >= 6:
        raise Failed(f"there are films 0 to 5; got {got.min()} to {got.max()}")
    taken = seen[users, got]
    if taken.any():
        raise Failed(
            f"{taken.mean():.0%} of the negatives are films that the person has chosen (person {users[taken][0]}, "
            f"film {got[taken][0]}): the model would be told to push down what they like"
        )
    for user in range(3):
        share = np.bincount(got[users == user], minlength=6) / 2000
        free = ~seen[user]
        if np.abs(share[free] - 1 / free.sum()).max() > 0.05:
            raise Failed(
                f"person {user} has {free.sum()} films that they have not chosen, and each should come equally often; "
                f"the shares are {share[free].round(2).tolist()}"
            )
    again = np.asarray(call(space["sample_negatives"], users, seen, np.random.default_rng(0)))
    if not np.array_equal(got, again):
        raise Failed("two generators with the same seed must give the same films: draw from rng and nothing else")
    rng = np.random.default_rng(1)
    first, second = (np.asarray(call(space["sample_negatives"], users, seen, rng)) for _ in range(2))
    if np.array_equal(first, second):
        raise Failed("two calls with one generator give the same films: draw from the rng that is passed in")


# -- 6 ---------------------------------------------------------------------------------------------------------------
@assignment.task(6, "The loss of BPR and its gradient", points=8, needs=["bpr_loss", "bpr_gradient"])
def loss_of_bpr(space) -> None:
    positive, negative = np.array([2.0, 0.0, 1.0]), np.array([0.0, 0.0, 2.0])
    truth = float(np.logaddexp(0, negative - positive).mean())
    close(
        call(space["bpr_loss"], positive, negative),
        truth,
        "bpr_loss([2, 0, 1], [0, 0, 2])",
        wrong={
            float(np.logaddexp(0, positive - negative).mean()): "positive and negative are swapped: this loss is small "
            "when the film that was not chosen scores higher",
            -truth: "the minus sign is missing: a loss is small when the order is right",
            3 * truth: "this is the sum; take the mean over the pairs",
        },
    )
    with np.errstate(all="ignore"):
        far = call(space["bpr_loss"], np.array([-1000.0]), np.array([0.0]))
    if not np.isfinite(far):
        raise Failed(
            f"bpr_loss([-1000], [0]) is {far}: exp(1000) overflows, and log(sigmoid) of it is lost. "
            "-log(sigmoid(x)) is log(1 + exp(-x)): np.logaddexp(0, -x) computes it without overflow"
        )
    close(far, 1000.0, "bpr_loss([-1000], [0])")
    rng = np.random.default_rng(6)
    examples = [
        (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 0.0]), 0.2),
        (*rng.normal(size=(3, 4)), 0.3),
        (np.array([40.0, 0.0]), np.array([-40.0, 0.0]), np.array([0.0, 0.0]), 0.0),
    ]
    for p, q_i, q_j, l2 in examples:
        with np.errstate(all="ignore"):
            got = np.stack(_parts(call(space["bpr_gradient"], p, q_i, q_j, l2=l2), "g_p, g_i, g_j"))
        truth = gradient_of_triple(p, q_i, q_j, l2)
        if not np.isfinite(got).all():
            raise Failed("bpr_gradient is not finite for vectors of length 40: look for an exp of a large number")
        close(
            got,
            truth,
            "bpr_gradient (rows g_p, g_i, g_j)",
            wrong=[
                (
                    gradient_of_triple(p, q_i, q_j, l2, doubt=-1.0),
                    "positive and negative are swapped in the gradient: a step against it lowers the chosen film",
                ),
                (gradient_of_triple(p, q_i, q_j, l2, penalty=-1.0), "the regularisation has the wrong sign"),
                (gradient_of_triple(p, q_i, q_j, l2, penalty=0.0), "the regularisation is missing from the gradient"),
                (
                    gradient_of_triple(p, q_i, q_j, l2, penalty=2.0),
                    "l2 enters as l2 / 2 times the square, so its derivative is l2 times the vector",
                ),
                (-truth, "this is the step downhill; the gradient has the opposite sign"),
            ],
        )


# -- 7 ---------------------------------------------------------------------------------------------------------------
@assignment.task(7, "One step in PyTorch", points=8, needs=["train_step"])
def one_step(space) -> None:
    users, positive, negative = (torch.tensor(codes) for codes in ([0, 2, 2], [1, 0, 3], [2, 4, 4]))

    def after(function, l2=0.4, old=None, wrong_order=False):
        rng = torch.Generator().manual_seed(0)
        P, Q = (torch.randn(n, 2, generator=rng).requires_grad_() for n in (4, 6))
        if old is not None:
            P.grad, Q.grad = torch.full_like(P, old), torch.full_like(Q, old)
        first, second = (negative, positive) if wrong_order else (positive, negative)
        optimiser = torch.optim.SGD([P, Q], lr=0.5)
        loss = call(function, P, Q, optimiser, users, first, second, l2)
        return loss, np.concatenate([P.detach().numpy(), Q.detach().numpy()])

    start = after(lambda *_: 0.0)[1]
    loss, moved = after(space["train_step"])
    if np.allclose(moved, start):
        raise Failed("nothing has moved: loss.backward(), then optimiser.step()")
    true_loss, truth = after(step)
    if not np.allclose(moved[[1, 3]], start[[1, 3]]):
        raise Failed("people who are not in the batch have moved: penalise the vectors of the batch only")
    plain, swapped = after(step, l2=0.0)[1], after(step, wrong_order=True)[1]
    wrong_sign, summed = after(step, l2=-0.4)[1], start + 3 * (truth - start)
    close(
        moved,
        truth,
        "P and Q after one step of SGD (P above, Q below)",
        wrong=[
            (plain, "the regularisation is missing from the loss"),
            (wrong_sign, "the regularisation has the wrong sign: the vectors grow"),
            (swapped, "positive and negative are swapped: the step moves the chosen film down"),
            (summed, "the step is three times too long for three triples: take the mean over the batch"),
            (after(step, l2=0.8)[1], "the penalty is twice too large: it is l2 / 2 times the squares"),
        ],
        rtol=1e-4,
        atol=1e-5,
    )
    dirty = after(space["train_step"], old=5.0)[1]
    if not np.allclose(dirty, truth, atol=1e-4):
        raise Failed(
            "old gradients are still there: .grad held 5.0 before the call and was added to the new one. "
            "Call optimiser.zero_grad() before loss.backward()"
        )
    if isinstance(loss, torch.Tensor):
        raise Failed("return the loss as a number, loss.item(): a tensor keeps the whole graph in memory")
    close(loss, true_loss, "the loss that train_step returns", rtol=1e-4)


# -- 8 ---------------------------------------------------------------------------------------------------------------
@assignment.task(8, "The training loop", points=8, needs=["train_bpr"])
def training_loop(space) -> None:
    X = (np.random.default_rng(8).random((12, 9)) < 0.4).astype(float)
    X[:, 0], X[0] = 0, 1
    X[0, 0] = 0
    train = Interactions(*np.nonzero(X), n_users=12, n_items=9)
    settings = {"dim": 4, "l2": 0.07, "learning_rate": 0.05, "batch_size": 16}
    seen_by_step = watch(space["train_bpr"], train, epochs=2, seed=0, **settings)
    check_epochs(seen_by_step, train, epochs=2, batch_size=16, l2=0.07)
    halves = planted(0)
    options = {"dim": 4, "l2": 0.01, "learning_rate": 0.05, "batch_size": 64, "step": step, "sample": draw}
    P, Q = _parts(call(space["train_bpr"], halves, epochs=8, seed=1, **options), "P, Q")
    if P.shape != (halves.n_users, 4) or Q.shape != (halves.n_items, 4):
        raise Failed(f"P is {P.shape} and Q {Q.shape}; expected ({halves.n_users}, 4) and ({halves.n_items}, 4)")
    torch.manual_seed(99)
    again, _ = _parts(call(space["train_bpr"], halves, epochs=8, seed=1, **options), "P, Q")
    if not np.allclose(P, again, atol=1e-5):
        raise Failed(
            "two runs with seed 1 differ: draw the start, the order and the negatives from generators made with seed "
            "(np.random.default_rng(seed)), not from the global one"
        )
    other, _ = _parts(call(space["train_bpr"], halves, epochs=8, seed=2, **options), "P, Q")
    if np.allclose(P, other):
        raise Failed("seeds 1 and 2 give the same vectors: the seed is not used")
    if ordered(P, Q, halves) < 0.9:
        raise Failed(
            f"two groups of people with films of their own, and only {ordered(P, Q, halves):.0%} of the triples are in "
            "the right order after training; more than 90 % is easy here"
        )


def planted(seed: int) -> Interactions:
    """Two groups of people, each with films of its own; one choice in three is missing."""
    group = (np.arange(30)[:, None] % 2) == (np.arange(20)[None] % 2)
    chosen = group & (np.random.default_rng(seed).random((30, 20)) < 0.67)
    return Interactions(*np.nonzero(chosen), n_users=30, n_items=20)


def ordered(P, Q, train: Interactions) -> float:
    """Share of the triples (person, chosen, not chosen) that are scored in this order."""
    scores, chosen = P @ Q.T, train.to_csr().toarray() > 0
    return float(np.mean([(s[c][:, None] > s[~c]).mean() for s, c in zip(scores, chosen, strict=True) if c.any()]))


def watch(train_bpr, train: Interactions, **settings) -> list[dict]:
    """Run the loop with a step that learns nothing and writes down what it is given."""
    log = []

    def recorder(P, Q, optimiser, users, positive, negative, l2):
        codes = [np.asarray(torch.as_tensor(c)).copy() for c in (users, positive, negative)]
        log.append({"P": P, "Q": Q, "optimiser": optimiser, "l2": l2, "codes": codes})
        return 0.7

    call(train_bpr, train, step=recorder, sample=draw, **settings)
    return log


def check_epochs(log: list[dict], train: Interactions, epochs: int, batch_size: int, l2: float) -> None:
    """Each pair once an epoch, in another order, in batches, against films that the person has not chosen."""
    if not log:
        raise Failed("the loop never calls step(P, Q, optimiser, users, positive, negative, l2)")
    for name in ("P", "Q"):
        tensor = log[0][name]
        if not isinstance(tensor, torch.Tensor) or not tensor.requires_grad:
            raise Failed(f"step gets {name} as a tensor that learns: torch.tensor(..., requires_grad=True)")
    if not isinstance(log[0]["optimiser"], torch.optim.Optimizer):
        raise Failed("the third argument of step is the optimiser: torch.optim.Adam([P, Q], lr=learning_rate)")
    learned = [id(p) for group in log[0]["optimiser"].param_groups for p in group["params"]]
    if {id(log[0]["P"]), id(log[0]["Q"])} - set(learned):
        raise Failed("the optimiser must be given both P and Q: torch.optim.Adam([P, Q], lr=learning_rate)")
    if len({id(entry["optimiser"]) for entry in log}) > 1:
        raise Failed("a new optimiser for every batch forgets what Adam has learned: make it once, before the loop")
    if log[0]["l2"] != l2:
        raise Failed(f"step was given l2 = {log[0]['l2']}; the loop was called with {l2}")
    sizes = [len(entry["codes"][0]) for entry in log]
    if max(sizes) > batch_size:
        raise Failed(f"a batch has {max(sizes)} pairs; at most batch_size = {batch_size} were asked for")
    users, positive, negative = (np.concatenate([entry["codes"][n] for entry in log]) for n in range(3))
    n = len(train)
    if len(users) != epochs * n:
        raise Failed(
            f"{epochs} epochs over {n} pairs are {epochs * n} pairs; your loop showed {len(users)}. "
            "Each pair comes once an epoch, those of the last, shorter batch too"
        )
    keys = users.astype(np.int64) * train.n_items + positive
    for epoch in range(epochs):
        if not np.array_equal(np.sort(keys[epoch * n : (epoch + 1) * n]), np.sort(train.keys())):
            raise Failed(f"in epoch {epoch + 1} some pairs come twice and some not at all: shuffle with permutation")
    if np.array_equal(keys[:n], train.keys()) or np.array_equal(keys[:n], keys[n : 2 * n]):
        raise Failed("every epoch has the same order: shuffle the pairs anew at the start of each epoch")
    taken = (train.to_csr().toarray() > 0)[users, negative]
    if taken.any():
        raise Failed(f"{taken.mean():.0%} of the negatives were chosen by the person: use sample(users, seen, rng)")
    if np.array_equal(negative[np.argsort(keys[:n])], negative[n + np.argsort(keys[n : 2 * n])]):
        raise Failed("each pair meets the same negative in every epoch: draw anew for each batch")


# -- 9 ---------------------------------------------------------------------------------------------------------------
@assignment.task(9, "Choosing on validation", points=7, needs=["choose", "chosen", "validation"])
def choosing(space) -> None:
    check_choice(space["choose"], valid=[0.2, 0.5, 0.3, 0.1], test=[0.1, 0.2, 0.6, 0.3], train=[0.3, 0.4, 0.5, 0.9])
    chosen, validation = space["chosen"], space["validation"]
    for name, settings in space.work.settings.items():
        if name not in chosen or name not in validation:
            raise Failed(f"chosen and validation have no entry {name!r}: choose for all three models")
        scores = np.asarray(validation[name], float)
        if scores.shape != (len(settings),):
            raise Failed(f"validation[{name!r}] should hold one score for each of the {len(settings)} settings")
        if chosen[name] != settings[int(scores.argmax())]:
            raise Failed(f"chosen[{name!r}] is not the setting with the highest score in validation[{name!r}]")
    model = _item_neighbours(space.work, space.work.settings["itemknn"][0])
    close(
        float(validation["itemknn"][0]),
        ndcg(model, space.work.split.valid, space.work),
        "the first validation score of the item neighbours",
        wrong={
            ndcg(model, space.work.split.test, space.work): "this is the score on the test part: "
            "you tuned on test, and the test score is no longer worth anything",
        },
    )


def check_choice(choose, valid, test, train) -> None:
    """Run ``choose`` on made-up models whose scores on the parts disagree."""
    settings = [{"dim": 2**n} for n in range(len(valid))]
    parts = SimpleNamespace(train=object(), valid=object(), test=object())
    scores = {id(parts.valid): valid, id(parts.test): test, id(parts.train): train}
    fitted_on, judged_on = [], []

    def fit(setting, part):
        fitted_on.append(part)
        return settings.index(setting)

    def judge(model, part):
        judged_on.append(part)
        return scores[id(part)][model]

    got = call(choose, settings, fit, judge, parts)
    if any(part is not parts.train for part in fitted_on):
        raise Failed("a model was fitted on something other than split.train")
    if any(part is parts.test for part in judged_on):
        raise Failed("you tuned on test: judge(model, split.test) was called. Settings are chosen on split.valid alone")
    if any(part is parts.train for part in judged_on):
        raise Failed("a model was judged on the part that it was trained on: use split.valid")
    if not isinstance(got, tuple) or len(got) != 2:
        raise Failed("return two things: the best setting and the list of validation scores")
    best, listed = got
    if best == settings[int(np.argmin(valid))]:
        raise Failed("this is the worst setting: NDCG is better when it is higher")
    if best != settings[int(np.argmax(valid))]:
        raise Failed(f"the best of {valid} belongs to {settings[int(np.argmax(valid))]}; got {best}")
    close(np.asarray(listed, float), np.array(valid), "the list of validation scores")
    if len(fitted_on) != len(settings):
        raise Failed(f"{len(settings)} settings, but {len(fitted_on)} fits: fit each setting once")


def _item_neighbours(work, setting):
    from .. import models

    return models.create("itemknn", **setting).fit(work.split.train)


def ndcg(model, part: Interactions, work) -> float:
    from ..evaluation import evaluate

    return float(evaluate(model, part, train=work.split.train, metrics="ndcg", ks=10, n_boot=2)["ndcg@10"])


# -- 10 --------------------------------------------------------------------------------------------------------------
@assignment.task(10, "A paired interval", points=7, needs=["paired_interval", "test_scores", "comparison"])
def paired(space) -> None:
    rng = np.random.default_rng(10)
    b = rng.random(200)
    got = _parts(call(space["paired_interval"], b + 0.1, b), "difference, low, high")
    if got[2] - got[1] > 1e-6:
        raise Failed(
            "a is better than b by exactly 0.1 for each of 200 people, so nothing is uncertain; your interval is "
            f"[{got[1]:.3f}, {got[2]:.3f}]. Draw people, and take a and b of the same people (paired)"
        )
    a = b + rng.normal(0.02, 0.1, 200)
    difference, low, high = _parts(call(space["paired_interval"], a, b, n_boot=2000, seed=3), "difference, low, high")
    close(
        difference, float((a - b).mean()), "the difference", wrong={float((b - a).mean()): "a minus b, not b minus a"}
    )
    half = 1.96 * (a - b).std() / np.sqrt(200)
    width = float(high - low) / (2 * half)
    if not low < difference < high:
        raise Failed(f"the interval [{low:.3f}, {high:.3f}] should contain the difference, {difference:.3f}")
    if width > 5:
        raise Failed("this is the spread of single people, not of their mean: resample people, then take the mean")
    if not 0.93 < width < 1.07:
        raise Failed(
            f"the interval is {width:.2f} times as wide as it should be: take the 2.5th and the 97.5th percentile of "
            "the resampled mean differences"
        )
    scores, comparison = space["test_scores"], _parts(space["comparison"], "difference, low, high")
    for name in ("itemknn", "als", "bpr"):
        if name not in scores or len(np.asarray(scores[name])) != len(np.asarray(scores["itemknn"])):
            raise Failed(f"test_scores[{name!r}] should hold one NDCG@10 for each person with test films")
    truth = float(np.mean(np.asarray(scores["als"]) - np.asarray(scores["itemknn"])))
    close(float(comparison[0]), truth, "the difference in comparison, ALS minus item neighbours")
    if not comparison[1] <= comparison[0] <= comparison[2]:
        raise Failed("comparison is (difference, low, high), in this order")


# -- 11 --------------------------------------------------------------------------------------------------------------
@assignment.task(11, "Somebody new", points=4, needs=["for_newcomer", "newcomer_list"])
def newcomer(space) -> None:
    Q = np.random.default_rng(11).normal(size=(12, 3))
    items, options = np.array([2, 7]), {"alpha": 3.0, "l2": 0.5}
    got = np.asarray(call(space["for_newcomer"], Q, items, k=4, solve=solve_user, **options))
    check_list(got, Q, items, 4, **options)
    got = np.asarray(space["newcomer_list"])
    if got.shape != (10,) or np.isin(got, space.work.newcomer).any():
        raise Failed("newcomer_list holds ten film codes, none of them in work.newcomer")


def check_list(got: np.ndarray, Q: np.ndarray, items: np.ndarray, k: int, alpha: float, l2: float) -> None:
    scores = Q @ solve_user(Q, items, alpha, l2)
    if got.shape != (k,):
        raise Failed(f"a list of k = {k} film codes is wanted; got shape {got.shape}")
    if np.isin(got, items).any():
        raise Failed("the list holds a film that the person has chosen already: set its score to minus infinity")
    best = np.argsort(-np.where(np.isin(np.arange(len(Q)), items), -np.inf, scores))
    if np.array_equal(got, best[::-1][len(items) : len(items) + k]):
        raise Failed("the list begins with the worst: argsort sorts upwards, so sort minus the scores")
    close(got, best[:k], "for_newcomer of a person who chose " + str(items.tolist()))
