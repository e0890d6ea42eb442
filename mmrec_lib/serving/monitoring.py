"""Is the service still the one that was judged? Shift of distributions, and two engines side by side."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .. import ranking
from ..checks import between, whole
from ..errors import DataError, ParameterError
from .engine import Answer, Engine

log = logging.getLogger("mmrec.serving")

#: Customary limits of the stability index: below the first nothing has happened, above the second something has.
WATCH, ALARM = 0.1, 0.25
#: The same for the share of lists that are fall-backs.
FALLBACK_WATCH, FALLBACK_ALARM = 0.01, 0.05
#: By how many times its spread an index must exceed what it is by chance before anything is said.
SURE = 3
#: What a state is left at, as a share of the limit at which it was entered: at a limit nobody wants to be called twice.
LEAVE = 0.8
STATES = ("ok", "watch", "alarm")


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
    counts = [values.value_counts().reindex(classes, fill_value=0).to_numpy() for values in (expected, observed)]
    return stability(*counts).index


class Stability(NamedTuple):
    """What :func:`stability` returns."""

    index: float
    by_chance: float
    spread: float


def stability(expected: np.ndarray, observed: np.ndarray) -> Stability:
    """Population stability index of two arrays of counts of the same classes; its mean and spread by chance alone.

    See :func:`population_stability`. Without any shift the index is about chi-squared with one degree of freedom less
    than there are classes, times ``1 / n + 1 / m``. Counts may be fractions; classes empty in both do not count.
    """
    expected, observed = np.asarray(expected, float), np.asarray(observed, float)
    there = expected + observed > 0
    unit, freedom = 1 / expected.sum() + 1 / observed.sum(), max(int(there.sum()) - 1, 0)
    counts = [np.maximum(values[there], 0.5) for values in (expected, observed)]
    e, o = (values / values.sum() for values in counts)
    return Stability(float(((o - e) * np.log(o / e)).sum()), float(freedom * unit), float((2 * freedom) ** 0.5 * unit))


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


@dataclass(frozen=True)
class Change:
    """A monitor's state became another: "ok", "watch" or "alarm"; ``because`` names what is at its limit."""

    before: str
    after: str
    because: list[str]
    figures: dict[str, float]
    time: float

    def append_to(self, path: str | Path) -> None:
        """Write it as a line of JSON at the end of a file."""
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self)) + "\n")


class ListMonitor:
    """The last lists that were given, against a reference of the same kind.

    :meth:`add` costs microseconds, so that a request can afford it; all else is done in :meth:`check`, which belongs
    into another thread.

    Parameters
    ----------
    n_items : int
    window : int, default 1000
        Lists that are looked at.
    category : function or mapping, optional
        From the id of an item to its label (None where it has none).
    reference : dict, optional
        What :meth:`summary` returned for lists that are known to be good. Default: the first lists that come.
    first : int, default 1000
        How many lists make the reference, where none is given.
    least : int, default 200
        No judgement on fewer lists; never more than the window holds.
    on_change : function, optional
        Called with a :class:`Change` whenever the state becomes another, once for each time. What it raises is logged.

    Attributes
    ----------
    state : int
        After the last check: 0 ok, 1 watch, 2 alarm. "watch" begins where a stability index exceeds by 0.1 what chance
        makes of it (its mean without any shift and three times its spread), or where 1 % of the lists are fall-backs;
        "alarm" at 0.25 and 5 %. A state is left at 80 % of the limit at which it was entered.
    added : int
        Lists taken in so far.
    """

    def __init__(
        self, n_items: int, window: int = 1000, *, category: Callable | Mapping | None = None,
        reference: dict | None = None, first: int = 1000, least: int = 200,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:  # fmt: skip
        self._answers: deque[tuple[tuple[str, ...], float, str, bool]] = deque(maxlen=whole("window", window))
        self._first: list | None = None
        self.first, self.on_change = whole("first", first), on_change
        self.least = min(whole("least", least), window)
        self._adding, self._checking = threading.Lock(), threading.RLock()  # a hook may check again
        self.state = self.added = 0
        self.restart(n_items, category, reference)

    def restart(self, n_items: int, category: Callable | Mapping | None = None, reference: dict | None = None) -> None:
        """Forget all lists, for another model: its scores have another distribution, and that is no alarm."""
        with self._checking:
            self.n_items, self.reference = whole("n_items", n_items), reference
            self._category = category.get if isinstance(category, Mapping) else category
            with self._adding:
                self._answers.clear()
                self._first = [] if reference is None else None
            self._become(0, ["another model"], {})

    def add(self, answer: Answer) -> None:
        """Take a list in."""
        best = answer.items[0].score if answer.items else np.nan
        row = (tuple(hit.item for hit in answer.items), best, answer.how, answer.fallback)
        with self._adding:
            self._answers.append(row)
            self.added += 1
            if self._first is not None and len(self._first) < self.first:
                self._first.append(row)
                if len(self._first) == self.first:
                    self._answers.clear()  # nothing is compared with itself

    def __len__(self) -> int:
        return len(self._answers)

    def table(self) -> pd.DataFrame:
        """One row a list: score of the best, how it came about; for :func:`drift`."""
        rows = [(best, how) for _, best, how, _ in self._rows()]
        return pd.DataFrame(rows, columns=["score", "how"])

    def figures(self) -> dict[str, float]:
        """Share of the items that were shown, Gini index of their exposure, share of fall-backs."""
        rows = self._rows()
        return self._figures(rows, _shown(rows))

    def summary(self) -> dict:
        """The distributions in the window, as a dict that JSON can hold: a reference for later.

        ``Bundle.of(..., reference=monitor.summary())`` keeps it with the bundle.
        """
        rows = self._rows()
        return self._summary(rows, _shown(rows))

    def check(self) -> dict[str, float]:
        """Compare the window with the reference, and call ``on_change`` where the state is another than before.

        Returns the figures of :meth:`figures` and ``score``, ``category`` and ``how``, the stability indices less what
        chance makes of them; those are missing while there is no reference, or there are too few lists.
        """
        with self._checking:
            with self._adding:
                rows, full = list(self._answers), self._first is not None and len(self._first) >= self.first
            if full:
                self.reference, self._first = self._summary(self._first, _shown(self._first)), None
            shown = _shown(rows)
            figures = self._figures(rows, shown)
            if len(rows) < self.least:
                return figures
            figures |= self._shifts(rows, shown)
            limits = {"fallbacks": (FALLBACK_WATCH, FALLBACK_ALARM)}
            states = {}
            for name in ("score", "category", "how", "fallbacks"):
                for level, limit in enumerate(limits.get(name, (WATCH, ALARM)), 1):
                    if figures.get(name, 0) >= limit * (LEAVE if self.state >= level else 1):
                        states[name] = level
            state = max(states.values(), default=0)
            self._become(state, [f"{n} {figures[n]:.3g}" for n, level in states.items() if level == state], figures)
            return figures

    def _become(self, state: int, because: list[str], figures: dict[str, float]) -> None:
        if state == self.state:
            return
        change = Change(STATES[self.state], STATES[state], because, figures, time.time())
        self.state = state
        log.warning("lists: %s after %s (%s)", change.after, change.before, ", ".join(because) or "back within limits")
        try:
            if self.on_change is not None:
                self.on_change(change)
        except Exception:  # whoever is told must not stop the watch
            log.exception("on_change failed")

    def _rows(self) -> list:
        with self._adding:
            return list(self._answers)

    def _figures(self, rows: list, shown: Counter) -> dict[str, float]:
        counts = np.zeros(max(self.n_items, len(shown)))
        counts[: len(shown)] = list(shown.values())
        return {
            "lists": len(rows),
            "coverage": len(shown) / self.n_items,
            "gini": float(ranking.gini_index(counts)) if shown else np.nan,
            "fallbacks": sum(fallback for *_, fallback in rows) / max(len(rows), 1),
        }

    def _summary(self, rows: list, shown: Counter, edges: list[float] | None = None) -> dict:
        """Counts in units of lists: the items of a list are no independent witnesses of what is shown."""
        scores = np.array([row[1] for row in rows], float)
        scores = scores[np.isfinite(scores)]
        if edges is None:
            edges = np.unique(np.quantile(scores, np.linspace(0, 1, 11)[1:-1])) if len(scores) else []
        classes = np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
        labels: Counter = Counter()
        if self._category is not None:
            share = len(rows) / max(shown.total(), 1)
            for item, n in shown.items():
                labels[str(self._category(item))] += n * share
        return {
            "lists": len(rows), "edges": [float(e) for e in edges], "score": classes.tolist(),
            "category": dict(labels), "how": dict(Counter(how for _, _, how, _ in rows)),
        }  # fmt: skip

    def _shifts(self, rows: list, shown: Counter) -> dict[str, float]:
        if self.reference is None:
            return {}
        now = self._summary(rows, shown, self.reference["edges"])
        pairs = {"score": (self.reference["score"], now["score"])}
        for name in ("category", "how"):
            classes = self.reference[name].keys() | now[name].keys()
            pairs[name] = [[counts[name].get(c, 0) for c in classes] for counts in (self.reference, now)]
        found = {name: stability(*pair) for name, pair in pairs.items() if min(map(sum, pair)) > 0}
        return {name: s.index - s.by_chance - SURE * s.spread for name, s in found.items()}


def _shown(rows: list) -> Counter:
    """How often each item is in the lists."""
    return Counter(chain.from_iterable(items for items, *_ in rows))


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
