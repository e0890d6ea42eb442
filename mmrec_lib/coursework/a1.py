"""Checks of the first assignment: metrics by hand, item neighbours without a loop, and an honest comparison."""

from __future__ import annotations

import dis
import functools
import types
from itertools import product

import numpy as np
from scipy import sparse

from ..data import Dataset, Interactions, Split, drop_duplicates, split
from ..datasets import load
from .checking import Assignment, Failed, call, close

assignment = Assignment("a1", "Neighbours and metrics", hours=(4, 6))

#: People of ml-100k that a student works with, and how many of them a film needs.
N_PEOPLE, LEAST = 300, 5
#: Settings of task 8: neighbours and shrinkage.
SETTINGS = list(product((10, 50, 150), (0, 20)))

#: Films that are equally near may be kept in any order. That moves a mean recall by 0.004 at most in fifty trials.
TIES = 0.01


# -- the student's own data ----------------------------------------------------------------------------------------
@functools.cache
def _films() -> Dataset:
    return load("ml-100k")


@assignment.personal
def personal(seed: int) -> dict:
    """300 people, the films that at least five of them chose, a log with repeats, a careless split and a clean one."""
    everything = _films()
    rng = np.random.default_rng(seed)
    people = np.sort(rng.choice(everything.n_users, N_PEOPLE, replace=False))
    events = everything.interactions
    here = np.isin(events.user, people)
    films = np.flatnonzero(np.bincount(events.item[here], minlength=everything.n_items) >= LEAST)
    here &= np.isin(events.item, films)
    user, item = np.searchsorted(people, events.user[here]), np.searchsorted(films, events.item[here])
    log = with_repeats(user, item, events.time[here], N_PEOPLE, len(films), rng)
    clean = drop_duplicates(log, keep="first")
    return {
        "items": everything.items.iloc[films],
        "log": log,
        "careless": careless_split(log, rng),
        "split": split(clean, how="random", seed=seed),
        "settings": list(SETTINGS),
    }


def with_repeats(user, item, time, n_users, n_items, rng) -> Interactions:
    """A log in which some events come again, once or twice, days later; in the order of time."""
    share = rng.uniform(0.05, 0.12)
    again = np.flatnonzero(rng.random(len(user)) < share)
    again = np.concatenate([again, again[rng.random(len(again)) < 0.25]])
    later = time[again] + rng.integers(3600, 30 * 86400, len(again))
    user, item = np.concatenate([user, user[again]]), np.concatenate([item, item[again]])
    time = np.concatenate([time, later])
    order = np.argsort(time, kind="stable")
    return Interactions(user[order], item[order], time=time[order], n_users=n_users, n_items=n_items)


def careless_split(log: Interactions, rng) -> Split:
    """Every *event* drawn for itself, repeats and all, which is how a test part learns what training knows."""
    part = rng.choice(3, len(log), p=[0.8, 0.1, 0.1])
    return Split(*(log.select(part == number) for number in range(3)), how="careless")


# -- what is right -------------------------------------------------------------------------------------------------
def right_repeats(user, item) -> int:
    pairs = np.stack([np.asarray(user), np.asarray(item)], axis=1)
    return len(pairs) - len(np.unique(pairs, axis=0))


def right_leak(train: Interactions, test: Interactions) -> float:
    return float(np.isin(test.keys(), train.keys()).mean())


def right_ndcg(ranked, relevant, k) -> float:
    if not relevant:
        return float("nan")
    discount = 1 / np.log2(np.arange(2, k + 2))
    hits = np.isin(list(ranked)[:k], list(relevant))
    return float((hits * discount[: len(hits)]).sum() / discount[: len(relevant)].sum())


def right_recall(lists, held_out) -> np.ndarray:
    held = np.asarray(held_out.todense(), float)
    hits = np.take_along_axis(held, np.asarray(lists), axis=1).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return hits / held.sum(axis=1)


def right_lists(scores, X, k) -> np.ndarray:
    masked = np.where(np.asarray(X.todense()) > 0, -np.inf, scores)
    return np.argsort(-masked, axis=1, kind="stable")[:, :k]


def right_popularity(X) -> np.ndarray:
    return np.broadcast_to(np.asarray(X.sum(axis=0)).ravel(), X.shape)


def right_cosine(X, shrinkage=0.0) -> np.ndarray:
    together = np.asarray((X.T @ X).todense(), float)
    n = np.diag(together).copy()
    below = np.sqrt(np.outer(n, n)) + shrinkage
    result = np.divide(together, below, out=np.zeros_like(together), where=below > 0)
    np.fill_diagonal(result, 0)
    return result


def right_kept(S, k) -> np.ndarray:
    order = np.argsort(-S, axis=1, kind="stable")[:, :k]
    kept = np.zeros_like(S)
    np.put_along_axis(kept, order, np.take_along_axis(S, order, axis=1), axis=1)
    return kept


def right_scores(X, S, k) -> np.ndarray:
    return np.asarray(X @ right_kept(S, k).T)


def right_validation(X, V, settings) -> np.ndarray:
    """Mean recall@10 on ``V`` of item neighbours with each setting ``(k, shrinkage)``."""
    values, similarity = [], {h: right_cosine(X, h) for h in {h for _, h in settings}}
    for k, h in settings:
        lists = right_lists(right_scores(X, similarity[h], k), X, 10)
        values.append(np.nanmean(right_recall(lists, V)))
    return np.array(values)


@functools.lru_cache(maxsize=4)
def own_values(work) -> tuple[np.ndarray, np.ndarray]:
    """Mean recall@10 of each of the student's settings on validation and on test."""
    X, V, T = parts(work)
    return right_validation(X, V, work.settings), right_validation(X, T, work.settings)


def per_person(X, held_out, setting) -> np.ndarray:
    """Recall@10 of each person by item neighbours with a setting ``(k, shrinkage)``; ``None``: by popularity."""
    scores = right_popularity(X) if setting is None else right_scores(X, right_cosine(X, setting[1]), setting[0])
    return right_recall(right_lists(scores, X, 10), held_out)


def parts(work) -> tuple:
    """Train, validation and test of the clean split as sparse matrices."""
    return tuple(part.to_csr() for part in (work.split.train, work.split.valid, work.split.test))


def paired(a, b) -> tuple[float, float, float]:
    """Mean difference and its 95 % interval by the normal approximation; people without a value left out."""
    d = np.asarray(a, float) - np.asarray(b, float)
    d = d[np.isfinite(d)]
    half = 1.96 * d.std() / np.sqrt(len(d))
    return float(d.mean()), float(d.mean() - half), float(d.mean() + half)


# -- small things to ask with --------------------------------------------------------------------------------------
def choices(n_people, n_films, share, seed) -> sparse.csr_matrix:
    """Random choices ``(n_people, n_films)`` as a sparse matrix of ones."""
    return sparse.csr_matrix((np.random.default_rng(seed).random((n_people, n_films)) < share).astype(np.float32))


def has_loop(function) -> bool:
    """Whether a Python function, or one defined inside it, loops with ``for``, or by a comprehension."""
    codes = [getattr(function, "__code__", None)]
    while codes:
        code = codes.pop()
        if not isinstance(code, types.CodeType):
            continue
        if any(step.opname == "FOR_ITER" for step in dis.get_instructions(code)):
            return True
        codes += code.co_consts
    return False


def _no_loop(function, hint: str) -> None:
    if has_loop(function):
        raise Failed(f"{function.__name__} has a Python loop (for, or a comprehension): {hint}")


# -- the public checks ---------------------------------------------------------------------------------------------
@assignment.task(1, "Look at the log", points=8, needs=["count_repeats", "leaked_share", "n_repeats", "leak"])
def _log(space) -> None:
    said = "count_repeats of the pairs (0, 5), (0, 5), (1, 5), (0, 5), (1, 6)"
    got = call(space["count_repeats"], np.array([0, 0, 1, 0, 1]), np.array([5, 5, 5, 5, 6]))
    close(got, 2, said, wrong={
        3: "you count all events of a pair that occurs more than once; its first event is no repeat",
        1: "you count pairs that occur more than once; the pair (0, 5) is repeated twice",
    })  # fmt: skip
    train = Interactions([0, 0, 1, 2], [1, 2, 3, 1], n_users=3, n_items=4)
    test = Interactions([0, 1, 1, 2, 2], [2, 1, 2, 1, 3], n_users=3, n_items=4)
    close(call(space["leaked_share"], train, test), 0.4, "leaked_share of two of five test events", wrong={
        0.5: "you divide by the training events; it is a share of the test events",
        1.0: "you compare films alone: an event leaks when the same person met the same film in training",
        2.0: "that is the number of events; divide by the number of test events",
    })  # fmt: skip
    work = space.work
    close(space["n_repeats"], right_repeats(work.log.user, work.log.item), "n_repeats")
    leak, clean = (right_leak(part.train, part.test) for part in (work.careless, work.split))
    close(space["leak"], leak, "leak", wrong={clean: "that is the clean split; take work.careless"})


@assignment.task(2, "Recall and precision at k", points=8, needs=["recall_at_k", "precision_at_k"])
def _recall(space) -> None:
    recall, precision = space["recall_at_k"], space["precision_at_k"]
    ranked, relevant = [7, 2, 9, 4, 1], {2, 4, 5, 6}
    close(call(recall, ranked, relevant, k=3), 0.25, "recall_at_k([7, 2, 9, 4, 1], {2, 4, 5, 6}, k=3)", wrong={
        1 / 3: "you divided by k; recall asks how much of what is relevant was found",
        0.5: "you looked at the whole list; only its first k places count",
        1.0: "you divided by the number of hits",
    })  # fmt: skip
    close(call(precision, ranked, relevant, k=3), 1 / 3, "precision_at_k([7, 2, 9, 4, 1], {2, 4, 5, 6}, k=3)",
          wrong={0.25: "you divided by the relevant films; precision asks how much of the list is right"})  # fmt: skip
    close(call(precision, [2, 4], {2, 4, 5}, k=4), 0.5, "precision_at_k([2, 4], {2, 4, 5}, k=4)",
          wrong={1.0: "divide by k, not by the length of the list: an empty place is no hit"})  # fmt: skip
    close(call(recall, [1, 2], {1}, k=2), 1.0, "recall_at_k([1, 2], {1}, k=2)",
          wrong={0.5: "you divided by k; recall asks how much of what is relevant was found"})  # fmt: skip
    close(call(recall, [1, 2], set(), k=2), np.nan, "recall_at_k([1, 2], set(), k=2)",
          wrong={0.0: "nothing could be found, so recall is not defined: give float('nan')"})  # fmt: skip


@assignment.task(3, "NDCG at k", points=10, needs=["ndcg_at_k"])
def _ndcg(space) -> None:
    ndcg = space["ndcg_at_k"]
    one = 1 / np.log2(3)
    close(call(ndcg, [8, 3], {3}, k=2), one, "ndcg_at_k([8, 3], {3}, k=2)", wrong={
        0.5: "the discount of place r is 1 / log2(r + 1), not 1 / r",
        one / (1 + one): "the ideal list has as many hits as there are relevant films, here one, not k",
        1.0: "the second place counts less than the first: 1 / log2(3)",
        1 / 2: "with places from 1, the discount is 1 / log2(1 + place)",
    })  # fmt: skip
    dcg, ideal = 1 + 0.5, 1 + one + 0.5
    close(call(ndcg, [5, 8, 6, 9], {5, 6, 7}, k=3), dcg / ideal, "ndcg_at_k([5, 8, 6, 9], {5, 6, 7}, k=3)",
          wrong={dcg: "divide by the DCG of the ideal list", 2 / 3: "a hit counts by its place"})  # fmt: skip
    many = set(range(10))
    close(call(ndcg, [1, 2], many, k=2), 1.0, "ndcg_at_k of a list of two hits, ten relevant films, k=2",
          wrong={
              (1 + one) / (1 / np.log2(np.arange(2, 12))).sum():
                  "the ideal list has k places too: at most k of the relevant films fit in"})  # fmt: skip
    close(call(ndcg, [1, 2], set(), k=2), np.nan, "ndcg_at_k([1, 2], set(), k=2)",
          wrong={0.0: "nothing could be found, so NDCG is not defined: give float('nan')"})  # fmt: skip
    close(call(ndcg, [4], {4, 5}, k=3), 1 / (1 + one), "ndcg_at_k([4], {4, 5}, k=3)")


@assignment.task(4, "Everybody at once", points=8, needs=["recall_per_person"])
def _everybody(space) -> None:
    function = space["recall_per_person"]
    held = sparse.csr_matrix(np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], np.float32))
    lists = np.array([[1, 3], [0, 1], [2, 0]])
    close(call(function, lists, held), np.array([0.5, np.nan, 0.5]), "recall_per_person of three people", wrong=[
        (np.array([0.5, 0, 0.5]), "the second person has no held-out film: her recall is not 0 but not defined, NaN"),
        (np.array([0.5, 0, 1.0]), "you divided by the length of the list"),
        (np.array([0.5, np.nan, 1.0]), "you divided by the length of the list"),
    ])  # fmt: skip
    _no_loop(function, "np.take_along_axis looks up all lists at once")


@assignment.task(5, "Popularity and what it must hide", points=8,
                 needs=["top_lists", "popularity_recall", "seen_recall"])  # fmt: skip
def _popularity(space) -> None:
    function = space["top_lists"]
    X = sparse.csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32))
    scores = np.array([[9.0, 1, 3, 2], [-1, -3, -2, 5]])
    close(call(function, scores, X, k=2), np.array([[2, 3], [0, 2]]), "top_lists of two people", wrong=[
        (np.array([[0, 2], [3, 0]]), "films that a person has already (X) must not be on her list"),
        (np.array([[2, 3], [3, 0]]), "you set seen films to 0, but scores can be negative: use -np.inf"),
        (np.array([[1, 3], [1, 2]]), "the largest score comes first"),
    ])  # fmt: skip
    if not (scores == [[9.0, 1, 3, 2], [-1, -3, -2, 5]]).all():
        raise Failed("top_lists changes the scores that it is given: make a copy first")
    tied = call(function, np.ones((1, 4)), sparse.csr_matrix((1, 4), dtype=np.float32), k=3)
    hint = "at equal scores the lower number comes first: sort -scores with kind='stable'"
    turned = np.array([[3, 2, 1]])
    close(tied, np.array([[0, 1, 2]]), "top_lists of a person to whom all films are worth 1", wrong=[(turned, hint)])
    X, V, _ = parts(space.work)
    hidden = np.nanmean(per_person(X, V, None))
    shown = np.nanmean(right_recall(np.argsort(-right_popularity(X), axis=1, kind="stable")[:, :10], V))
    close(space["popularity_recall"], hidden, "popularity_recall", atol=1e-3,
          wrong={shown: "this is the recall when films that people have seen stay on the list"})  # fmt: skip
    close(space["seen_recall"], shown, "seen_recall", atol=1e-3,
          wrong={hidden: "here the films that people have seen stay on the list"})  # fmt: skip


@assignment.task(6, "Cosine without a loop", points=10, needs=["cosine"])
def _cosine(space) -> None:
    function = space["cosine"]
    X = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0]], np.float32))
    right = right_cosine(X)
    together = np.asarray((X.T @ X).todense(), float)
    whole = right + np.eye(4)
    zero = together - np.diag(np.diag(together))
    n = np.diag(together)
    close(_dense(call(function, X)), right, "cosine of the four films of chapter 4", wrong=[
        (whole, "every film is its own nearest neighbour: set the diagonal to 0"),
        (zero, "these are counts without norms: divide by the square root of n_i n_j"),
        (together, "these are counts without norms, and a diagonal that must be 0"),
        (zero / np.outer(n, n), "divide by the square root of n_i n_j, not by n_i n_j"),
        (right_cosine(X.T), "these are similarities of people: it is X.T @ X, not X @ X.T"),
    ])  # fmt: skip
    empty = sparse.csr_matrix(np.array([[1, 0, 1], [1, 0, 0]], np.float32))
    close(_dense(call(function, empty)), right_cosine(empty), "cosine with a film that nobody chose")
    close(_dense(call(function, X, shrinkage=2)), right_cosine(X, 2), "cosine with shrinkage=2", wrong=[
        (right, "shrinkage is added below the line, to the square root"),
        (right * (together / (together + 2)), "shrinkage is added below the line, to the square root of n_i n_j"),
    ])  # fmt: skip
    _no_loop(function, "X.T @ X holds the counts of all pairs at once, np.outer(n, n) what is below the line")


@assignment.task(7, "Scores by neighbours", points=12, needs=["neighbour_scores"])
def _scores(space) -> None:
    function = space["neighbour_scores"]
    X = choices(6, 8, 0.4, seed=1)
    S = np.random.default_rng(2).random((8, 8))
    np.fill_diagonal(S, 0)
    before = S.copy()
    got = _dense(call(function, X, S, k=3))
    if not (before == S).all():
        raise Failed("neighbour_scores changes the similarities that it is given: make a copy first")
    close(got, right_scores(X, S, 3), "neighbour_scores of 6 people and 8 films with k=3", wrong=[
        (right_scores(X, S, 8), "all similarities count; only the k nearest films of each film must"),
        (X @ right_kept(S, 3), "each film that a person has speaks for its k nearest here; the task asks that each "
                               "candidate listens to its own k nearest: X @ kept.T"),
        (X @ right_kept(S.T, 3), "the k largest of each column are kept; keep those of each row"),
        (X @ right_kept(S.T, 3).T, "the k largest of each column are kept; keep those of each row"),
        (-right_scores(X, -S, 3), "the k smallest similarities are kept"),
    ])  # fmt: skip
    close(_dense(call(function, X, S, k=20)), right_scores(X, S, 8), "neighbour_scores with more neighbours than films")
    _no_loop(function, "sort all rows at once with np.argpartition or np.argsort(..., axis=1)")


@assignment.task(8, "Choose on validation", points=8, needs=["validation_scores", "best", "test_recall"])
def _choose(space) -> None:
    X, V, T = parts(space.work)
    settings = [(10, 0), (60, 20)]
    others = T[::-1].tocsr()  # other held-out films, and of other people: hardly any is found
    right, on_valid = right_validation(X, others, settings), right_validation(X, V, settings)
    hint = "the result does not depend on the argument V: use it in place of a name from outside"
    fixed = [(on_valid, hint), (right_validation(X, T, settings), hint)]
    got = call(space["validation_scores"], X, others, settings)
    close(got, right, "validation_scores(X, V, settings) with other held-out films", fixed, atol=TIES)
    close(call(space["validation_scores"], X, V, settings), on_valid, "validation_scores(X, V, settings)", atol=TIES)
    on_valid, on_test = own_values(space.work)
    best = tuple(space["best"])
    if best not in space.work.settings:
        raise Failed(f"best is {best}; expected one of work.settings, as in (50, 20)")
    at = space.work.settings.index(best)
    if on_valid[at] < on_valid.max() - TIES / 2:
        hint = ""
        if on_test.argmax() == at:
            hint = ": it is the best on test, which must stay closed while we choose"
        raise Failed(f"best is {best}, and another setting has a higher recall on validation{hint}")
    close(space["test_recall"], np.nanmean(per_person(X, T, best)), "test_recall", atol=TIES,
          wrong={on_valid[at]: "that is the recall on validation; now the test part is opened, once"})  # fmt: skip


@assignment.task(9, "A paired interval", points=8, needs=["paired_interval", "difference"])
def _interval(space) -> None:
    function = space["paired_interval"]
    a, b = two_models(400, seed=5)
    ask_interval(function, a, b, "paired_interval of 400 people")
    a[::4] = np.nan
    ask_interval(function, a, b, "paired_interval when a quarter of the people have no value")
    X, _, T = parts(space.work)
    best = tuple(space["best"])
    mean, low, high = paired(per_person(X, T, best), per_person(X, T, None))
    turned = (np.array([-mean, -high, -low]), "popularity less neighbours; asked is neighbours less popularity")
    close(np.asarray(space["difference"], float), np.array([mean, low, high]), "difference", [turned], atol=TIES)


def two_models(n, seed) -> tuple[np.ndarray, np.ndarray]:
    """Values of people by two models, who are easy or hard to serve by both."""
    rng = np.random.default_rng(seed)
    person = rng.normal(0.3, 0.2, n)
    return person + rng.normal(0.03, 0.05, n), person + rng.normal(0, 0.05, n)


def ask_interval(function, a, b, what: str) -> None:
    """Raise :class:`Failed` unless ``function(a, b)`` is about the right mean and interval."""
    got = call(function, a.copy(), b.copy())
    try:
        mean, low, high = (float(value) for value in got)
    except (TypeError, ValueError):
        raise Failed(f"{what} gives {got!r}; expected three numbers: mean difference, low, high") from None
    right = paired(a, b)
    if not np.isfinite([mean, low, high]).all():
        raise Failed(f"{what} gives NaN: leave out people for whom one of the two has no value")
    close(mean, right[0], f"the mean difference in {what}", wrong={-right[0]: "that is b less a"})
    width, expected = high - low, right[2] - right[1]
    keep = np.isfinite(a) & np.isfinite(b)
    n = keep.sum()
    unpaired = 3.92 * np.sqrt((a[keep].var() + b[keep].var()) / n)
    for wrong, hint in (
        (unpaired, "the two models' people are drawn separately; draw people, and take both values of each"),
        (expected * np.sqrt(n), "this is the spread of people, not that of the mean: average each draw"),
        (expected * 1.645 / 1.96, "this is an interval of 90 %: take the percentiles 2.5 and 97.5"),
        (expected / 1.96, "this is one standard error to each side: take the percentiles 2.5 and 97.5"),
    ):
        if abs(width / wrong - 1) < 0.07 and not 0.9 < width / expected < 1.1:
            raise Failed(f"the interval in {what} is {width / expected:.2f} times as wide as it must be: {hint}")
    if not 0.9 < width / expected < 1.1:
        raise Failed(f"the interval in {what} is {width / expected:.2f} times as wide as it must be")
    if not low < mean < high:
        raise Failed(f"the interval in {what} must hold the mean: give mean, low, high in this order")


def _dense(value):
    """A sparse result is as good as a dense one."""
    return np.asarray(value.todense()) if sparse.issparse(value) else value
