"""Negative sampling: items that a user has not met, drawn for a whole epoch at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from ..errors import DataError, ParameterError, UnknownNameError

_HOW = ("uniform", "popularity", "hard")
_ROUNDS = 20  # redraws of rejected negatives, before what is left is drawn exactly


class NegativeSampler:
    """Draws items that are no positives of the user.

    Parameters
    ----------
    seen : CSR matrix (n_users, n_items)
        The positives; entry values do not matter.
    how
        ``"uniform"``: every other item is equally likely.
        ``"popularity"``: in proportion to ``max(users of the item, 1) ** exponent`` (Mikolov et al., 2013, use .75).
        ``"hard"``: the highest scored of ``candidates`` uniform draws (Zhang et al., 2013); ``sample`` needs ``score``.
    exponent : float, default 0.75
    candidates : int, default 8

    Attributes
    ----------
    has_negative : bool (n_users,)
        False for a user who met every item: there is nothing to draw, and ``sample`` refuses.
    log_q : float32 (n_items,)
        Log probability of drawing each item, before rejection: the correction of a sampled softmax.
    """

    def __init__(
        self, seen: sparse.csr_matrix, how: str = "uniform", exponent: float = 0.75, candidates: int = 8
    ) -> None:
        if how not in _HOW:
            raise UnknownNameError("way of negative sampling", how, _HOW)
        if isinstance(candidates, bool) or candidates < 1:
            raise ParameterError(f"candidates={candidates!r}: at least one item must be drawn")
        self.how, self.candidates = how, int(candidates)
        seen = seen.tocsr()
        if not seen.has_canonical_format:
            seen = seen.copy()
            seen.sum_duplicates()
        self.n_users, self.n_items = seen.shape
        self._starts = seen.indptr[:-1].astype(np.int64)
        counts = np.diff(seen.indptr)
        self.has_negative = counts < self.n_items
        self._free = (self.n_items - counts).astype(np.int64)
        users = np.repeat(np.arange(self.n_users, dtype=np.int64), counts)
        self._keys = users * self.n_items + seen.indices
        # how many free items lie before each positive, as a key that sorts by user first
        rank = np.arange(len(users)) - np.repeat(self._starts, counts)
        self._free_keys = users * (self.n_items + 1) + (seen.indices - rank)

        weight = np.ones(self.n_items)
        if how == "popularity":
            weight = np.maximum(np.bincount(seen.indices, minlength=self.n_items), 1.0) ** exponent
        self._cumulative = np.cumsum(weight / weight.sum())
        self.log_q = np.log(weight / weight.sum()).astype(np.float32)

    def sample(
        self,
        users: np.ndarray,
        n: int = 1,
        rng: np.random.Generator | int = 0,
        score: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> np.ndarray:
        """``n`` negatives for each of ``users`` (which may repeat): int32 array ``(len(users), n)``.

        ``score(users, items)`` gives the scores of pairs, for ``how="hard"``: users ``(b,)``, items ``(b, m)``, result
        ``(b, m)``. Raises :class:`DataError` for a user who met every item.
        """
        rng = np.random.default_rng(rng)
        users = np.asarray(users, dtype=np.int64)
        if not self.has_negative[users].all():
            user = users[~self.has_negative[users]][0]
            raise DataError(f"user {user} has met all {self.n_items} items: no negative exists; leave such users out")
        if self.how == "popularity":
            return self._popular(np.repeat(users, n), rng).reshape(len(users), n)
        if self.how == "uniform":
            return self._uniform(np.repeat(users, n), rng).reshape(len(users), n)
        if score is None:
            raise ParameterError('how="hard" needs score(users, items) to choose the hardest candidates')
        many = np.repeat(users, n)
        drawn = self._uniform(np.repeat(many, self.candidates), rng).reshape(len(many), self.candidates)
        best = np.asarray(score(many, drawn)).argmax(axis=1)
        return np.take_along_axis(drawn, best[:, None], axis=1).reshape(len(users), n)

    def is_positive(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Has the user met the item? One binary search for each pair in the sorted keys ``user * n_items + item``."""
        wanted = np.asarray(users, dtype=np.int64) * self.n_items + items
        if not len(self._keys):
            return np.zeros(wanted.shape, bool)
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return self._keys[place] == wanted

    def _uniform(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Exactly uniform without rejection: draw the number of a free item, add the positives that lie before it."""
        number = (rng.random(len(users)) * self._free[users]).astype(np.int64)
        before = np.searchsorted(self._free_keys, users * (self.n_items + 1) + number, side="right")
        return (number + before - self._starts[users]).astype(np.int32)

    def _popular(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw, reject the positives, and draw those again."""
        items = self._weighted(len(users), rng)
        wrong = np.flatnonzero(self.is_positive(users, items))
        for _ in range(_ROUNDS):
            if not len(wrong):
                return items
            items[wrong] = self._weighted(len(wrong), rng)
            wrong = wrong[self.is_positive(users[wrong], items[wrong])]
        # users whose positives hold nearly all the weight: exact, from their own distribution
        weight = np.diff(self._cumulative, prepend=0.0)
        for user in np.unique(users[wrong]):
            rows = wrong[users[wrong] == user]
            free = np.flatnonzero(~self.is_positive(np.full(self.n_items, user), np.arange(self.n_items)))
            items[rows] = rng.choice(free, size=len(rows), p=weight[free] / weight[free].sum())
        return items

    def _weighted(self, n: int, rng: np.random.Generator) -> np.ndarray:
        drawn = np.searchsorted(self._cumulative, rng.random(n), side="right")
        return np.minimum(drawn, self.n_items - 1).astype(np.int32)
