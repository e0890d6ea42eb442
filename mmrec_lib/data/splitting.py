"""Five ways to hold data out, each free of leakage between its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import DataError, ParameterError, UnknownNameError
from .dataset import Dataset
from .interactions import Interactions


@dataclass(frozen=True)
class Split:
    """Train, validation and test interactions over the same user and item codes."""

    train: Interactions
    valid: Interactions
    test: Interactions
    how: str = "given"
    seed: int | None = None

    def summary(self) -> pd.DataFrame:
        """One row per part: interactions, users and items that occur in it, and pairs with an item new to training."""
        known = self.train.item_counts() > 0
        rows = {}
        for name in ("train", "valid", "test"):
            part = getattr(self, name)
            rows[name] = {
                "interactions": len(part),
                "users": int((part.user_counts() > 0).sum()),
                "items": int((part.item_counts() > 0).sum()),
                "with new item": int((~known[part.item]).sum()),
            }
        return pd.DataFrame(rows).T

    def __repr__(self) -> str:
        return f"Split({self.how!r}: {len(self.train):,} train, {len(self.valid):,} valid, {len(self.test):,} test)"


def split(
    data: Dataset | Interactions,
    how: str = "random",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Divide interactions into train, validation and test.

    Parameters
    ----------
    data : Dataset or Interactions
    how
        ``"random"``: within each user, at random; a user with at least three items gets at least one in each part
        whose fraction is above zero.
        ``"temporal"``: one global cut in time; everything in train is earlier than anything in validation, and that
        earlier than anything in test. Events at the same second stay together.
        ``"leave-last-out"``: each user's last item is the test, the one before it the validation (``fractions`` is
        not used); users with fewer than three items stay in train; equal times are ordered at random.
        ``"cold-items"``: whole items; none of the validation and test items occurs in train.
        ``"cold-users"``: whole users likewise.
    fractions
        Shares of train, validation and test, summing to one: of each user's items (random), of the events
        (temporal), of the items or users that occur (cold).
    seed
        Seed of every random choice.

    Returns
    -------
    Split
        No user-item pair occurs in two parts. When a pair has several events, ``"random"`` keeps them together,
        ``"temporal"`` drops repeats of an earlier part's pair from validation and test, and ``"leave-last-out"`` keeps
        the first event of each pair only: a repeat is not a discovery.

    Raises
    ------
    UnknownNameError, ParameterError, DataError
        Unknown ``how``; fractions that are negative or do not sum to one; no events, no times where needed, or
        nothing left to train on.
    """
    events = data.interactions if isinstance(data, Dataset) else data
    if how not in _HOW:
        raise UnknownNameError("split", how, _HOW)
    fractions = _check_fractions(fractions)
    if not len(events):
        raise DataError("there are no interactions to split")
    if how in ("temporal", "leave-last-out") and events.time is None:
        raise DataError(f"how={how!r} needs times, and these interactions have none; use how='random'")
    part = _HOW[how](events, fractions, np.random.default_rng(seed))
    if not (part == 0).any():
        raise DataError(
            f"how={how!r} with fractions {tuple(fractions.tolist())} leaves nothing to train on (too few events, items "
            "or users, or all at the same time); give train a larger share, or choose another split"
        )
    parts = [events.select(part == p) for p in range(3)]
    return Split(*parts, how=how, seed=seed)


def _check_fractions(fractions: Sequence[float]) -> np.ndarray:
    try:
        shares = np.asarray(fractions, dtype=float)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    if shares.shape != (3,) or (shares < 0).any() or not np.isclose(shares.sum(), 1) or shares[0] == 0:
        raise ParameterError(
            f"fractions={fractions!r}: give three shares for train, validation and test that are not negative, "
            "sum to 1, and leave something to train on"
        )
    return shares


# Each function returns one number per event: 0 train, 1 validation, 2 test, -1 dropped.


def _random(events: Interactions, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    keys, pair_of_event = np.unique(events.keys(), return_inverse=True)
    user = keys // events.n_items
    rank, count = _rank_within(user, rng.random(len(keys)))
    least = [(count >= 3) & (share > 0) for share in fractions]
    valid, test = (np.maximum(np.floor(fractions[p] * count + 1e-9), least[p]) for p in (1, 2))
    test = np.minimum(test, count - least[0] - least[1])
    valid = np.minimum(valid, count - least[0] - test)
    part = np.where(rank < test, 2, np.where(rank < test + valid, 1, 0))
    return part[pair_of_event]


def _temporal(events: Interactions, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if fractions[0] == 1:
        return np.zeros(len(events), int)
    ordered = np.sort(events.time)
    n = len(ordered)
    ends = np.minimum(np.round(np.cumsum(fractions[:2]) * n).astype(int), n - 1)
    cuts = ordered[ends]  # first second that belongs to the next part
    part = (events.time >= cuts[0]).astype(int)
    if fractions[2] > 0:
        part += events.time >= cuts[1]
    return _drop_repeats(events, part)


def _leave_last_out(events: Interactions, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # order by time, ties at random; then keep the first event of every pair
    order = np.lexsort((rng.random(len(events)), events.time))
    _, index = np.unique(events.keys()[order], return_index=True)
    first = order[index]
    position = np.empty(len(events), dtype=np.int64)
    position[order] = np.arange(len(events))
    from_last, count = _rank_within(events.user[first], -position[first])
    part = np.full(len(events), -1)
    part[first] = np.where(count >= 3, np.select([from_last == 0, from_last == 1], [2, 1], 0), 0)
    return part


def _cold_items(events: Interactions, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _whole(events.item, events.n_items, fractions, rng)


def _cold_users(events: Interactions, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _whole(events.user, events.n_users, fractions, rng)


_HOW = {
    "random": _random,
    "temporal": _temporal,
    "leave-last-out": _leave_last_out,
    "cold-items": _cold_items,
    "cold-users": _cold_users,
}


def _whole(codes: np.ndarray, n: int, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    present = rng.permutation(np.unique(codes))
    n_valid, n_test = (round(f * len(present)) for f in fractions[1:])
    part_of_code = np.zeros(n, int)
    part_of_code[present[:n_test]] = 2
    part_of_code[present[n_test : n_test + n_valid]] = 1
    return part_of_code[codes]


def _rank_within(group: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank of each element among its group by ``key`` (0 is the smallest), and the size of its group."""
    order = np.lexsort((key, group))
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - starts[group[order]]
    return rank, sizes[group]


def _drop_repeats(events: Interactions, part: np.ndarray) -> np.ndarray:
    """Mark with -1 the held-out events whose pair occurs in an earlier part."""
    keys, pair = np.unique(events.keys(), return_inverse=True)
    met = np.zeros((3, len(keys)), dtype=bool)  # which part has which pair
    met[part, pair] = True
    earlier = np.logical_or.accumulate(np.vstack([np.zeros_like(met[:1]), met[:2]]))
    return np.where(earlier[part, pair], -1, part)
