"""Checks of the fifth assignment: cold start of things and of people."""

from __future__ import annotations

import numpy as np

from ..data import Interactions, Split, split
from ..datasets import load
from .checking import Assignment, Failed, call, close
from .personal import Work

assignment = Assignment("a5", "Cold start", hours=(4, 6))

#: People of the shop, and those who come later.
CUSTOMERS, LATER = 500, 300
#: Penalties of the map to choose from.
PENALTIES = (0.3, 1, 3, 10, 30)
#: Questions that a newcomer answers, and the noise that the normal distribution is told.
QUESTIONS, NOISE = 10, 0.02


# -- the student's own data ----------------------------------------------------------------------------------------
@assignment.personal
def personal(seed: int) -> dict:
    """Stamps with 800 simulated people, content vectors with gaps, a split with new things, factors, newcomers."""
    from .. import models

    seed %= 2**31
    data = load("stamps", n_users=CUSTOMERS + LATER, seed=seed)
    rng = np.random.default_rng(seed)
    content, has = _content(data, rng)
    customers = _people(data.interactions, 0, CUSTOMERS)
    cold = split(customers, how="cold-items", fractions=(0.7, 0.1, 0.2), seed=seed)
    warm = split(cold.train, how="random", fractions=(0.9, 0.05, 0.05), seed=seed)
    parts = [Interactions.concat([getattr(part, name) for part in (cold, warm)]) for name in ("valid", "test")]
    base = models.create("als", dim=32, alpha=6, l2=11, seed=0).fit(warm.train)
    return {
        "data": data,
        "customers": customers,
        "content": content,
        "has": has,
        "split": Split(warm.train, *parts, how="new and known"),
        "known": warm.train.item_counts() > 0,
        "new_valid": np.unique(cold.valid.item),
        "new": np.unique(cold.test.item),
        "P": base.user_factors_,
        "Q": base.item_factors_,
        "penalties": PENALTIES,
        **_newcomers(data, rng),
        **_shelf(data, content, has, rng),
    }


def _people(events: Interactions, first: int, last: int) -> Interactions:
    """The people with codes from first to last, who get the codes from 0."""
    part = events.select((events.user >= first) & (events.user < last))
    return Interactions(part.user - first, part.item, part.value, part.time, last - first, part.n_items)


def _content(data, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """64 directions of sentence and colours; one thing in ten waits for both, and its row is zero."""
    from ..encoders import encode

    features = encode(data, {"text": "tfidf", "colour": ("image", "colour-histogram")})
    has = features.mask["text"] & features.mask["colour"] & (rng.random(data.n_items) > 0.1)
    blocks = []
    for name in features:
        block = features[name] - features[name][has].mean(axis=0)
        blocks.append(block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-9))
    joined = np.hstack(blocks).astype(float)
    directions = np.linalg.svd(joined[has] - joined[has].mean(axis=0), full_matrices=False)[2][:64]
    content = (joined - joined[has].mean(axis=0)) @ directions.T
    content[~has] = 0
    return content, has


def _newcomers(data, rng: np.random.Generator) -> dict:
    """People held out whole: questions about one half of the things, lists of the other half."""
    from ..newcomers import ask_audience

    order = rng.permutation(data.n_items)
    pool, ranked = np.sort(order[: data.n_items // 2]), np.sort(order[data.n_items // 2 :])
    later = _people(data.interactions, CUSTOMERS, CUSTOMERS + LATER)
    people = np.arange(CUSTOMERS, CUSTOMERS + LATER)
    asked = ask_audience(data.extras["audience"], seed=int(rng.integers(2**31)))

    def ask(items) -> np.ndarray:
        """Answers of all newcomers to the things: 1 for yes, 0 for no, ``(people, things)``."""
        return asked(people, np.tile(np.asarray(items, int), (len(people), 1)))

    return {"pool": pool, "ranked": ranked, "later": later.select(np.isin(later.item, ranked)), "ask": ask}


def _shelf(data, content, has, rng: np.random.Generator) -> dict:
    """100 things as arms for 80 newcomers and 60 visits: their vectors, and who would click when."""
    shelf = np.sort(rng.choice(np.flatnonzero(has), 100, replace=False))
    x = content[shelf, :16]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    people = np.arange(CUSTOMERS, CUSTOMERS + 80)
    chance = data.extras["audience"].click_probability(people[:, None], shelf)
    return {
        "shelf": shelf,
        "vectors": np.column_stack([x, np.ones(len(x))]),
        "reactions": rng.random((60, *chance.shape)) < chance,
    }


# -- the same in few lines, to compare with ------------------------------------------------------------------------
def neighbour_scores(clicked, content, has, known, new, k, norms=True, only_has=True, only_known=True) -> np.ndarray:
    usable = np.flatnonzero((has | (not only_has)) & (known | (not only_known)))
    length = np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-12) if norms else 1.0
    x = content / length
    alike = x[new] @ x[usable].T
    keep = np.argsort(-alike, axis=1, kind="stable")[:, :k]
    weights = np.zeros_like(alike)
    np.put_along_axis(weights, keep, np.take_along_axis(alike, keep, axis=1), axis=1)
    scores = clicked[:, usable] @ weights.T
    scores[:, ~has[new]] = -np.inf
    return scores


def ridge(content, Q, rows, l2, centred=True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, q = content[rows], Q[rows]
    x_mean, q_mean = x.mean(axis=0) * centred, q.mean(axis=0) * centred
    x, q = x - x_mean, q - q_mean
    return np.linalg.solve(x.T @ x + l2 * np.eye(x.shape[1]), x.T @ q), x_mean, q_mean


def mapped(content, has, W, x_mean, q_mean) -> np.ndarray:
    return np.where(has[:, None], q_mean + (content - x_mean) @ W, q_mean)


def vectors_of(work: Work, l2: float, content=None) -> np.ndarray:
    """Known things keep their factors, the others get what the map reads from their content."""
    content = work.content if content is None else content
    read = mapped(content, work.has, *ridge(content, work.Q, work.known & work.has, l2))
    return np.where(work.known[:, None], work.Q, read)


class Scored:
    """A recommender that is a table of scores."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def score(self, users) -> np.ndarray:
        return self.scores[users]


def ndcg(model, test: Interactions, train: Interactions, candidates=None) -> float:
    from ..evaluation import evaluate

    return float(evaluate(model, test, train, metrics="ndcg", ks=20, candidates=candidates, n_boot=2)["ndcg@20"])


def three(model, test: Interactions, train: Interactions, new) -> dict[str, float]:
    fresh = np.isin(test.item, new)
    return {
        "new among new": ndcg(model, test, train, new),
        "new among all": ndcg(model, test.select(fresh), train),
        "known among all": ndcg(model, test.select(~fresh), train),
    }


def greedy(C, n, noise, pool, update=True, squared=True) -> np.ndarray:
    C, chosen = np.array(C, float), []
    for _ in range(n):
        top = (C**2).sum(axis=0) if squared else np.diag(C)
        worth = np.full(len(C), -np.inf)
        worth[pool] = (top / (np.diag(C) + noise))[pool]
        worth[chosen] = -np.inf
        q = int(worth.argmax())
        chosen.append(q)
        if update:
            C -= np.outer(C[:, q], C[q]) / (C[q, q] + noise)
    return np.array(chosen)


def conditioned(mean, C, asked, answers, noise, centred=True) -> np.ndarray:
    left = C[np.ix_(asked, asked)] + noise * np.eye(len(asked))
    return mean + C[:, asked] @ np.linalg.solve(left, answers - mean[asked] * centred)


# -- 1 ---------------------------------------------------------------------------------------------------------------
@assignment.task(1, "A split with new things", points=9, needs=["cold_split", "leaks"])
def cold_items(space) -> None:
    item = np.random.default_rng(1).zipf(1.5, 3000) % 60 * 2
    for seed in range(3, 8):  # shares of the wrong things may be right by chance, but not five times
        check_split(space["cold_split"], item, seed, shares=(0.7, 0.1, 0.2))
    item, part = np.array([4, 4, 7, 9, 9, 9, 2, 2]), np.array([0, 2, 1, 0, 0, 1, 1, 2])
    got = np.asarray(call(space["leaks"], item, part))
    close(
        np.sort(got),
        np.array([2, 4, 9]),
        "leaks of things 4 (train, test), 9 (train, validation), 2 (validation, test) and 7 (validation only)",
        wrong=[
            (np.array([4]), "you compare train and test only; validation leaks as well"),
            (np.array([4, 9]), "you compare train with the others; validation and test may share things, too"),
            (np.array([2, 4]), "you compare test with the others; train and validation may share things, too"),
        ],
    )
    none = np.asarray(call(space["leaks"], np.array([1, 1, 5]), np.array([0, 0, 2])))
    close(none.size, 0, "the number of leaks where there is none")


def check_split(cold_split, item: np.ndarray, seed: int, shares: tuple[float, float, float]) -> None:
    """Whole things, in the right numbers, by the seed."""
    part = np.asarray(call(cold_split, item, seed, shares))
    if part.shape != item.shape:
        raise Failed(f"give one number (0, 1 or 2) for each event, shape {item.shape}; got {part.shape}")
    if not np.isin(part, [0, 1, 2]).all():
        raise Failed("the parts are 0 (train), 1 (validation) and 2 (test)")
    present = np.unique(item)
    torn = [code for code in present if len(np.unique(part[item == code])) > 1]
    if torn:
        raise Failed(
            f"thing {torn[0]} and {len(torn) - 1} more lie in several parts: you divided events. Divide the things, "
            "and let each event go where its thing goes"
        )
    counts = [len(np.unique(item[part == p])) for p in range(3)]
    wanted = [round(share * len(present)) for share in shares]
    if abs(counts[1] - wanted[1]) > 1 or abs(counts[2] - wanted[2]) > 1:
        raise Failed(
            f"of {len(present)} things {counts} are in train, validation and test; {wanted} were asked for. Shares are "
            "of the things that occur, np.unique(item), not of events and not of codes"
        )
    if not np.array_equal(part, np.asarray(call(cold_split, item, seed, shares))):
        raise Failed("the same seed gives another split: use np.random.default_rng(seed)")
    if np.array_equal(part, np.asarray(call(cold_split, item, seed + 1, shares))):
        raise Failed("another seed gives the same split: things must be drawn at random")


# -- 2 ---------------------------------------------------------------------------------------------------------------
@assignment.task(2, "Neighbours by content", points=12, needs=["content_neighbours"])
def neighbours(space) -> None:
    birds = {
        "clicked": np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]]),
        "content": np.array([[1.0, 0], [0.8, 0.6], [0, 1], [2, 0]]),
        "has": np.ones(4, bool),
        "known": np.array([True, True, True, False]),
        "new": np.array([3]),
        "k": 2,
    }
    check_neighbours(space["content_neighbours"], birds, "the pigeon of the example")
    check_neighbours(space["content_neighbours"], a_shop(2), "a shop with gaps")


def a_shop(seed: int, n_items: int = 14, k: int = 6) -> dict:
    """People, things with and without content, and new things, one of which has none."""
    rng = np.random.default_rng(seed)
    has, known = np.ones(n_items, bool), np.ones(n_items, bool)
    known[-4:] = has[-1] = has[2:5] = False
    content = rng.normal(size=(n_items, 3)) - 0.5
    content[~has] = 0
    clicked = (rng.random((8, n_items)) < 0.5) * known.astype(float)
    return {"clicked": clicked, "content": content, "has": has, "known": known, "new": np.arange(n_items)[-4:], "k": k}


def check_neighbours(function, shop: dict, what: str) -> None:
    with np.errstate(all="ignore"):
        got = np.asarray(call(function, **shop), float)
    truth = neighbour_scores(**shop)
    lacking = ~shop["has"][shop["new"]]
    if got.shape != truth.shape:
        raise Failed(f"content_neighbours gives {got.shape}; expected one row a person and one column a new thing")
    if not (got[:, lacking] == -np.inf).all():
        raise Failed(
            "a new thing without content got scores: a zero vector resembles nothing, and its neighbours are chosen by "
            "chance. Its scores are minus infinity; something else must place it"
        )
    close(
        got[:, ~lacking],
        truth[:, ~lacking],
        f"content_neighbours of {what}",
        wrong=[
            (
                neighbour_scores(**shop, norms=False)[:, ~lacking],
                "this is the dot product; a cosine also divides by both lengths",
            ),
            (
                neighbour_scores(**shop, only_has=False)[:, ~lacking],
                "a thing without content is among the neighbours: leave it out, it is not a zero vector",
            ),
            (
                neighbour_scores(**shop, only_known=False)[:, ~lacking],
                "a new thing is among the neighbours: nobody can have clicked on it, so it only takes a place",
            ),
            (
                neighbour_scores(**shop | {"k": len(shop["has"])})[:, ~lacking],
                "all known things count; only the k most similar should",
            ),
        ],
    )


# -- 3 ---------------------------------------------------------------------------------------------------------------
@assignment.task(3, "From content to factors", points=12, needs=["fit_map", "predict_vectors"])
def content_map(space) -> None:
    x, q = np.array([[1.0], [1], [-1], [-1]]), np.array([[1.2], [0.8], [-0.9], [-1.1]])
    by_hand = (x, q, np.ones(4, bool), 4.0)
    check_map(space["fit_map"], *by_hand, "the example with four things")
    content, Q, rows, has = a_catalogue(3)
    check_map(space["fit_map"], content, Q, rows, 0.7, "20 things, 12 of them known and with content")
    check_prediction(space["predict_vectors"], content, Q, rows, has)


def a_catalogue(seed: int, n: int = 20, dim: int = 5, factors: int = 3):
    rng = np.random.default_rng(seed)
    content, Q = rng.normal(0.4, 1, (n, dim)), rng.normal(0.3, 1, (n, factors))
    known, has = np.arange(n) < n - 5, rng.permutation(n) >= 4
    content[~has] = Q[~known] = 0
    return content, Q, known & has, has


def check_map(fit_map, content, Q, rows, l2, what: str) -> None:
    got = call(fit_map, content, Q, rows, l2=l2)
    if not isinstance(got, (tuple, list)) or len(got) != 3:
        raise Failed("return three arrays, `return W, x_mean, q_mean`")
    truth = ridge(content, Q, rows, l2)
    everything = ridge(content, Q, np.ones(len(Q), bool), l2)
    close(
        np.asarray(got[0]),
        truth[0],
        f"W for {what}",
        wrong=[
            (ridge(content, Q, rows, 1e-9)[0], "the penalty is missing: add l2 times the identity"),
            (
                np.linalg.lstsq(
                    (content[rows] - truth[1]).T @ (content[rows] - truth[1]) + l2,
                    (content[rows] - truth[1]).T @ (Q[rows] - truth[2]),
                    rcond=None,
                )[0],
                "l2 was added to every cell; it belongs on the diagonal only",
            ),
            (
                everything[0],
                "all things were used to fit: those that are new, or have no content, teach the map that their vector "
                "is zero. Use content[rows] and Q[rows]",
            ),
            (ridge(content, Q, rows, l2, centred=False)[0], "centre content and factors first: subtract their means"),
            (truth[0].T, "rows and columns are swapped: W is (content, factors)"),
        ],
    )
    close(
        np.asarray(got[1]),
        truth[1],
        f"x_mean for {what}",
        wrong=[(everything[1], "this is the mean over all things; take that over the rows used to fit")],
    )
    close(np.asarray(got[2]), truth[2], f"q_mean for {what}")


def check_prediction(predict_vectors, content, Q, rows, has) -> None:
    fitted = ridge(content, Q, rows, 0.7)
    got = np.asarray(call(predict_vectors, content, has, *fitted))
    truth = mapped(content, has, *fitted)
    close(
        got,
        truth,
        "predict_vectors of 20 things",
        wrong=[
            (
                fitted[2] + (content - fitted[1]) @ fitted[0],
                "a thing without content went through the map as a zero vector; it gets q_mean, which claims nothing",
            ),
            (truth - fitted[2], "the mean of the factors is missing: add q_mean"),
            (
                np.where(has[:, None], fitted[2] + content @ fitted[0], fitted[2]),
                "subtract x_mean from the content before W, as when the map was fitted",
            ),
        ],
    )


# -- 4 ---------------------------------------------------------------------------------------------------------------
@assignment.task(4, "One scale for new and known", points=6, needs=["same_length"])
def one_scale(space) -> None:
    vectors, known = np.array([[3.0, 4.0], [0, 5], [1, 0], [0, 3]]), np.array([True, True, False, False])
    check_lengths(space["same_length"], vectors, known)
    check_lengths(space["same_length"], np.random.default_rng(4).normal(size=(9, 3)), np.arange(9) % 3 > 0)


def check_lengths(same_length, vectors, known) -> None:
    given = vectors.copy()
    got = np.asarray(call(same_length, vectors, known))
    if not np.array_equal(vectors, given):
        raise Failed("same_length changes the vectors that it was given: work on a copy")
    length = np.linalg.norm(vectors, axis=1)
    factor = length[known].mean() / length[~known].mean()

    def scaled(by) -> np.ndarray:
        return np.where(known, 1, by)[:, None] * vectors

    close(
        got,
        scaled(factor),
        "same_length",
        wrong=[
            (scaled(1 / factor), "the factor is upside down: new vectors are too short and must grow"),
            (
                scaled(length[known].mean() / length),
                "every new vector got the same length. One factor for all: a thing of which content says little stays "
                "shorter than one of which it says much",
            ),
            (np.where(known[:, None], vectors / factor, vectors), "the known vectors must stay; scale the new ones"),
            (factor * vectors, "all vectors were scaled, known ones too: that changes nothing between them"),
        ],
    )


# -- 5 ---------------------------------------------------------------------------------------------------------------
@assignment.task(5, "Two questions", points=9, needs=["three_numbers", "best_l2"])
def two_questions(space) -> None:
    check_numbers(space["three_numbers"], *a_test(5))
    work, best = space.work, space["best_l2"]
    scores = {l2: ndcg_new(work, l2, work.split.valid, work.new_valid) for l2 in work.penalties}
    if best not in scores:
        raise Failed(f"best_l2 is one of work.penalties, {work.penalties}; got {best}")
    if scores[best] < max(scores.values()) - 1e-4:
        on_test = {l2: ndcg_new(work, l2, work.split.test, work.new) for l2 in work.penalties}
        hint = " It is the best on the test part: you tuned on test" if on_test[best] == max(on_test.values()) else ""
        raise Failed(f"another penalty has a higher NDCG@20 among the new things of the validation part.{hint}")


def ndcg_new(work: Work, l2: float, test: Interactions, things: np.ndarray) -> float:
    return ndcg(Scored(work.P @ vectors_of(work, l2).T), test, work.split.train, things)


def a_test(seed: int):
    rng = np.random.default_rng(seed)
    n_users, n_items, new = 20, 60, np.arange(45, 60)
    chosen = rng.random((n_users, n_items)) < 0.25
    held_out = chosen & ((np.arange(n_items) >= 45) | (rng.random(chosen.shape) < 0.3))
    test = Interactions(*np.nonzero(held_out), n_users=n_users, n_items=n_items)
    train = Interactions(*np.nonzero(chosen & ~held_out), n_users=n_users, n_items=n_items)
    return Scored(rng.normal(size=chosen.shape) + chosen), test, train, new


def check_numbers(three_numbers, model, test, train, new) -> None:
    got, truth = call(three_numbers, model, test, train, new), three(model, test, train, new)
    if not isinstance(got, dict) or set(got) != set(truth):
        raise Failed(f"return a dictionary with the keys {', '.join(map(repr, truth))}")
    among_all = ndcg(model, test, train)
    hints = {
        "new among new": {
            truth["new among all"]: "the known things compete here as well: give candidates=new",
            among_all: "all things compete, and all count: give candidates=new",
        },
        "new among all": {
            truth["new among new"]: "here the known things compete as well: no candidates, but only new things count "
            "as found",
            among_all: "known things count as found, too: keep the test pairs with new things only",
        },
        "known among all": {
            among_all: "new things count as found, too: keep the test pairs with known things only",
            ndcg(model, test, train, np.setdiff1d(np.arange(test.n_items), new)): "new things must compete for places",
        },
    }
    for name, value in truth.items():
        close(float(got[name]), value, f"three_numbers(...)[{name!r}]", wrong=hints[name], rtol=1e-4)


# -- 6 ---------------------------------------------------------------------------------------------------------------
@assignment.task(6, "The control", points=9, needs=["shuffled", "gain"])
def control(space) -> None:
    rng = np.random.default_rng(6)
    content, has = rng.normal(size=(30, 4)), rng.random(30) > 0.2
    content[~has] = 0
    check_shuffle(space["shuffled"], content, has, seed=1)
    work, got = space.work, space["gain"]
    if not isinstance(got, (tuple, list)) or len(got) != 3:
        raise Failed("gain is a tuple: (difference, low, high)")
    difference, low, high = map(float, got)
    if not low <= difference <= high:
        raise Failed("gain is (difference, low, high), in this order")
    real = ndcg_new(work, space["best_l2"], work.split.test, work.new)
    if not 0.3 * real < difference < real:
        raise Failed(
            f"gain says {difference:.3f}: real content minus shuffled, NDCG@20 among the new things of the test part, "
            f"where real content reaches {real:.3f}. Fit the map anew on the shuffled content"
        )


def check_shuffle(shuffled, content, has, seed: int) -> None:
    given = content.copy()
    got = np.asarray(call(shuffled, content, has, seed))
    if not np.array_equal(given, content):
        raise Failed("shuffled changes the content that it was given: work on a copy")
    if got.shape != content.shape:
        raise Failed(f"shuffled has shape {got.shape}; expected {content.shape}")
    if got[~has].any() or not got[has].any(axis=1).all():
        raise Failed("things without content took part: only the rows where has is True change places")
    if np.array_equal(got, content):
        raise Failed("nothing has moved: give each thing the vector of another one")

    def in_order(table) -> np.ndarray:
        return table[np.lexsort(table.T[::-1])]

    if not np.allclose(in_order(got[has]), in_order(content[has])):
        raise Failed(
            "the rows are no longer the vectors of things: numbers were mixed within columns, or a vector was used "
            "twice. Permute whole rows"
        )
    if (got[has] == content[has]).all(axis=1).mean() > 0.3:
        raise Failed("many things kept their own vector: permute at random")
    if not np.array_equal(got, np.asarray(call(shuffled, content, has, seed))):
        raise Failed("the same seed gives another order: use np.random.default_rng(seed)")
    if np.array_equal(got, np.asarray(call(shuffled, content, has, seed + 1))):
        raise Failed("another seed gives the same order: the seed is not used")


# -- 7 ---------------------------------------------------------------------------------------------------------------
@assignment.task(7, "What to ask", points=9, needs=["greedy_questions", "my_questions"])
def what_to_ask(space) -> None:
    Y = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
    check_questions(space["greedy_questions"], np.cov(Y.T, bias=True), 2, 0.05, np.arange(4))
    check_questions(space["greedy_questions"], *an_interview(7))
    work = space.work
    _, C = moments(work)
    truth = greedy(C, QUESTIONS, NOISE, work.pool)
    got = np.asarray(space["my_questions"])
    if got.shape != truth.shape or not np.isin(got, work.pool).all():
        raise Failed(f"my_questions holds {QUESTIONS} things of work.pool")
    close(got, truth, "my_questions")


def an_interview(seed: int, n: int = 12, asked: int = 5):
    """A covariance that makes neighbours alike, with other variances, and a pool of two things in three."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 3)) * rng.uniform(0.2, 1, (n, 1))
    pool = np.sort(rng.choice(n, 2 * n // 3, replace=False))
    return factors @ factors.T + np.diag(rng.uniform(0.1, 1.5, n)), asked, 0.1, pool


def check_questions(greedy_questions, C, n, noise, pool) -> None:
    given = C.copy()
    got = np.asarray(call(greedy_questions, C, n, noise, pool))
    if not np.array_equal(C, given):
        raise Failed("greedy_questions changes the covariance that it was given: work on a copy")
    if got.shape != (n,):
        raise Failed(f"give {n} item codes; got shape {got.shape}")
    if len(np.unique(got)) < n:
        raise Failed("a thing is asked about twice: what has been asked is out of the question")
    if not np.isin(got, pool).all():
        raise Failed("a question is about a thing that is not in the pool")
    close(
        got,
        greedy(C, n, noise, pool),
        f"greedy_questions, {n} of {len(pool)} things",
        wrong=[
            (
                greedy(C, n, noise, pool, update=False),
                "the covariance was not updated: after an answer, things that it tells about are worth less",
            ),
            (greedy(C, n, noise, pool, squared=False), "the worth of q is |c_q|^2 / (C_qq + noise), the whole column"),
            (greedy(-C, n, noise, pool), "the things that tell least come first: take the largest worth"),
        ],
    )


def moments(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of what customers chose."""
    table = work.customers.to_csr().toarray().astype(float)
    return table.mean(axis=0), np.cov(table.T, bias=True)


# -- 8 ---------------------------------------------------------------------------------------------------------------
@assignment.task(8, "Reading the answers", points=6, needs=["read_answers"])
def reading(space) -> None:
    Y = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], float)
    check_reading(space["read_answers"], Y.mean(axis=0), np.cov(Y.T, bias=True), np.array([0]), np.array([1.0]), 0.05)
    C, _, noise, _ = an_interview(8)
    mean = np.linspace(0.1, 0.6, len(C))
    check_reading(space["read_answers"], mean, C, np.array([3, 0, 7]), np.array([0.0, 1.0, 0.0]), noise)


def check_reading(read_answers, mean, C, asked, answers, noise) -> None:
    got = np.asarray(call(read_answers, mean, C, asked, answers, noise))
    truth = conditioned(mean, C, asked, answers, noise)
    close(
        got,
        truth,
        f"read_answers about {len(asked)} thing(s)",
        wrong=[
            (
                conditioned(mean, C, asked, answers, noise, centred=False),
                "an answer counts by how far it is from what was expected: subtract mean[asked]",
            ),
            (truth - mean, "the mean is missing: answers move what everybody likes"),
            (conditioned(mean, C, asked, answers, 1e-12), "the noise is missing on the diagonal"),
            (
                mean + C[:, asked] @ (answers - mean[asked]),
                "multiply by the inverse of C_QQ + noise: np.linalg.solve",
            ),
            (mean + C[:, asked[answers == 1]].sum(axis=1), "a no is an answer, too"),
        ],
    )


# -- 9 ---------------------------------------------------------------------------------------------------------------
@assignment.task(9, "Try and watch", points=10, needs=["linucb_choose", "linucb_update"])
def try_and_watch(space) -> None:
    x = np.array([[1.0, 0], [0.8, 0.6], [0, 1]])
    A, b = np.eye(2) + np.outer(x[0], x[0]), x[0].copy()
    check_choice(space["linucb_choose"], A, b, x, 0.5)
    check_choice(space["linucb_choose"], A, b, x, 3.0)
    check_choice(space["linucb_choose"], np.diag([4.0, 0.25]), np.array([8.0, 0.0]), np.eye(2), 1.0)  # the root decides
    check_choice(space["linucb_choose"], *a_state(9))
    for click in (1, 0):
        check_update(space["linucb_update"], np.eye(2), np.array([0.5, -1.0]), np.array([0.8, 0.6]), click)


def a_state(seed: int, n: int = 30, dim: int = 4, alpha: float = 0.7):
    rng = np.random.default_rng(seed)
    shown, x = rng.normal(size=(6, dim)) * [3, 1, 1, 0.1], rng.normal(size=(n, dim))
    return 2 * np.eye(dim) + shown.T @ shown, shown.T @ rng.integers(0, 2, 6), x, alpha


def worths(A, b, x, alpha, root=True, inverse=True) -> np.ndarray:
    wide = np.einsum("id,id->i", x, np.linalg.solve(A, x.T).T)
    return x @ (np.linalg.solve(A, b) if inverse else b) + alpha * (np.sqrt(wide) if root else wide)


def check_choice(linucb_choose, A, b, x, alpha) -> None:
    got = call(linucb_choose, A, b, x, alpha)
    truth = worths(A, b, x, alpha)
    if np.ndim(got) or not 0 <= got < len(x):
        raise Failed(f"return one row number of x, 0 to {len(x) - 1}; got {got}")
    if int(got) == int(truth.argmax()):
        return
    mistakes = {
        "the bound is missing, or alpha is: this is the greedy choice, which never explores": worths(A, b, x, 0.0),
        "the square root of x A^-1 x is missing": worths(A, b, x, alpha, root=False),
        "the taste is A^-1 b, not b": worths(A, b, x, alpha, inverse=False),
        "this is the smallest worth: take the largest": -truth,
    }
    hint = next((text for text, worth in mistakes.items() if worth.argmax() == got), "compare with the example")
    raise Failed(f"linucb_choose with alpha = {alpha:g} chose row {int(got)}, expected {int(truth.argmax())}: {hint}")


def check_update(linucb_update, A, b, x, click) -> None:
    old_a, old_b = A.copy(), b.copy()
    got = call(linucb_update, A, b, x, click)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Failed("return two arrays, `return A, b`")
    if not (np.array_equal(A, old_a) and np.array_equal(b, old_b)):
        raise Failed("linucb_update changes the A or b that it was given: return new ones")
    close(
        np.asarray(got[0]),
        A + np.outer(x, x),
        f"A after click = {click}",
        wrong=[
            (A, "A does not grow: a thing that was shown and not clicked has taught something, too"),
            (A + x @ x, "x @ x is a number; np.outer(x, x) is the matrix"),
        ],
    )
    close(
        np.asarray(got[1]),
        b + click * x,
        f"b after click = {click}",
        wrong=[(b + x, "b grows by click times x: without a click it stays")],
    )
