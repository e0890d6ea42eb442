"""How often must a model learn? A log played again through time, with one schedule of learning or another."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pandas as pd

from ..checks import above, between, whole
from ..data import Features, Interactions
from ..errors import DataError, ParameterError
from ..evaluation import Report, evaluate
from ..evaluation.report import summarise
from .bundle import Bundle
from .events import LIKING, SQLiteStore
from .monitoring import ALARM, stability

DAY = 86_400


@dataclass(frozen=True)
class Schedule:
    """When a model learns; at the start of the first period it always does.

    Parameters
    ----------
    full_every : int, optional
        Learn from everything, anew, every so many periods. Default: never again.
    partial : bool or dict, default False
        In all other periods, take the last period's events in, by the model's ``partial_fit`` with these options.
    on_alarm : bool, default False
        Learn anew when the last period's events are an alarm against those that the model learned from: their shares
        of head, middle, tail and new items, or of the groups given to :func:`replay`, by the stability index.
    window_days : float, optional
        Learn from the events of the last so many days. Default: from all.
    """

    full_every: int | None = None
    partial: bool | dict = False
    on_alarm: bool = False
    window_days: float | None = None

    def __post_init__(self) -> None:
        if self.full_every is not None:
            whole("full_every", self.full_every)
        if self.window_days is not None:
            above("window_days", self.window_days, 0)


@dataclass(frozen=True)
class Replay:
    """The course of a log under one schedule; made by :func:`replay`.

    Attributes
    ----------
    periods : DataFrame
        Indexed by period, from 0. ``start``: its first second (UTC); ``action``: what was done before it ("full",
        "partial", "none"); ``seconds``: CPU time of that; ``index``: stability index of the period before, less what it
        is by chance (NaN at first); ``people`` judged; ``mean``, ``ci_low``, ``ci_high`` of the metric over them.
    visits : DataFrame
        One row for each person and period: period, user, value.
    report : Report
        Of each person the mean over periods, so that :func:`mmrec_lib.evaluation.compare` pairs people, not visits: the
        same person's visits are no independent witnesses.
    """

    periods: pd.DataFrame
    visits: pd.DataFrame
    report: Report

    @property
    def seconds(self) -> float:
        """CPU seconds of all learning after the first model."""
        return float(self.periods["seconds"].iloc[1:].sum())


def replay(
    events: Interactions,
    make: Callable[[], object],
    edges: Sequence,
    schedule: Schedule | None = None,
    *,
    given: float = 0.5,
    fold_in: bool = True,
    until=None,
    metric: str = "ndcg",
    k: int = 20,
    groups=None,
    features: Features | None = None,
    name: str = "",
    seed: int = 0,
) -> Replay:
    """Play a log again: learn from the past as a schedule says, judge by the next period, go on.

    Whoever comes in a period is judged by the items that are new to this person. The first of these, a share
    ``given``, are known already when the others are to be found, as a service knows the first clicks of a visit.

    Parameters
    ----------
    events : Interactions
        With times.
    make
        ``make()`` gives an unfitted model, such as ``lambda: mm.models.create("als")``.
    edges : sequence of seconds or datetimes
        The periods run from each to the next; the first model learns from what is before the first.
    schedule : Schedule, optional
        Default: learn once, and never again.
    given : float, default 0.5
        From 0 to below 1. People of whom nothing is known then get what is popular.
    fold_in : bool, default True
        Score people by all that they have done up to now, where the model can (``score_histories``), as
        :class:`Engine` does. False: by what the model knew when it last learned.
    until : seconds or datetime, optional
        The first model learns only from what is before this time: how it would do were it as old as that. Default: the
        first edge.
    metric, k
        For :func:`mmrec_lib.evaluation.evaluate`.
    groups : array (n_items,), optional
        Labels of the items, for ``on_alarm``. Default: head, middle and tail of what the model learned from, and new.
    features : Features, optional
        For models that learn from content.
    name : str, optional
        Of the report.
    seed
        Of the order of events of the same second, and of intervals.

    Raises
    ------
    DataError
        No times, nothing before the first edge, or nobody to judge in a period.
    ParameterError
        Edges that do not rise; ``partial`` for a model without ``partial_fit``, with ``window_days``, or with ``until``
        (the events in between would be lost).
    """
    schedule = schedule or Schedule()
    between("given", given, 0, 0.999)
    edges = _edges(events, edges)
    events = _in_order(events, seed)
    cuts = np.searchsorted(events.time, edges)
    first = cuts[0] if until is None else min(np.searchsorted(events.time, _seconds(until)), cuts[0])
    if not first:
        raise DataError("no event is before the first edge, or before until: there is nothing to learn from")
    if schedule.partial and (schedule.window_days or until is not None or not hasattr(make(), "partial_fit")):
        raise ParameterError("partial needs a model with partial_fit (als, bpr), no window_days and no until")

    rows, visits, model, learned = [], [], None, None
    for period, (begin, end) in enumerate(itertools.pairwise(cuts)):
        past, last = (events.select(np.arange(start, begin)) for start in (0, cuts[max(period - 1, 0)]))
        index = np.nan if model is None else _shift(learned, last, groups)
        action = _action(schedule, period, index)
        started = time.process_time()
        if action == "full":
            known = past if period else events.select(np.arange(first))
            learned = _recent(known, schedule.window_days, edges[period])
            model = make().fit(learned, features=features)
        elif action == "partial":
            learned = past
            model.partial_fit(last, **(schedule.partial if isinstance(schedule.partial, dict) else {}))
        seconds = 0.0 if action == "none" else time.process_time() - started
        context, target = _divide(past, events.select(np.arange(begin, end)), given)
        if not len(target):
            raise DataError(f"nobody is to be judged in period {period}: make the periods longer")
        judged = evaluate(
            AsServed(model, context) if fold_in else model, target, train=context, metrics=metric, ks=k, seed=seed
        )
        column = f"{metric}@{k}"
        row = {"start": pd.Timestamp(edges[period], unit="s"), "action": action, "seconds": seconds, "index": index}
        rows.append(row | {"people": len(judged.per_user)} | judged.summary.loc[column].to_dict())
        visits.append(pd.DataFrame({"period": period, "user": judged.per_user.index, "value": judged.per_user[column]}))
    visits = pd.concat(visits, ignore_index=True)
    per_user = visits.groupby("user")["value"].mean().to_frame(column)
    summary = summarise(per_user, {}, [column], 0.95, 1000, seed)
    report = Report(summary, per_user, name or getattr(model, "name", "model"), {"confidence": 0.95})
    return Replay(pd.DataFrame(rows).rename_axis("period"), visits, report)


class AsServed:
    """A fitted model as a service asks it: by what people have done up to now.

    Parameters
    ----------
    model : Recommender
        Where it can score histories, it does so for those who have met something since it learned.
    context : Interactions
        All that people have done.
    """

    def __init__(self, model, context: Interactions) -> None:
        self.model, self.context = model, context.to_csr()
        self.name = getattr(model, "name", type(model).__name__)

    def score(self, users) -> np.ndarray:
        """Scores of all items, float32 ``(len(users), n_items)``."""
        users = np.asarray(users)
        scores = np.array(self.model.score(users), np.float32)
        rows = self.context[users]
        changed = np.diff(rows.indptr) != np.diff(self.model.seen_.indptr)[users]
        if changed.any() and self.model.histories and not self.model.reads_values:
            scores[changed] = self.model.score_histories(rows[changed])
        return scores


def refresh(bundle: Bundle, store: SQLiteStore, **options) -> Bundle:
    """A new bundle whose model has taken in what a service's people did, without learning everything again.

    Clicks, likes and purchases on the model's items go through its ``partial_fit``; people whom it did not know get
    rows. The old bundle stays as it was: compare both (:func:`shadow`) before :meth:`Bundle.save` puts the new one in
    its place. Things that were added while the service ran stay what they are, placed by their content. The evaluation,
    the index and the reference of the lists are left out, as they belong to the old model.

    Parameters
    ----------
    bundle : Bundle
    store : SQLiteStore
        Where the service keeps its events.
    **options
        For ``partial_fit``.

    Raises
    ------
    ParameterError
        A model without ``partial_fit``.
    StoreError
    """
    if not hasattr(bundle.model, "partial_fit"):
        raise ParameterError(f"{type(bundle.model).__name__} has no partial_fit: learn anew, or serve als or bpr")
    items = pd.Index(bundle.items.index.astype(str))
    happened = store.all_events()
    happened = happened[happened["kind"].isin(LIKING) & happened["item"].isin(items)]
    known = pd.Index(bundle.users.index.astype(str))
    people = known.append(pd.Index(happened["user"].unique()).difference(known, sort=False))
    user, item = people.get_indexer(happened["user"]), items.get_indexer(happened["item"])
    new = Interactions(user, item, n_users=len(people), n_items=len(items))
    model = copy.deepcopy(bundle.model).partial_fit(new, **options)
    users = bundle.users.set_axis(known.rename(bundle.users.index.name)).reindex(people)
    told = {name: value for name, value in bundle.info.items() if name not in ("reference", "checksum")}
    told["refreshed"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return dataclasses.replace(bundle, model=model, users=users, index=None, report=None, info=told)


# -- pieces --------------------------------------------------------------------------------------------------------
def _edges(events: Interactions, edges: Sequence) -> np.ndarray:
    if events.time is None:
        raise DataError("replay needs times, and these interactions have none")
    edges = _seconds(edges)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ParameterError("edges must be at least two times, each later than the one before")
    return edges


def _seconds(times) -> np.ndarray:
    times = np.asarray(times)
    return times.astype("datetime64[s]").astype(np.int64) if np.issubdtype(times.dtype, np.datetime64) else times


def _in_order(events: Interactions, seed: int) -> Interactions:
    """By time, ties by chance, and of each pair the first event only."""
    order = np.lexsort((np.random.default_rng(seed).random(len(events)), events.time))
    events = events.select(order)
    return events.select(np.sort(np.unique(events.keys(), return_index=True)[1]))


def _action(schedule: Schedule, period: int, index: float) -> str:
    due = schedule.full_every is not None and period % schedule.full_every == 0
    if period == 0 or due or (schedule.on_alarm and index >= ALARM):
        return "full"
    return "partial" if schedule.partial else "none"


def _recent(past: Interactions, window_days: float | None, now) -> Interactions:
    if window_days is None:
        return past
    recent = past.select(past.time >= now - window_days * DAY)
    if not len(recent):
        raise DataError(f"window_days={window_days:g}: no event is that recent; take a longer window")
    return recent


def _shift(learned: Interactions, last: Interactions, groups) -> float:
    """Stability index of the last period's events, less what chance makes of it, as though people clicked once each."""
    if not len(last):
        return np.nan
    if groups is None:  # by the number of events before: head, middle, tail, new
        counts = learned.item_counts()
        order = np.argsort(-counts, kind="stable")
        before = np.concatenate([[0], np.cumsum(counts[order])[:-1]]) / counts.sum()
        labels = np.empty(len(counts), np.int64)
        labels[order] = np.searchsorted([0.5, 0.8], before, side="right")
        labels[counts == 0] = 3
    else:
        labels = pd.factorize(np.asarray(groups))[0]
        if len(labels) != learned.n_items:
            raise DataError(f"groups: {len(labels)} labels for {learned.n_items} items; give one each")
    parts = [(part, len(np.unique(part.user))) for part in (learned, last)]
    shares = [np.bincount(labels[part.item], minlength=labels.max() + 1) / len(part) * n for part, n in parts]
    found = stability(*shares)
    return found.index - found.by_chance


def _divide(past: Interactions, now: Interactions, given: float) -> tuple[Interactions, Interactions]:
    """What is known when people are judged, and what they are judged by; ``now`` is in the order of time."""
    frame = pd.DataFrame({"user": now.user})
    place = frame.groupby("user").cumcount().to_numpy()
    size = frame.groupby("user")["user"].transform("size").to_numpy()
    known = place < np.floor(given * size)
    return Interactions.concat([past, now.select(known)]), now.select(~known)
