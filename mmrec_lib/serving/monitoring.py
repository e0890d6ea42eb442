"""Is the service still the one that was judged? Shift of distributions, and two engines side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .. import ranking
from ..checks import between, whole
from ..errors import DataError, ParameterError
from .engine import Answer, Engine

#: Customary limits of the stability index: below the first nothing has happened, above the second something has.
WATCH, ALARM = 0.1, 0.25


def population_stability(expected, observed, bins: int = 10) -> float:
    """Population stability index: ``sum (o - e) ln(o / e)`` over the shares of both in the same classes.

    It is the symmetric Kullback-Leibler divergence (Jeffreys). Numbers are divided at the quantiles of ``expected``;
    other values are classes themselves. An empty class counts as half an observation, so that the index stays finite;
    with few observations chance alone makes it large: about ``(classes - 1) (1 / n + 1 / m)``.

    Raises :class:`DataError` where either is empty, or numbers are not finite.

    >>> round(population_stability(["a", "a", "b", "b"], ["a", "b", "b", "b"]), 3)
    0.275
    """
    expected, observed = pd.Series(np.asarray(expected)), pd.Series(np.asarray(observed))
    if expected.empty or observed.empty:
        raise DataError("expected and observed must hold at least one value each")
    if pd.api.types.is_numeric_dtype(expected) and not pd.api.types.is_bool_dtype(expected):
        if not (np.isfinite(expected).all() and np.isfinite(observed.astype(float)).all()):
            raise DataError("expected and observed must hold finite numbers")
        edges = np.unique(np.quantile(expected, np.linspace(0, 1, whole("bins", bins, least=2) + 1)[1:-1]))
        expected, observed = (pd.Series(np.searchsorted(edges, v, side="right")) for v in (expected, observed))
    classes = pd.Index(expected).union(pd.Index(observed)).unique()
    shares = []
    for values in (expected, observed):
        counts = values.value_counts().reindex(classes, fill_value=0).clip(lower=0.5)
        shares.append((counts / counts.sum()).to_numpy())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def drift(reference: pd.DataFrame, current: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Stability index of each column that both tables have, and what it means: "ok", "watch" or "alarm".

    ``by_chance`` is what the index is on average without any shift, from the number of rows; a value is judged by what
    it exceeds that.
    """
    columns = [c for c in reference if c in current]
    if not columns:
        raise DataError("the tables have no column in common")
    rows = {}
    for column in columns:
        a, b = reference[column].dropna(), current[column].dropna()
        value = population_stability(a, b, bins)
        classes = bins if pd.api.types.is_numeric_dtype(a) else a.nunique()
        chance = (classes - 1) * (1 / len(a) + 1 / len(b))
        state = "ok" if value - chance < WATCH else "watch" if value - chance < ALARM else "alarm"
        rows[column] = {"index": value, "by_chance": chance, "state": state, "n": len(b)}
    return pd.DataFrame.from_dict(rows, orient="index")


class ListMonitor:
    """The last lists that were given: scores, coverage, how they came about; against a reference of the same kind.

    Parameters
    ----------
    n_items : int
    window : int, default 1000
        Lists that are looked at.
    """

    def __init__(self, n_items: int, window: int = 1000) -> None:
        self.n_items = whole("n_items", n_items)
        self._answers: deque[tuple[tuple[str, ...], float, str, bool]] = deque(maxlen=whole("window", window))

    def add(self, answer: Answer) -> None:
        """Take a list in."""
        best = answer.items[0].score if answer.items else np.nan
        self._answers.append((tuple(hit.item for hit in answer.items), best, answer.how, answer.fallback))

    def __len__(self) -> int:
        return len(self._answers)

    def table(self) -> pd.DataFrame:
        """One row a list: score of the best, how it came about; for :func:`drift`."""
        rows = [(best, how) for _, best, how, _ in self._answers]
        return pd.DataFrame(rows, columns=["score", "how"])

    def figures(self) -> dict[str, float]:
        """Share of the items that were shown, Gini index of their exposure, share of fall-backs."""
        shown = pd.Series([item for items, *_ in self._answers for item in items]).value_counts()
        counts = np.zeros(max(self.n_items, len(shown)))
        counts[: len(shown)] = shown
        return {
            "lists": len(self),
            "coverage": len(shown) / self.n_items,
            "gini": float(ranking.gini_index(counts)) if len(shown) else np.nan,
            "fallbacks": float(np.mean([fallback for *_, fallback in self._answers])) if len(self) else 0.0,
        }


@dataclass(frozen=True)
class Shadow:
    """Two engines on the same people; made by :func:`shadow`.

    ``per_user`` has a row a person: overlap (share of the list that both have), same_first, and both answers' ``how``;
    ``summary`` the means, with ``seconds_a`` and ``seconds_b``.
    """

    per_user: pd.DataFrame
    summary: pd.Series


def shadow(old: Engine, new: Engine, users: Sequence[str], k: int = 20) -> Shadow:
    """Ask a new engine what the old one is asked, and compare; nobody sees the new one's lists.

    What the lists are worth only an experiment says (:func:`mmrec_lib.evaluation.ab_test`); this says whether to look
    before one: a new bundle that shares nothing with the old is seldom just better.
    """
    if not len(users):
        raise ParameterError("users is empty: name somebody to ask for")
    rows = {}
    for user in users:
        a, b = (engine.recommend(user, k) for engine in (old, new))
        one, two = ([hit.item for hit in answer.items] for answer in (a, b))
        longest = max(len(one), len(two), 1)
        rows[user] = {
            "overlap": len(set(one) & set(two)) / longest, "same_first": one[:1] == two[:1], "how_a": a.how,
            "how_b": b.how, "fallback_b": b.fallback, "seconds_a": a.seconds, "seconds_b": b.seconds,
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    means = table[["overlap", "same_first", "fallback_b", "seconds_a", "seconds_b"]].astype(float).mean()
    return Shadow(table, means)


def canary(user: str, share: float) -> bool:
    """Does this person belong to the share that gets the new engine? Always the same answer for the same person."""
    import hashlib

    between("share", share, 0, 1)
    number = int.from_bytes(hashlib.sha256(f"canary:{user}".encode()).digest()[:8], "big")
    return number / 2**64 < share
