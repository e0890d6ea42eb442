"""The last stage: what the house wants, whatever the scores say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ... import ranking
from ...checks import whole
from ...data import Interactions
from ...errors import DataError, ParameterError, UnknownItemError
from ...evaluation.ranked import union
from ...evaluation.reranking import as_scores, check_model


@dataclass(frozen=True)
class Rules:
    """What a list must keep to.

    Attributes
    ----------
    blocked : sequence of item codes
        Never shown.
    available : bool (n_items,), optional
        False: not shown now.
    pinned : dict
        Place (from 1) to item code: this item stands there in every list, unless it is blocked, not available, or seen
        by the user. It counts for the caps, and caps do not move it.
    groups : sequence (n_items,), optional
        One label per item, ``None`` where it has none; ``caps`` needs it.
    caps : int or dict, optional
        How many of one label a list may hold: one number for all labels, or label to number.

    Raises
    ------
    ParameterError
        Places or caps that are no whole numbers, an item at two places, caps without groups.

    Examples
    --------
    >>> Rules(groups=["a", "a", "b"], caps=1).lists(np.array([[0.9, 0.8, 0.1]]), k=2)
    array([[0, 2]])
    """

    blocked: tuple[int, ...] = ()
    available: np.ndarray | None = None
    pinned: Mapping[int, int] = field(default_factory=dict)
    groups: object = None
    caps: int | Mapping[object, int] | None = None

    def __post_init__(self) -> None:
        for place in self.pinned:
            whole("pinned", place)
        if len(set(self.pinned.values())) < len(self.pinned):
            raise ParameterError(f"pinned={dict(self.pinned)}: one item stands at two places")
        if self.caps is None:
            return
        if self.groups is None:
            raise ParameterError("caps need groups: give one label for each item")
        for cap in self.caps.values() if isinstance(self.caps, Mapping) else [self.caps]:
            whole("caps", cap, least=0)

    def allowed(self, n_items: int) -> np.ndarray:
        """Which items may be shown at all, bool ``(n_items,)``: to be asked before candidates are sought."""
        blocked = np.asarray(self.blocked, dtype=np.int64)
        self._known(blocked, n_items, "blocked")
        may = np.ones(n_items, bool)
        if self.available is not None:
            may = np.array(self.available)
            if may.dtype != bool or may.shape != (n_items,):
                raise DataError(f"available is {may.dtype} {may.shape}: give one boolean for each of {n_items} items")
        may[blocked] = False
        return may

    def lists(self, scores: np.ndarray, k: int, seen=None) -> np.ndarray:
        """The best lists that keep the rules, int64 ``(n, k)``; -1 where nothing is left.

        ``scores`` is ``(n, n_items)``, minus infinity for what is no candidate. ``seen`` (CSR, a row for each row of
        the scores) says what a pinned item must not be. Filled place by place: the best item whose label is not full.
        """
        k, (n, n_items) = ranking.check_k(k), scores.shape
        may = self.allowed(n_items)
        left = np.where(may, scores, -np.inf)
        rows, lists = np.arange(n), np.full((n, k), -1, np.int64)
        label, cap = self._labels(n_items)
        shown = np.zeros((n, len(cap)), np.int64)
        for place, item in self._pins(n_items, k).items():
            here = may[item] & (np.ones(n, bool) if seen is None else ~_has(seen, item))
            lists[here, place], left[here, item] = item, -np.inf
            shown[here, label[item]] += 1
        for place in range(k):
            free = lists[:, place] < 0
            full = (shown >= cap)[:, label]
            best = np.where(full, -np.inf, left).argmax(axis=1)
            fits = free & ~full[rows, best] & (left[rows, best] > -np.inf)
            lists[fits, place] = best[fits]
            left[rows[fits], best[fits]] = -np.inf
            np.add.at(shown, (rows[fits], label[best[fits]]), 1)
        return _close_up(lists)

    def _labels(self, n_items: int) -> tuple[np.ndarray, np.ndarray]:
        """A number for the label of each item (the last: none), and how many of each a list may hold."""
        if self.groups is None or self.caps is None:
            return np.zeros(n_items, np.int64), np.array([np.iinfo(np.int64).max])
        labels = pd.Series(list(self.groups), dtype=object)
        if len(labels) != n_items:
            raise DataError(f"groups are given for {len(labels)} items, there are {n_items}: give one label per item")
        codes, names = pd.factorize(labels)
        cap = np.full(len(names) + 1, np.iinfo(np.int64).max)
        if isinstance(self.caps, Mapping):
            unknown = set(self.caps) - set(names)
            if unknown:
                raise ParameterError(f"caps name {sorted(map(str, unknown))[0]!r}, which is the label of no item")
            cap[:-1] = [self.caps.get(name, cap[-1]) for name in names]
        else:
            cap[:-1] = self.caps
        return np.where(codes < 0, len(names), codes), cap

    def _pins(self, n_items: int, k: int) -> dict[int, int]:
        self._known(np.array(list(self.pinned.values()), dtype=np.int64), n_items, "pinned")
        return {place - 1: item for place, item in self.pinned.items() if place <= k}

    @staticmethod
    def _known(items: np.ndarray, n_items: int, name: str) -> None:
        bad = items[(items < 0) | (items >= n_items)]
        if len(bad):
            raise UnknownItemError(f"{name}: item {bad[0]} is unknown; codes are 0 to {n_items - 1}")


class Ruled:
    """A recommender whose lists keep to rules, for :func:`~mmrec_lib.evaluation.evaluate` to judge.

    Parameters
    ----------
    model
        An object with ``score(users)``.
    rules : Rules
    k : int, default 20
        Length of the lists.
    train, exclude : Interactions, optional
        Left out, as in ``evaluate``; give the same there.
    """

    def __init__(
        self, model, rules: Rules, k: int = 20, train: Interactions | None = None, exclude: Interactions | None = None
    ) -> None:
        check_model("model", model)
        self.model, self.rules, self.k = model, rules, ranking.check_k(k)
        self.masked = union([part for part in (train, exclude) if part is not None])
        self.name = f"{getattr(model, 'name', '') or type(model).__name__}+rules"

    def score(self, users) -> np.ndarray:
        """Float32 ``(len(users), n_items)``: k for the first item of the list, k - 1 for the next; else -inf."""
        users = np.atleast_1d(np.asarray(users))
        scores, seen = np.array(self.model.score(users)), None
        if self.masked is not None:
            seen = self.masked[users]
            ranking.mask_seen(scores, np.arange(len(users)), seen)
        return as_scores(self.rules.lists(scores, self.k, seen), scores.shape[1])


def _has(seen, item: int) -> np.ndarray:
    return np.asarray(seen[:, [item]].todense()).ravel() != 0


def _close_up(lists: np.ndarray) -> np.ndarray:
    """Empty places go to the end."""
    return np.take_along_axis(lists, np.argsort(lists < 0, axis=1, kind="stable"), axis=1)
