"""How good are the lists for what training has not seen: new items, new users?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..checks import one_of
from ..data import Interactions, Split
from ..errors import DataError, ParameterError
from . import bootstrap
from .content import Kept
from .metrics import wanted
from .ranked import evaluate
from .report import Report

GROUPS = {"items": ("all", "warm", "cold", "cold among new"), "users": ("all", "warm", "cold")}


def by_novelty(
    model,
    test: Interactions | Split,
    train: Interactions | None = None,
    *,
    new: str = "items",
    part: str = "test",
    ks: int | Sequence[int] = 20,
    metrics: str | Sequence[str] = ("recall", "ndcg"),
    users=None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    device="auto",
) -> pd.DataFrame:
    """Judge a fitted model on what training knows (warm), on what is new (cold), on all, and on both at once.

    ``new="items"`` divides the test pairs by their item; a user's relevant items of the other group are masked, so that
    a perfect model reaches 1 in each group. ``new="users"`` divides the users. Warm and cold alone do not say
    whether a model brings both into one list: "all" does, and so does the harmonic mean, which is low when either is.

    Parameters
    ----------
    model
        As in :func:`~mmrec_lib.evaluation.evaluate`: fitted on ``train``.
    test : Interactions or Split
        The relevant items. Of a split, the part named by ``part`` is judged, and its own ``train`` is taken.
    train : Interactions, optional
        What the model was fitted on; its pairs are masked. Required unless ``test`` is a split.
    new : {"items", "users"}, default "items"
        Whose novelty counts: new is who or what occurs in no pair of ``train``.
    part : {"test", "valid"}, default "test"
        Of a split.
    ks, metrics
        As in ``evaluate``, those with a value for each user: default recall and NDCG at 20.
    users, confidence, n_boot, seed, device
        As in ``evaluate``.

    Returns
    -------
    DataFrame
        Indexed by group and metric: mean, ci_low, ci_high, and ``n_users``, over how many the mean is. Groups are
        "all"; "warm"; "cold", new ones against everything; with ``new="items"`` also "cold among new", where only
        the new items of ``test`` compete; and "harmonic", the harmonic mean of warm and cold, with an interval from
        resamples of all users. A group without a pair has NaN. ``.attrs["reports"]`` holds the reports by group.

    Raises
    ------
    ParameterError, UnknownNameError, DataError, UnknownUserError
        Wrong arguments, metrics of the whole catalogue, no ``train``; what ``evaluate`` raises.

    Examples
    --------
    >>> class ByCode:  # thinks that the item with the highest code is the best
    ...     def score(self, users):
    ...         return np.tile(np.arange(4.0), (len(users), 1))
    >>> train = Interactions([0, 1], [0, 3], n_items=4)  # items 1 and 2 are new
    >>> test = Interactions([0, 0, 1], [3, 1, 2], n_items=4)
    >>> table = by_novelty(ByCode(), test, train, ks=1, metrics="recall")
    >>> table["mean"].droplevel("metric").round(3).to_dict()
    {'all': 0.75, 'warm': 1.0, 'cold': 0.5, 'cold among new': 0.5, 'harmonic': 0.667}
    """
    one_of("new", new, GROUPS)
    test, train = _parts(test, train, part)
    plan = wanted(metrics, ks, test.n_items)
    for name, (metric, _) in plan.items():
        if metric.kind not in ("hits", "scores"):
            raise ParameterError(f"metric {name!r} judges no single pair: choose recall, ndcg and the like")
    options = {"ks": ks, "metrics": metrics, "confidence": confidence, "n_boot": n_boot, "seed": seed, "device": device}
    bootstrap.check(confidence, n_boot)
    everybody = np.arange(test.n_users) if users is None else np.asarray(users)
    reports = {}
    for group in GROUPS[new]:
        given = _of_items(group, test, train) if new == "items" else _of_users(group, test, train)
        if np.isin(given["test"].user, everybody).any() or group == "all":
            reports[group] = evaluate(model, train=train, users=users, **given, **options)
    return _table(reports, GROUPS[new], list(plan), confidence, n_boot, seed)


def _parts(test, train, part: str) -> tuple[Interactions, Interactions]:
    if isinstance(test, Split):
        return getattr(test, one_of("part", part, ("test", "valid"))), test.train
    if not isinstance(train, Interactions):
        raise ParameterError("train is needed to tell what is new: give the interactions that the model was fitted on")
    if train.n_items != test.n_items or train.n_users < test.n_users:
        raise DataError(f"train counts {train.shape} users and items, test {test.shape}: use one code for both")
    return test, train


def _of_items(group: str, test: Interactions, train: Interactions) -> dict:
    """Which pairs count, which are masked, and which items compete."""
    if group == "all":
        return {"test": test}
    known = train.item_counts() > 0
    counts = known[test.item] == (group == "warm")
    given = {"test": test.select(counts), "exclude": test.select(~counts)}
    return given | ({"candidates": np.unique(given["test"].item)} if group == "cold among new" else {})


def _of_users(group: str, test: Interactions, train: Interactions) -> dict:
    known = train.user_counts() > 0
    return {"test": test if group == "all" else test.select(known[test.user] == (group == "warm"))}


def _table(reports: dict[str, Report], groups, metrics: list[str], confidence, n_boot, seed) -> pd.DataFrame:
    blank = pd.DataFrame(np.nan, index=pd.Index(metrics, name="metric"), columns=["mean", "ci_low", "ci_high"])
    tables = {group: reports[group].summary if group in reports else blank for group in groups}
    tables = {g: t.assign(n_users=len(reports[g].per_user) if g in reports else 0) for g, t in tables.items()}
    both = "warm" in reports and "cold" in reports
    tables["harmonic"] = _harmonic(reports, metrics, confidence, n_boot, seed) if both else blank.assign(n_users=0)
    table = pd.concat(tables, names=["group"])
    table.attrs["reports"] = Kept(reports)
    return table


def _harmonic(reports: dict[str, Report], metrics: list[str], confidence, n_boot, seed) -> pd.DataFrame:
    """Harmonic mean of the means of warm and cold; users of both groups are drawn together."""
    warm, cold = (reports[group].per_user[metrics] for group in ("warm", "cold"))
    values = pd.concat([warm, cold], axis=1, keys=["warm", "cold"])  # NaN where a user is in one group only
    draws = bootstrap.resampled_means(values.to_numpy(), n_boot, seed)
    draws = harmonic_mean(draws[:, : len(metrics)], draws[:, len(metrics) :])
    low, high = bootstrap.interval(draws[np.isfinite(draws).all(axis=1)], confidence)
    mean = harmonic_mean(warm.mean().to_numpy(), cold.mean().to_numpy())
    table = pd.DataFrame({"mean": mean, "ci_low": low, "ci_high": high}, index=pd.Index(metrics, name="metric"))
    return table.assign(n_users=len(values))


def harmonic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``2 a b / (a + b)``, 0 where both are 0."""
    return np.divide(2 * a * b, a + b, out=np.zeros_like(a + b), where=(a + b) != 0)
