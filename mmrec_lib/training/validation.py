"""One number that says how good a score function is on validation interactions: for early stopping and search."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .. import ranking
from ..errors import DataError, ParameterError, UnknownNameError


def parse_metric(metric: str) -> tuple[str, int]:
    """``"ndcg@20"`` to ``("ndcg", 20)``; raises when the metric is unknown or the cut-off is no positive number."""
    name, _, k = str(metric).partition("@")
    if name not in ranking.LIST_METRICS:
        raise UnknownNameError("metric", name, ranking.LIST_METRICS)
    if not k.isdigit() or int(k) < 1:
        raise ParameterError(f"metric={metric!r}: write the length of the list after an @, as in '{name}@20'")
    return name, int(k)


class Validator:
    """Mean of a ranking metric over the users who have validation items; training items are left out of the lists.

    Parameters
    ----------
    seen : CSR matrix (n_users, n_items)
        Training pairs.
    valid : Interactions
    metric : str, default "ndcg@20"
    """

    def __init__(self, seen: sparse.csr_matrix, valid, metric: str = "ndcg@20") -> None:
        self.metric = metric
        self._name, self._k = parse_metric(metric)
        if not len(valid):
            raise DataError("valid holds no interactions: give some, or leave valid out to train without it")
        self._seen = seen
        self._relevant = valid.to_csr()
        self._n_relevant = np.diff(self._relevant.indptr)
        self._users = np.flatnonzero(self._n_relevant)

    def __call__(self, score: ranking.ScoreFunction) -> float:
        """The mean for ``score(users) -> (len(users), n_items)``."""
        function, total = ranking.LIST_METRICS[self._name], 0.0
        lists = ranking.iter_top_k(score, self._users, self._k, self._seen.shape[1], self._seen)
        for users, items, _ in lists:
            hit = ranking.hits(items, users, self._relevant)
            total += float(function(hit, self._n_relevant[users], self._k).sum())
        return total / len(self._users)
