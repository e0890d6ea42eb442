"""People whom a model has never met, and who now tell it a part of what they chose."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..checks import whole
from ..data import Interactions
from ..errors import DataError
from ..evaluation import Report, bootstrap


def reveal(part: Interactions, n: int, least: int = 1, seed: int = 0) -> tuple[Interactions, Interactions]:
    """Of each person in ``part``, ``n`` interactions at random that a model may know, and the rest, to test it on.

    Parameters
    ----------
    part : Interactions
        Of held-out people: the test part of ``mm.data.split(data, "cold-users")``.
    n : int
        0 or more. The ``n`` are among the ``n + 1`` for the same ``part`` and ``seed``.
    least : int, default 1
        Who would keep fewer for the test is left out, of both tables.
    seed : int, default 0

    Returns
    -------
    (known, rest) : two Interactions over the same codes

    Raises
    ------
    DataError
        Nobody has so many interactions.
    """
    n, least = whole("n", n, least=0), whole("least", least, least=0)
    order = np.lexsort((np.random.default_rng(seed).random(len(part)), part.user))
    counts = part.user_counts()
    rank = np.empty(len(part), np.int64)
    rank[order] = np.arange(len(part)) - np.repeat(np.cumsum(counts) - counts, counts)
    enough = counts[part.user] >= n + least
    if not enough.any():
        raise DataError(f"nobody has {n} + {least} interactions; the most are {counts.max(initial=0)}")
    return part.select(enough & (rank < n)), part.select(enough & (rank >= n))


class FoldedIn:
    """A fitted model that ranks for people by what is known of them, without learning again.

    Parameters
    ----------
    model : Recommender with ``score_histories``
    known : Interactions
        What each person chose, by the codes that :func:`mmrec_lib.evaluation.evaluate` asks for. Who is not in it has
        an empty history.
    """

    def __init__(self, model, known: Interactions) -> None:
        self.model, self.name, self._rows = model, model.name, known.to_csr()

    def score(self, users) -> np.ndarray:
        """Scores of all items, float32 ``(len(users), n_items)``."""
        return self.model.score_histories(self._rows[np.atleast_1d(users)])


def gap_closed(
    before: Report,
    report: Report,
    after: Report,
    metric: str,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.Series:
    """How far ``report`` has come on the way from ``before`` to ``after``: 0 is nowhere, 1 all the way.

    ``(mean - mean_before) / (mean_after - mean_before)`` over the people of all three reports. Returns mean, ci_low,
    ci_high: a percentile bootstrap over people, who are drawn with all three of their values.

    Raises
    ------
    UnknownNameError, DataError
        A metric that a report lacks; nobody in common.
    """
    bootstrap.check(confidence, n_boot)
    for part in (before, report, after):
        part[metric]  # raises where it is missing
    table = pd.concat([part.per_user[metric] for part in (before, report, after)], axis=1).dropna().to_numpy()
    if not len(table):
        raise DataError("the three reports have nobody in common")
    means = np.vstack([table.mean(axis=0), bootstrap.resampled_means(table, n_boot, seed)])
    shares = (means[:, 1] - means[:, 0]) / (means[:, 2] - means[:, 0])
    low, high = bootstrap.interval(shares[1:, None], confidence)
    return pd.Series({"mean": shares[0], "ci_low": low[0], "ci_high": high[0]})
