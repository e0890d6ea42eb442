"""Groups of items (genres, tags, makers): how they are given, and how much of a list or a history each one takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import DataError

#: How much of the history is mixed into a list before the two are compared, so that no logarithm is infinite.
SMOOTHING = 0.01


def group_matrix(groups, n_items: int) -> np.ndarray:
    """Which item belongs to which group, float64 ``(n_items, n_groups)`` from 0 to 1.

    Parameters
    ----------
    groups
        One label per item (``None``, ``NaN`` or a negative number where an item has none), one set or list of labels
        per item, or a table ``(n_items, n_groups)``: array, DataFrame or sparse matrix, with ones and zeros, or with
        shares between them.
    n_items
        Size of the catalogue.

    Raises
    ------
    DataError
        Another number of items, values that are not numbers from 0 to 1, no group at all.
    """
    return named_groups(groups, n_items)[0]


def named_groups(groups, n_items: int) -> tuple[np.ndarray, list]:
    """The matrix of :func:`group_matrix` and the names of its columns: a table's own, or labels as they first occur."""
    if sparse.issparse(groups):
        groups = groups.toarray()
    if len(groups) != n_items:
        raise DataError(f"groups are given for {len(groups)} items, there are {n_items}: give one row per item code")
    if getattr(groups, "ndim", 1) == 2:
        matrix = _numbers(groups)
        names = list(getattr(groups, "columns", range(matrix.shape[1])))
    else:
        matrix, names = _from_labels(groups)
    if not matrix.any():
        raise DataError("groups: no item belongs to any group")
    return matrix, names


def _numbers(table) -> np.ndarray:
    try:
        matrix = np.asarray(table).astype(np.float64)
    except (TypeError, ValueError):
        raise DataError("groups: a table must hold numbers; give labels as one list per item") from None
    if not ((matrix >= 0) & (matrix <= 1)).all():
        raise DataError("groups: a table must hold numbers from 0 (not in the group) to 1 (in the group)")
    return matrix


def _from_labels(groups) -> tuple[np.ndarray, list]:
    """Ones and zeros from one label, or one collection of labels, for each item; and the labels."""
    labels = pd.Series([sorted(g, key=str) if isinstance(g, (set, frozenset)) else g for g in groups], dtype=object)
    labels = labels.explode()
    known = labels.notna() & ~labels.map(lambda label: isinstance(label, (int, float, np.number)) and label < 0)
    codes, names = pd.factorize(labels[known])
    matrix = np.zeros((len(groups), len(names)))
    matrix[labels.index[known], codes] = 1
    return matrix, list(names)


def as_shares(amounts: np.ndarray) -> np.ndarray:
    """Each row (the last axis) divided by its sum; a row of zeros stays as it is.

    The rows of a group matrix then say how each item divides evenly among its groups.
    """
    total = amounts.sum(axis=-1, keepdims=True)
    return amounts / np.where(total > 0, total, 1)


def history_shares(met: sparse.csr_matrix, users: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How the items that a user met (the row of ``met``) divide among the groups, float64 ``(len(users), n_groups)``.

    Items without a group are left out; a user who has no others gets zeros.
    """
    return as_shares(np.asarray(met[users] @ shares, dtype=np.float64))


def list_shares(items: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The same for lists of item codes ``(n_users, k)``, in which -1 is an empty place."""
    real = items >= 0
    rows = np.repeat(np.arange(len(items)), real.sum(axis=1))
    pick = sparse.csr_matrix((np.ones(len(rows)), (rows, items[real])), (len(items), len(shares)))
    return as_shares(np.asarray(pick @ shares))


def divergence(history: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in bits of ``shown`` from ``history``, over the last axis (Steck, 2018).

    ``shown`` is first mixed with one hundredth of ``history``: a list that lacks a group of the history costs much,
    but not infinitely much. The two arrays are broadcast; rows are shares that sum to one.
    """
    absent = history <= 0  # a group that adds nothing, whatever its logarithm
    mixed = (1 - SMOOTHING) * shown + SMOOTHING * history + absent
    return (history * (np.log2(history + absent) - np.log2(mixed))).sum(axis=-1)
