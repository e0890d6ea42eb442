"""Interactions: who met what, when, and how much they liked it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import DataError, UnknownItemError, UnknownUserError


class Interactions:
    """A table of events between users and items, as plain arrays of integer codes.

    Parameters
    ----------
    user, item
        Integer codes, one per event; a code is the row number in ``Dataset.users`` or ``Dataset.items``.
    value
        Strength of the event: a rating, a play count. Default: 1 for every event (implicit feedback).
    time
        Seconds since 1970, or ``None`` when unknown.
    n_users, n_items
        Number of users and items that exist, also those without an event. Default: largest code plus one.

    Attributes
    ----------
    user, item : int32 arrays
    value : float32 array
    time : int64 array or None

    Raises
    ------
    DataError
        Arrays of different length, values that are not finite, codes that are not integers.
    UnknownUserError, UnknownItemError
        A code that is negative or not below ``n_users`` / ``n_items``.

    Examples
    --------
    >>> events = Interactions([0, 0, 1], [2, 0, 2], value=[5, 3, 4])
    >>> events
    Interactions(3 events, 2 users, 3 items, values 3 to 5, no times)
    >>> events.to_csr().toarray()
    array([[1., 0., 1.],
           [0., 0., 1.]], dtype=float32)
    """

    columns = ("user", "item", "value", "time")

    def __init__(self, user, item, value=None, time=None, n_users: int | None = None, n_items: int | None = None):
        self.user = _codes(user, "user")
        self.item = _codes(item, "item")
        n = len(self.user)
        self.value = np.ones(n, np.float32) if value is None else _values(value)
        self.time = None if time is None else _times(time)
        for name in ("item", "value", "time"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise DataError(f"{name} has {len(column)} entries, user has {n}: give one entry per event")
        self.n_users = _size(self.user, n_users, "user", UnknownUserError)
        self.n_items = _size(self.item, n_items, "item", UnknownItemError)

    # -- size and shape ------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.user)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_users, n_items)``."""
        return self.n_users, self.n_items

    @property
    def density(self) -> float:
        """Share of all user-item pairs with at least one event, between 0 and 1."""
        cells = self.n_users * self.n_items
        return len(np.unique(self.keys())) / cells if cells else 0.0

    def __repr__(self) -> str:
        values = "all values 1"
        if len(self) and not (self.value == 1).all():
            values = f"values {self.value.min():g} to {self.value.max():g}"
        return (
            f"Interactions({len(self):,} events, {self.n_users:,} users, {self.n_items:,} items, "
            f"{values}, {'no times' if self.time is None else 'with times'})"
        )

    # -- views ---------------------------------------------------------------------------------------------------
    def keys(self) -> np.ndarray:
        """One int64 per event that names its user-item pair: ``user * n_items + item``."""
        return self.user.astype(np.int64) * self.n_items + self.item

    def user_counts(self) -> np.ndarray:
        """Number of events of each user, int64 ``(n_users,)``."""
        return np.bincount(self.user, minlength=self.n_users)

    def item_counts(self) -> np.ndarray:
        """Number of events of each item, int64 ``(n_items,)``."""
        return np.bincount(self.item, minlength=self.n_items)

    def to_csr(self, values: bool = False) -> sparse.csr_matrix:
        """Sparse float32 matrix ``(n_users, n_items)``, sorted, without repeated pairs.

        Ones where a pair met at all; with ``values=True`` the value of the pair (the last one given, when a
        pair occurs more than once). A value of zero stays a stored entry.
        """
        keys = self.keys()
        # np.unique keeps the first of equals, so look from the end to keep the last value of a repeated pair
        unique, index = np.unique(keys[::-1], return_index=True)
        data = self.value[::-1][index] if values else np.ones(len(unique), np.float32)
        rows, cols = np.divmod(unique, max(self.n_items, 1))
        indptr = np.zeros(self.n_users + 1, np.int32)
        np.cumsum(np.bincount(rows, minlength=self.n_users), out=indptr[1:])
        return sparse.csr_matrix((data.astype(np.float32), cols.astype(np.int32), indptr), shape=self.shape)

    def to_frame(self) -> pd.DataFrame:
        """DataFrame with columns user, item, value and, if known, time (seconds)."""
        columns = {"user": self.user, "item": self.item, "value": self.value}
        if self.time is not None:
            columns["time"] = self.time
        return pd.DataFrame(columns)

    # -- new tables from this one --------------------------------------------------------------------------------
    def select(self, which) -> Interactions:
        """The events named by a boolean mask or an index array; the users and items that exist stay the same."""
        which = np.asarray(which)
        if not which.size:
            which = which.astype(np.int64)
        time = None if self.time is None else self.time[which]
        return Interactions(self.user[which], self.item[which], self.value[which], time, self.n_users, self.n_items)

    def at_least(self, value: float) -> Interactions:
        """Events whose value is at least ``value``: "liked" for ratings of 4 and 5."""
        return self.select(self.value >= value)

    @staticmethod
    def concat(parts: Iterable[Interactions]) -> Interactions:
        """One table from several over the same codes; times are kept when all parts have them."""
        parts = list(parts)
        if not parts:
            raise DataError("concat needs at least one table of interactions")
        if len({p.shape for p in parts}) > 1:
            raise DataError(f"the tables count different users or items: {sorted({p.shape for p in parts})}")
        timed = all(p.time is not None for p in parts)
        columns = [np.concatenate([getattr(p, c) for p in parts]) for c in ("user", "item", "value")]
        time = np.concatenate([p.time for p in parts]) if timed else None
        return Interactions(*columns, time, *parts[0].shape)


def _codes(values, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{name} must be one-dimensional (one code per event); got shape {array.shape}")
    if array.size == 0:
        return np.zeros(0, np.int32)
    if not np.issubdtype(array.dtype, np.integer):
        real = np.issubdtype(array.dtype, np.floating)
        if not (real and np.isfinite(array).all() and (array == np.floor(array)).all()):
            raise DataError(
                f"{name} must hold integer codes; got {array.dtype}. "
                "For raw ids use mm.data.Dataset.from_frame, which assigns the codes."
            )
    limit = np.iinfo(np.int32).max
    if array.max() >= limit or array.min() < -limit:
        code = array.max() if array.max() >= limit else array.min()
        raise DataError(f"{name}: code {code} does not fit into 32 bits; number the {name}s from 0")
    return array.astype(np.int32)


def _values(values) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"value must hold numbers: {error}") from None
    if array.ndim != 1:
        raise DataError(f"value must be one-dimensional (one number per event); got shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise DataError(f"value of event {bad[0]} is {array[bad[0]]} ({len(bad)} such): drop or fill it before")
    return array


def _times(values) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"time must be one-dimensional (one time per event); got shape {array.shape}")
    if np.issubdtype(array.dtype, np.datetime64):
        if np.isnat(array).any():
            raise DataError(f"time of event {np.isnat(array).argmax()} is missing: drop it, or give time=None")
        return array.astype("datetime64[s]").astype(np.int64)
    if array.size and not np.issubdtype(array.dtype, np.number):
        raise DataError(f"time must be seconds since 1970 or datetimes; got {array.dtype}")
    if array.size and not np.isfinite(array.astype(np.float64)).all():
        raise DataError("time holds values that are not finite: drop those events, or give time=None")
    return array.astype(np.int64)


def _size(codes: np.ndarray, given: int | None, name: str, error: type[Exception]) -> int:
    largest = int(codes.max()) if len(codes) else -1
    if len(codes) and codes.min() < 0:
        raise error(f"{name} code {codes.min()} is negative; codes run from 0")
    if given is None:
        return largest + 1
    if given < 0:
        raise DataError(f"n_{name}s={given}: there cannot be fewer than no {name}s")
    if largest >= given:
        raise error(f"{name} code {largest} is unknown: there are {given} {name}s, codes 0 to {given - 1}")
    return int(given)
