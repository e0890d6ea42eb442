"""Late fusion: the scores of several recommenders become one.

The functions (:func:`calibrate`, :func:`weighted_sum`, :func:`borda`, :func:`votes`, :func:`reciprocal_rank`) take a
list of score arrays ``(n_users, n_items)``, one of each part. The classes take fitted parts ``{name: recommender}``,
where a recommender is anything with ``score(users) -> float32 (len(users), n_items)``, and learn from validation what
there is to learn.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import numpy as np

from .. import ranking
from ..errors import NotFittedError, ParameterError, UnknownNameError
from .learners import fit_logistic, fit_trees, tree_scores
from .scores import (
    CALIBRATIONS,
    add,
    aligned,
    ban,
    borda,
    calibrate,
    calibrated,
    check_calibration,
    check_weights,
    mean_ranks,
    reciprocal_rank,
    votes,
    weighted_sum,
)

__all__ = [
    "CALIBRATIONS", "COMBINATIONS", "Borda", "Cascade", "Combination", "ReciprocalRank", "Stacking", "Switch", "Votes",
    "WeightedSum", "borda", "calibrate", "create", "reciprocal_rank", "tree_scores", "votes", "weighted_sum",
]  # fmt: skip


class Combination:
    """Base class: parts, what the users met in training, and what was learned (attributes that end in ``_``).

    A subclass writes ``_combine(users, scores, seen_mask)`` and, if it learns, ``_learn(valid)``.
    """

    #: Does ``fit`` look at validation interactions?
    learns = False
    seen_ = None

    def __init__(self, parts: Mapping[str, object]) -> None:
        if not parts:
            raise ParameterError("parts is empty: give at least one fitted recommender, as {name: recommender}")
        self.parts = dict(parts)

    def fit(self, train, valid=None) -> Combination:
        """Learn how to combine the parts from ``valid`` (Interactions), and return self.

        ``train`` holds the interactions that the parts were fitted on: its items are left out of the lists that
        validation looks at. Without validation interactions, parts count equally.
        """
        self.use(self.parts, train.to_csr())
        self._learn(valid if valid is not None and len(valid) else None)
        return self

    def use(self, parts: Mapping[str, object], seen) -> Combination:
        """Go on with other fitted parts of the same names and what users met (CSR); what was learned stays."""
        if list(parts) != list(self.parts):
            raise ParameterError(f"parts are {list(parts)}, the combination was made for {list(self.parts)}")
        self.parts, self.seen_ = dict(parts), seen
        return self

    def score(self, users) -> np.ndarray:
        """Float32 ``(len(users), n_items)``. Raises :class:`NotFittedError` before ``fit``."""
        users = self._check_users(users)
        return self._combine(users, self._scores(users), self._seen_mask(users))

    def state(self) -> dict:
        """What was learned: arrays, numbers and None by name."""
        return {name: value for name, value in vars(self).items() if name.endswith("_") and name != "seen_"}

    def restore(self, state: dict) -> None:
        """Take over what :meth:`state` gave."""
        vars(self).update(state)

    def _learn(self, valid) -> None:
        """Nothing, unless a subclass says otherwise."""

    def _combine(self, users, scores, seen_mask) -> np.ndarray:
        raise NotImplementedError

    def _check_users(self, users) -> np.ndarray:
        if self.seen_ is None:
            raise NotFittedError(f"{type(self).__name__} has not been fitted yet: call fit(train, valid) first")
        return np.atleast_1d(np.asarray(users, dtype=np.int64))

    def _scores(self, users: np.ndarray) -> list[np.ndarray]:
        return [part.score(users) for part in self.parts.values()]

    def _seen_mask(self, users: np.ndarray) -> np.ndarray:
        mask = np.zeros((len(users), self.seen_.shape[1]), bool)
        mask[ranking.positions(users, self.seen_)] = True
        return mask

    def _named(self, weights) -> np.ndarray:
        """Weights by name or in the order of the parts, as an array."""
        if isinstance(weights, Mapping):
            if set(weights) != set(self.parts):
                raise ParameterError(f"weights name {sorted(weights)}, the parts are {sorted(self.parts)}: name each")
            weights = [weights[name] for name in self.parts]
        return check_weights(weights, len(self.parts))

    def _validation_blocks(self, relevant):
        """Users with validation items, at most ``self.users`` drawn by ``self.seed``, in blocks."""
        users = np.flatnonzero(np.diff(relevant.indptr))
        if len(users) > self.users:
            users = np.sort(np.random.default_rng(self.seed).choice(users, self.users, replace=False))
        return ranking.blocks(users, relevant.shape[1])


class WeightedSum(Combination):
    """Weighted sum of the parts' calibrated scores.

    Parameters
    ----------
    weights : dict or sequence, optional
        By name, or in the order of the parts. Default: learned. Equal weights, each part alone and random points of
        the simplex are tried on validation; the best by NDCG is kept, the first of equals. Afterwards in ``weights_``.
    calibration : str, default "zscore"
        See :func:`calibrate`.
    trials, k, users, seed : int
        Weights that are tried (60), cut-off of NDCG (20), validation users that are looked at, at most (2,000), and
        the seed of both draws (0).
    """

    def __init__(
        self, parts, weights=None, calibration: str = "zscore", trials: int = 60, k: int = 20, users: int = 2000,
        seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(parts)
        self.weights, self.learns = weights, weights is None
        self.calibration = check_calibration(calibration)
        _check_counts(trials=trials, k=k, users=users)
        self.trials, self.k, self.users, self.seed = trials, k, users, seed
        self.weights_ = self._named(weights)

    def _learn(self, valid) -> None:
        self.weights_ = self._named(self.weights)
        if not self.learns or valid is None:
            return
        points = self._points()
        quality, relevant = np.zeros(len(points)), valid.to_csr()
        for users in self._validation_blocks(relevant):
            parts, _, counted = aligned(self._scores(users), self._seen_mask(users))
            parts = [calibrated(part, self.calibration, counted) for part in parts]
            for i, weights in enumerate(points):
                fused = np.where(counted, add(parts, weights), -np.inf).astype(np.float32)
                hit = ranking.hits(ranking.top_k(fused, self.k)[0], users, relevant)
                quality[i] += ranking.ndcg(hit, np.diff(relevant.indptr)[users], self.k).sum()
        self.weights_ = points[quality.argmax()]

    def _points(self) -> np.ndarray:
        """Weights to try: equal ones, each part alone, and random ones, all summing to 1."""
        n = len(self.parts)
        drawn = np.random.default_rng(self.seed).dirichlet(np.ones(n), max(self.trials - n - 1, 0))
        return np.concatenate([np.full((1, n), 1 / n), np.eye(n), drawn])

    def _combine(self, users, scores, seen_mask):
        return weighted_sum(scores, self.weights_, self.calibration, seen_mask)


class Borda(Combination):
    """Borda count of the parts; see :func:`borda`. ``weights``: by name or in order, default 1 each."""

    def __init__(self, parts, weights=None) -> None:
        super().__init__(parts)
        self.weights = self._named(weights)

    def _combine(self, users, scores, seen_mask):
        return borda(scores, self.weights, seen_mask)


class Votes(Borda):
    """Votes of the parts for their best ``k`` (default 20); see :func:`votes`. ``weights``: default 1 each."""

    def __init__(self, parts, k: int = 20, weights=None) -> None:
        super().__init__(parts, weights)
        self.k = ranking.check_k(k)

    def _combine(self, users, scores, seen_mask):
        return votes(scores, self.k, self.weights, seen_mask)


class ReciprocalRank(Borda):
    """Reciprocal rank fusion, ``k`` 60 by default; see :func:`reciprocal_rank`. ``weights``: default 1 each."""

    def __init__(self, parts, k: float = 60, weights=None) -> None:
        super().__init__(parts, weights)
        if not k >= 0:
            raise ParameterError(f"k={k!r}: give a number of at least 0")
        self.k = k

    def _combine(self, users, scores, seen_mask):
        return reciprocal_rank(scores, self.k, self.weights, seen_mask)


class Switch(Combination):
    """The first part for users with at least ``threshold`` training items, the second for the others (Burke, 2002).

    Parameters
    ----------
    threshold : int or sequence, default 10
        One number for each part but the last, falling: who has fewer items than a part's number goes on to the next.
    by : {"user", "item"}, default "user"
        ``"item"`` counts the users of each item instead; the parts' scores are then calibrated, since they meet in
        one list.
    calibration : str, default "zscore"
        See :func:`calibrate`; for ``by="item"`` only.
    """

    def __init__(self, parts, threshold=10, by: str = "user", calibration: str = "zscore") -> None:
        super().__init__(parts)
        falling = np.atleast_1d(np.asarray(threshold, dtype=float))
        if falling.shape != (len(self.parts) - 1,) or not (np.diff(falling) < 0).all() or not (falling > 0).all():
            raise ParameterError(
                f"threshold={threshold!r}: give one number above 0 for each part but the last, each smaller than the "
                f"one before; the parts are {list(self.parts)}"
            )
        if by not in ("user", "item"):
            raise ParameterError(f"by={by!r}: choose 'user' or 'item'")
        self.threshold, self.by, self.calibration = falling, by, check_calibration(calibration)

    def score(self, users):
        users = self._check_users(users)
        scores = np.empty((len(users), self.seen_.shape[1]), np.float32)
        if self.by == "item":
            which, seen_mask = self._which(_item_counts(self.seen_)), self._seen_mask(users)
            for number, part in enumerate(self.parts.values()):
                mine = which == number
                scores[:, mine] = calibrate(part.score(users), self.calibration, seen_mask)[:, mine]
            return scores
        which = self._which(np.diff(self.seen_.indptr)[users])
        for number, part in enumerate(self.parts.values()):
            if (which == number).any():
                scores[which == number] = part.score(users[which == number])
        return scores

    def _which(self, counts: np.ndarray) -> np.ndarray:
        return (counts[:, None] < self.threshold).sum(axis=1)


class Cascade(Combination):
    """The first part chooses ``k`` candidates among the unseen items, the second orders them (Burke, 2002).

    All other items follow in the order of the first part, seen ones too. The scores say the order only. ``k``: 100.
    """

    def __init__(self, parts, k: int = 100) -> None:
        super().__init__(parts)
        if len(self.parts) != 2:
            raise ParameterError(f"parts are {list(self.parts)}: a cascade has two, the one that chooses comes first")
        self.k = ranking.check_k(k)

    def _combine(self, users, scores, seen_mask):
        (first, second), banned, counted = aligned(scores, seen_mask)
        return ban(_layers(np.where(_best(first, counted, self.k), second, -np.inf), first), banned)


class Stacking(Combination):
    """A classifier over the parts' opinions, learned on validation (Wolpert, 1992), orders the best items of all parts.

    A pair of user and item is described by each part's z-score and rank, the logarithm of the item's popularity and of
    the length of the user's history. Validation items among the candidates are positive, a sample of the other
    candidates negative. What is no candidate follows in the order of the sum of z-scores; so does everything when no
    validation item was among the candidates. The scores say the order only.

    Parameters
    ----------
    learner : {"logistic", "boosting", "forest"}, default "logistic"
        Of scikit-learn: logistic regression on standardised features, gradient boosting (100 trees of depth 3, each on
        a third of the pairs), random forest (100 trees of depth 8 with at least 20 pairs a leaf).
    candidates : int, default 200
        Best unseen items of each part.
    negatives : int, default 10
        Negatives for each positive of the same user.
    users, seed : int
        Validation users that are looked at, at most (2,000), and the seed of all draws (0).
    learner_options : dict, optional
        Other parameters for scikit-learn's class.
    """

    learns = True

    def __init__(
        self, parts, learner: str = "logistic", candidates: int = 200, negatives: int = 10, users: int = 2000,
        seed: int = 0, learner_options: Mapping | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parts)
        if learner not in ("logistic", "boosting", "forest"):
            raise ParameterError(f"learner={learner!r}: choose one of logistic, boosting, forest")
        _check_counts(candidates=candidates, negatives=negatives, users=users)
        self.learner, self.candidates, self.negatives, self.users = learner, candidates, negatives, users
        self.seed, self.learner_options = seed, dict(learner_options or {})
        self.bias_ = None  # of the learner; None as long as nothing was learned

    def _learn(self, valid) -> None:
        self.bias_ = None
        features, labels = self._examples(valid) if valid is not None else (None, np.zeros(0))
        if not 0 < labels.sum() < len(labels):
            return
        if self.learner == "logistic":
            self.coef_, self.bias_ = fit_logistic(features, labels, self.learner_options)
            return
        trees, self.bias_ = fit_trees(
            self.learner, features, labels, {"random_state": self.seed, **self.learner_options}
        )
        self.restore({f"tree_{name}_": value for name, value in trees.items()})

    def _examples(self, valid) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of the pairs to learn from."""
        relevant, rng, examples = valid.to_csr(), np.random.default_rng(self.seed), []
        for users in self._validation_blocks(relevant):
            rows, items, features, _, _ = self._pairs(users, self._scores(users), self._seen_mask(users))
            label = ranking.hits(items[:, None], users[rows], relevant)[:, 0]
            positive = np.bincount(rows, label, len(users))
            negative = np.bincount(rows, minlength=len(users)) - positive
            share = self.negatives * positive / np.maximum(negative, 1)
            keep = label | (rng.random(len(rows)) < share[rows])
            examples.append((features[keep], label[keep]))
        return tuple(np.concatenate(column) for column in zip(*examples, strict=True))

    def _pairs(self, users, scores, seen_mask):
        """Rows, items and features of the candidates, the sum of z-scores of all items, and who is excluded."""
        parts, banned, counted = aligned(scores, seen_mask)
        rows, items = np.nonzero(np.any([_best(part, counted, self.candidates) for part in parts], axis=0))
        z_scores = [calibrated(part, "zscore", counted) for part in parts]
        columns = [z[rows, items] for z in z_scores]
        columns += [mean_ranks(part, counted)[rows, items] for part in parts]
        columns += [np.log1p(_item_counts(self.seen_))[items], np.log1p(np.diff(self.seen_.indptr))[users[rows]]]
        return rows, items, np.stack(columns, axis=1).astype(np.float32), sum(z_scores), banned

    def _combine(self, users, scores, seen_mask):
        rows, items, features, z_scores, banned = self._pairs(users, scores, seen_mask)
        if self.bias_ is None:
            return ban(z_scores, banned)
        chosen = np.full(z_scores.shape, -np.inf)
        chosen[rows, items] = self._learned(features)
        return ban(_layers(chosen, z_scores), banned)

    def _learned(self, features: np.ndarray) -> np.ndarray:
        if self.learner == "logistic":
            return features @ self.coef_ + self.bias_
        trees = {name: getattr(self, f"tree_{name}_") for name in ("feature", "threshold", "left", "right", "value")}
        return tree_scores(features, trees) + self.bias_


#: Name to class, for :func:`create`.
COMBINATIONS: dict[str, type[Combination]] = {
    "weighted": WeightedSum,
    "borda": Borda,
    "votes": Votes,
    "rrf": ReciprocalRank,
    "stacking": Stacking,
    "switch": Switch,
    "cascade": Cascade,
}


def create(how: str, parts: Mapping[str, object], seed: int = 0, **options) -> Combination:
    """A combination by name; ``seed`` goes to those that draw. Raises for unknown names and options."""
    if how not in COMBINATIONS:
        raise UnknownNameError("combination", how, COMBINATIONS)
    known = [name for name in inspect.signature(COMBINATIONS[how].__init__).parameters if name not in ("self", "parts")]
    for name in options:
        if name not in known:
            raise ParameterError(f"options: {how!r} has no option {name!r}; it has {', '.join(known)}")
    if "seed" in known:
        options = {"seed": seed, **options}
    return COMBINATIONS[how](parts, **options)


def _check_counts(**numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ParameterError(f"{name}={number!r}: give a whole number of at least 1")


def _item_counts(seen) -> np.ndarray:
    return np.bincount(seen.indices, minlength=seen.shape[1])


def _best(values: np.ndarray, counted: np.ndarray, k: int) -> np.ndarray:
    """Boolean like ``values``: is the item among the best ``k`` of those that count?"""
    items, _ = ranking.top_k(np.where(counted, values, np.float32(-np.inf)), k)
    best = np.zeros(values.shape, bool)
    rows, places = np.nonzero(items >= 0)
    best[rows, items[rows, places]] = True
    return best


def _layers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Order by ``first``, equal ones by ``second``, then lower codes first, written as even steps from 0 to 1."""
    codes = np.broadcast_to(-np.arange(first.shape[1]), first.shape)
    order = np.lexsort((codes, second, first), axis=1)
    ranks = np.empty(first.shape)
    np.put_along_axis(ranks, order, np.linspace(0, 1, first.shape[1])[None], axis=1)
    return ranks
