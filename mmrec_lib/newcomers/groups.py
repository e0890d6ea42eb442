"""What people of the same age, sex or occupation chose: a first guess about somebody who has chosen nothing yet."""

from __future__ import annotations

import numpy as np

from ..checks import at_least
from ..data import Interactions
from ..errors import DataError, NotFittedError


class GroupPopularity:
    """Popularity among the people of one's own groups, drawn towards everybody's.

    ``score = mean over the person's groups g of (n_gi + smoothing p_i) / (n_g + smoothing)``: of the ``n_g`` training
    people of the group ``n_gi`` met the thing, of all people the share ``p_i``. Who is in no group gets ``p_i``. It
    needs no history, and it ignores one: a beginning, until the first clicks arrive.

    Parameters
    ----------
    smoothing : float, default 50
        People of everybody's taste that are added to each group; 0 or more. The larger, the closer to popularity.

    Attributes
    ----------
    group_scores_ : float32 (n_groups, n_items)
    """

    name = "groups"

    def __init__(self, smoothing: float = 50.0) -> None:
        self.smoothing = at_least("smoothing", smoothing, 0)

    def fit(self, train: Interactions, groups) -> GroupPopularity:
        """Learn from ``train``.

        Parameters
        ----------
        groups : array or DataFrame ``(n_users, n_groups)``
            Ones and zeros: who belongs to what. A person may be in several groups (an age, a sex, an occupation) or in
            none.

        Raises
        ------
        DataError
            Another number of rows than users, other values than ones and zeros.
        """
        groups = np.asarray(groups, np.float32)
        if groups.ndim != 2 or len(groups) != train.n_users or not np.isin(groups, (0, 1)).all():
            raise DataError(f"groups: give {train.n_users} rows of ones and zeros, one a user; got {groups.shape}")
        table = train.to_csr()
        known = np.diff(table.indptr) > 0
        everybody = np.asarray(table.sum(axis=0), np.float32).ravel() / max(known.sum(), 1)
        size = groups[known].sum(axis=0)[:, None]
        met = np.asarray(table.T @ groups).T
        together = np.maximum(size + self.smoothing, 1e-9)
        self.group_scores_ = ((met + self.smoothing * everybody) / together).astype(np.float32)
        self.everybody_, self.groups_ = everybody, groups
        return self

    def score(self, users) -> np.ndarray:
        """Scores of all items, float32 ``(len(users), n_items)``."""
        if not hasattr(self, "groups_"):
            raise NotFittedError("GroupPopularity has not learned yet: call fit(train, groups) first")
        mine = self.groups_[np.atleast_1d(np.asarray(users))]
        count = mine.sum(axis=1, keepdims=True)
        return np.where(count > 0, mine @ self.group_scores_ / np.maximum(count, 1), self.everybody_)
