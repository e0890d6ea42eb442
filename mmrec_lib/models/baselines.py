"""Recommenders that do not look at the person: the yardsticks that every other model must beat."""

from __future__ import annotations

import numpy as np

from ..checks import above
from ..errors import DataError
from .base import Recommender


class Random(Recommender):
    """Every item gets a random score, fixed for each user by ``seed``.

    Parameters
    ----------
    seed : int, default 0
    """

    name = "random"
    scores_new_users = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _fit(self, train, features, valid) -> None:
        pass

    def _score(self, users: np.ndarray) -> np.ndarray:
        # a hash of (seed, user, item), so that a user's scores do not depend on who else is asked for
        with np.errstate(over="ignore"):
            x = users.astype(np.uint64)[:, None] * np.uint64(self.n_items_) + np.arange(self.n_items_, dtype=np.uint64)
            x += np.uint64(self.seed % 2**63) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64 finaliser
                x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
            x ^= x >> np.uint64(31)
        return (x >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


class Popularity(Recommender):
    """Everybody gets the most popular items: the number of users who met the item.

    Parameters
    ----------
    half_life_days : float, optional
        Count recent events more: an event loses half its weight in this many days before the last one. Needs times.
        Default: all events count the same.
    """

    name = "popularity"
    histories = "exact"
    scores_new_users = True

    def __init__(self, half_life_days: float | None = None) -> None:
        self.half_life_days = None if half_life_days is None else above("half_life_days", half_life_days, 0)

    def _fit(self, train, features, valid) -> None:
        if self.half_life_days is None:
            self.item_scores_ = self.popularity_
            return
        if train.time is None:
            raise DataError("half_life_days needs times, and these interactions have none; leave it at None")
        age_days = (train.time.max() - train.time) / 86_400
        weight = 0.5 ** (age_days / self.half_life_days)
        self.item_scores_ = np.bincount(train.item, weights=weight, minlength=train.n_items).astype(np.float32)

    def _score_histories(self, histories, users):
        return np.broadcast_to(self.item_scores_, (histories.shape[0], self.n_items_))
