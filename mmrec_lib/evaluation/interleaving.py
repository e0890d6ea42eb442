"""Two recommenders in one list: whose items do people choose?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..checks import between, whole
from ..errors import DataError, ParameterError

A, B, NOBODY = 0, 1, -1


@dataclass(frozen=True, eq=False)
class Interleaved:
    """Mixed lists, made by :func:`team_draft`.

    Attributes
    ----------
    lists : int array (n, k)
        Item codes, best first; -1 where the list has ended.
    teams : int8 array (n, k)
        Who brought the item: 0 the first recommender (a), 1 the second (b), -1 nobody (no item).
    """

    lists: np.ndarray
    teams: np.ndarray

    def __repr__(self) -> str:
        return f"Interleaved({len(self.lists):,} lists of up to {self.lists.shape[1]} items)"


def team_draft(lists_a: np.ndarray, lists_b: np.ndarray, k: int | None = None, seed: int = 0) -> Interleaved:
    """Team-draft interleaving (Radlinski, Kurup and Joachims, 2008): two captains choose players in turn.

    In each round a coin decides who goes first; each in turn brings the best item of its list that is not in the mixed
    list yet. Items that both like are thus as likely to be credited to one as to the other.

    Parameters
    ----------
    lists_a, lists_b : int array (n, length)
        Items of the two recommenders for the same n users, best first; -1 where there were not enough. No item twice
        in a row.
    k
        Length of the mixed lists. Default: of the shorter of the two.
    seed

    Returns
    -------
    Interleaved
        A list ends early when the recommender whose turn it is has nothing left, so that neither gets more places.

    Raises
    ------
    DataError, ParameterError
        Shapes that do not fit, an item twice in a list, a k that is no whole number of at least 1.

    Examples
    --------
    >>> mixed = team_draft([[0, 1]], [[0, 1]])
    >>> mixed.lists.tolist(), sorted(mixed.teams[0].tolist())
    ([[0, 1]], [0, 1])
    """
    a, b = _checked("lists_a", lists_a), _checked("lists_b", lists_b)
    if len(a) != len(b):
        raise DataError(f"lists_a has {len(a)} rows and lists_b {len(b)}: both must be of the same users")
    k = min(a.shape[1], b.shape[1]) if k is None else whole("k", k)
    rng = np.random.default_rng(seed)
    n = len(a)
    lists, teams = np.full((n, k), -1, a.dtype), np.full((n, k), NOBODY, np.int8)
    gone = [a < 0, b < 0]  # items that cannot be brought (any more)
    rows, open_ = np.arange(n), np.ones(n, bool)
    first = rng.integers(2, size=(n, (k + 1) // 2))  # who opens each round of two
    for place in range(k):
        team = first[:, place // 2] ^ (place % 2)
        best = [g.argmin(axis=1) for g in gone]
        open_ &= ~np.where(team == A, gone[A][rows, best[A]], gone[B][rows, best[B]])
        item = np.where(team == A, a[rows, best[A]], b[rows, best[B]])
        lists[open_, place], teams[open_, place] = item[open_], team[open_]
        gone[A] |= a == item[:, None]
        gone[B] |= b == item[:, None]
    return Interleaved(lists, teams)


def interleaving_credit(interleaved: Interleaved, clicks: np.ndarray, users: np.ndarray | None = None) -> pd.DataFrame:
    """Clicks of each list by the team that brought the item.

    Parameters
    ----------
    clicks
        Array (n, k), true (or a count) where an item was clicked; or one value for each item shown, list by list, as
        the column ``click`` of a simulated audience's response.
    users : array (n,), optional
        Whose the lists are: a user's lists are added up, for only users are independent. Default: each list alone.

    Returns
    -------
    DataFrame
        clicks_a, clicks_b, winner (``"a"``, ``"b"``, ``"tie"``), one row a list, or one a user (the index).
    """
    shown = interleaved.lists >= 0
    clicks = np.asarray(clicks, dtype=float)
    if clicks.shape == (int(shown.sum()),):
        full = np.zeros(shown.shape)
        full[shown] = clicks
        clicks = full
    if clicks.shape != shown.shape:
        raise DataError(
            f"clicks has shape {clicks.shape}: give {shown.shape}, or one value for each of the {shown.sum()} items"
        )
    if not np.isfinite(clicks).all() or (clicks < 0).any() or clicks[~shown].any():
        raise DataError("clicks must be counts of at least 0, and 0 where no item was shown")
    table = pd.DataFrame(
        {f"clicks_{name}": (clicks * (interleaved.teams == team)).sum(axis=1) for name, team in (("a", A), ("b", B))}
    )
    if users is not None:
        users = np.asarray(users)
        if users.shape != (len(table),):
            raise DataError(f"users has shape {users.shape}: one entry for each of the {len(table)} lists is needed")
        table = table.groupby(pd.Index(users, name="user")).sum()
    lead = np.sign(table["clicks_a"] - table["clicks_b"]).astype(int)
    return table.assign(winner=lead.map({1: "a", -1: "b", 0: "tie"}))


def interleaving_test(credit: pd.DataFrame, confidence: float = 0.95) -> pd.Series:
    """Sign test: do more users prefer a than b?

    Parameters
    ----------
    credit
        From :func:`interleaving_credit`; only its column ``winner`` is looked at.
    confidence
        Of the exact interval of ``share_a`` (Clopper and Pearson, 1934).

    Returns
    -------
    Series
        wins_a, wins_b, ties; share_a, the share of a among the users who decided, with ci_low and ci_high; p, two-sided
        binomial, of "as many for a as for b". Ties say nothing and are left out; with nothing but ties ``share_a`` is
        NaN, the interval all of 0 to 1, and p is 1.
    """
    from scipy.stats import binomtest

    between("confidence", confidence, 1e-9, 1 - 1e-9)
    if "winner" not in credit:
        raise DataError('credit has no column "winner": give the table of interleaving_credit')
    counts = credit["winner"].value_counts()
    a, b, ties = (int(counts.get(name, 0)) for name in ("a", "b", "tie"))
    if not a + b:
        share, low, high, p = np.nan, 0.0, 1.0, 1.0
    else:
        result = binomtest(a, a + b)
        low, high = result.proportion_ci(confidence, method="exact")
        share, p = a / (a + b), result.pvalue
    values = {"wins_a": a, "wins_b": b, "ties": ties, "share_a": share, "ci_low": low, "ci_high": high, "p": p}
    return pd.Series(values, dtype=float, name="interleaving")


def _checked(name: str, lists) -> np.ndarray:
    lists = np.asarray(lists)
    if lists.ndim != 2 or not lists.size or not np.issubdtype(lists.dtype, np.integer):
        raise DataError(f"{name} has shape {lists.shape} and type {lists.dtype}: give item codes (n_users, length)")
    ordered = np.sort(lists, axis=1)
    if ((np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] >= 0)).any():
        raise DataError(f"{name} has an item twice in a list: each item may be recommended once")
    if lists.min() < -1:
        raise ParameterError(f"{name} holds {lists.min()}: codes are at least 0, and -1 marks an empty place")
    return lists
