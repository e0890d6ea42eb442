"""Many models, one table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pandas as pd

from ..data import Features, Split
from ..errors import DataError, ParameterError, UnknownNameError
from .metrics import DEFAULT, check_needs, wanted
from .ranked import evaluate
from .report import Report
from .significance import compare_all


class Leaderboard(pd.DataFrame):
    """A DataFrame of results that also keeps the ``reports`` and the fitted ``models``, by name."""

    _metadata = ("reports", "models")  # how pandas is told of attributes that are not columns
    reports: dict[str, Report]
    models: dict[str, object]

    @property
    def _constructor(self):
        return pd.DataFrame  # a part of the table is an ordinary table


def leaderboard(
    models: Mapping[str, object],
    split: Split,
    features: Features | None = None,
    ks: int | Sequence[int] = (10, 20),
    metrics: str | Sequence[str] = DEFAULT,
    part: str = "test",
    sort_by: str | None = None,
    baseline: str | None = None,
    test: str = "t",
    intervals: bool = False,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    device="auto",
    groups=None,
) -> Leaderboard:
    """Train, evaluate and time models under one protocol.

    Parameters
    ----------
    models : dict of str to recommender
        Not yet fitted: each gets ``fit(split.train, features=features, valid=split.valid)``. An object without ``fit``
        (an oracle, a fixed order) is evaluated as it is.
    split : Split
    features : Features, optional
        For models that use content, and for the metric ``"ild"``.
    ks, metrics, confidence, n_boot, seed, device, groups
        As in :func:`~mmrec_lib.evaluation.evaluate`.
    part
        ``"test"``, or ``"valid"`` while models are still being chosen. Training items are masked, nothing else.
    sort_by
        Metric that orders the table and is tested. Default: NDCG at the largest cut-off, or else the last metric.
    baseline
        Name of the model with which the others are compared. Default: the best. It is then chosen by the data that
        also test it, which flatters it a little: name a baseline for a claim in print.
    test
        ``"t"``, ``"wilcoxon"`` or ``"bootstrap"``, paired over users.
    intervals
        Show the metrics as text with their interval: ``"0.297 [0.288, 0.306]"``.

    Returns
    -------
    Leaderboard
        A DataFrame indexed by model, best first: the metrics, ``p_holm`` (difference to the baseline in ``sort_by``,
        corrected for the number of models; NaN in the row of the baseline), ``fit_seconds``, ``score_seconds`` (all
        score products of the evaluation). ``.reports[name]`` holds the reports, ``.models[name]`` the fitted models.

    Raises
    ------
    ParameterError, UnknownNameError, DataError
        No models, unknown part, baseline or metric, an empty part: before any model is trained. Errors of a model or
        its evaluation pass through.
    """
    from tqdm import tqdm

    if not isinstance(models, Mapping) or not models:
        raise ParameterError('models must be a dict of recommenders, such as {"ease": mm.models.create("ease")}')
    if part not in ("test", "valid"):
        raise ParameterError(f'part={part!r}: choose "test" or "valid"')
    if baseline is not None and baseline not in models:
        raise UnknownNameError("baseline", baseline, models)
    held_out = getattr(split, part)
    if not len(held_out):
        raise DataError(f"the {part} part of the split is empty: there is nothing to evaluate")
    # before anything is trained, so that a slip of the pen does not cost an hour
    plan = wanted(metrics, ks, held_out.n_items)
    check_needs(plan, split.train, features, held_out.n_items, groups)
    sort_by = sort_by or next((m for m in reversed(plan) if m.startswith("ndcg@")), list(plan)[-1])
    if sort_by not in plan:
        raise UnknownNameError("metric of this table", sort_by, plan)
    reports, seconds = {}, {}
    for name in (bar := tqdm(models, unit="model", disable=None)):
        bar.set_description(name)
        seconds[name] = _fit(models[name], split, features)
        reports[name] = evaluate(
            models[name],
            held_out,
            train=split.train,
            ks=ks,
            metrics=metrics,
            features=features,
            confidence=confidence,
            n_boot=n_boot,
            seed=seed,
            device=device,
            name=name,
            groups=groups,
        )
    return _table(reports, seconds, dict(models), sort_by, baseline, test, intervals, confidence, n_boot, seed)


def _fit(model, split: Split, features: Features | None) -> float:
    if not callable(getattr(model, "fit", None)):
        return float("nan")
    started = time.perf_counter()
    model.fit(split.train, features=features, valid=split.valid if len(split.valid) else None)
    return time.perf_counter() - started


def _table(reports, seconds, models, sort_by, baseline, test, intervals, confidence, n_boot, seed) -> Leaderboard:
    means = pd.DataFrame({name: report.summary["mean"] for name, report in reports.items()}).T
    means = means.sort_values(sort_by, ascending=False, kind="stable")
    table = Leaderboard(_as_text(means, reports) if intervals else means)
    table["p_holm"] = float("nan")
    # a metric of the whole catalogue has no value for each user, and so no paired test
    if len(reports) > 1 and sort_by in next(iter(reports.values())).per_user:
        against = baseline or means.index[0]
        pairs = compare_all(reports, sort_by, against, test, confidence, n_boot, seed)
        table.loc[pairs.index.get_level_values("a"), "p_holm"] = pairs["p_holm"].to_numpy()
    table["fit_seconds"] = pd.Series(seconds)
    table["score_seconds"] = pd.Series({name: report.info["score_seconds"] for name, report in reports.items()})
    table.index.name = "model"
    table.columns.name = None
    table.reports, table.models = reports, models
    return table


def _as_text(means: pd.DataFrame, reports: Mapping[str, Report]) -> pd.DataFrame:
    """The same table with each figure as text, with its interval where it has one."""
    text = {}
    for name in means.index:
        summary = reports[name].summary
        text[name] = {
            metric: f"{row['mean']:.3f}"
            + (f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]" if row.notna().all() else "")
            for metric, row in summary.iterrows()
        }
    return pd.DataFrame(text).T
