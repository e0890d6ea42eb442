"""The search for hyperparameters: on validation only, every trial recorded, resumable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..errors import DataError, ParameterError, TrainingError
from .validation import Validator, parse_metric

_KINDS = ("float", "log", "int", "logint")


@dataclass
class SearchResult:
    """What :func:`search` found.

    Attributes
    ----------
    best_params : dict
        Parameters of the best trial, the fixed ones included.
    best_value : float
        Its metric on validation.
    best_epoch : int or None
        The epoch at which its training was stopped, when the model has one: to retrain without validation, set
        ``epochs`` to it.
    trials : DataFrame
        One row per trial in order: value (NaN when it failed), seconds, state ("complete" or "failed"), best_epoch,
        error, and a column for each searched parameter.
    """

    best_params: dict
    best_value: float
    best_epoch: int | None
    trials: pd.DataFrame


def search(
    make: Callable[..., object],
    split,
    space: Mapping[str, object],
    n_trials: int = 30,
    metric: str = "ndcg@20",
    seed: int = 0,
    features=None,
    timeout: float | None = None,
    evaluate: Callable[[object, object, object], float] | None = None,
    path: str | os.PathLike | None = None,
    start: Mapping[str, object] | None = None,
) -> SearchResult:
    """Try parameters and keep those that are best on the validation part; the test part is never looked at.

    The tree-structured Parzen estimator (Bergstra et al., 2011) of Optuna proposes the parameters.

    Parameters
    ----------
    make
        ``make(**params)`` gives an unfitted recommender: a class, or a function.
    split : Split
        Models learn from ``split.train`` (with ``split.valid`` for early stopping) and are judged on ``split.valid``.
    space
        Parameter name to ``("float", low, high)``, ``("log", low, high)`` (float on a log scale), ``("int", low,
        high)``, ``("logint", low, high)``, a list of choices, or a single value, which stays fixed.
    n_trials : int, default 30
        Number of trials in all, those read from ``path`` included.
    metric : str, default "ndcg@20"
        Higher is better; a name of ``mm.ranking.LIST_METRICS`` and a cut-off.
    seed : int, default 0
        The same seed proposes the same parameters, also when the search was interrupted and resumed.
    timeout : float, optional
        Begin no trial after this many seconds.
    evaluate
        ``evaluate(model, valid, train)`` gives the value, instead of ``metric``.
    path
        A JSON file to which each finished trial is written; when it exists, the search goes on from it.
    start
        Parameters of the first trial: the defaults, for example, so that the search cannot end below them.

    Raises
    ------
    ParameterError
        A space that cannot be searched, or a file that belongs to another search.
    TrainingError
        Every trial failed. (A single trial that fails to train is recorded, and the search goes on.)
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searched, fixed = _distributions(space)
    if evaluate is None:
        parse_metric(metric)
    train, valid = split.train, split.valid
    if not len(valid):
        raise DataError("split.valid holds no interactions: the search has nothing to judge by")
    if evaluate is None:
        validator = Validator(train.to_csr(), valid, metric)

        def evaluate(model, valid, train):
            return validator(model.score)

    study = optuna.create_study(direction="maximize")
    records = _read(path, metric, searched, fixed)
    for record in records:
        study.add_trial(_past_trial(record, searched))
    began = time.perf_counter()
    bar = tqdm(total=n_trials, initial=len(records), desc="search", disable=None, leave=False)
    with bar:
        while len(records) < n_trials and (timeout is None or time.perf_counter() - began < timeout):
            # a fresh generator for each trial: a proposal depends on seed and past trials only, so search can resume
            own_seed = int(np.random.default_rng([seed, len(records)]).integers(2**31))
            study.sampler = optuna.samplers.TPESampler(seed=own_seed, multivariate=True)
            if start is not None and not records:
                study.enqueue_trial({k: start[k] for k in searched if k in start})
            trial = study.ask(searched)
            record = _run(make, {**fixed, **trial.params}, train, valid, features, evaluate)
            record["params"] = trial.params
            failed = record["state"] == "failed"
            state = optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE
            study.tell(trial, None if failed else record["value"], state=state)
            records.append(record)
            _write(path, metric, searched, fixed, records)
            bar.set_postfix(best=max((r["value"] for r in records if r["value"] is not None), default=None))
            bar.update()
    return _result(records, fixed)


def _run(make, params: dict, train, valid, features, evaluate) -> dict:
    start = time.perf_counter()
    value, error, model = None, None, make(**params)
    try:
        model.fit(train, features=features, valid=valid)
        value = float(evaluate(model, valid, train))
        if not np.isfinite(value):
            value, error = None, "the metric is not finite"
    except TrainingError as failure:
        error = str(failure)
    epoch = getattr(model, "best_epoch_", None)
    return {
        "value": value,
        "seconds": time.perf_counter() - start,
        "state": "failed" if value is None else "complete",
        "best_epoch": None if epoch is None else int(epoch),
        "error": error,
    }


def _result(records: list[dict], fixed: dict) -> SearchResult:
    done = [r for r in records if r["state"] == "complete"]
    if not done:
        reason = records[-1]["error"] if records else "no trial was begun; raise n_trials or timeout"
        raise TrainingError(f"the search has no finished trial: {reason}")
    best = max(done, key=lambda r: r["value"])
    columns = ("value", "seconds", "state", "best_epoch", "error")
    trials = pd.DataFrame([{**{c: r[c] for c in columns}, **r["params"]} for r in records])
    trials["value"] = trials["value"].astype(float)
    return SearchResult({**fixed, **best["params"]}, best["value"], best["best_epoch"], trials)


# -- the space ---------------------------------------------------------------------------------------------------


def _distributions(space: Mapping[str, object]) -> tuple[dict, dict]:
    """Optuna distributions of the searched parameters, and the fixed ones."""
    from optuna.distributions import CategoricalDistribution

    searched, fixed = {}, {}
    for name, entry in space.items():
        if isinstance(entry, list):
            if not entry:
                raise ParameterError(f"space[{name!r}] is an empty list: give at least one choice")
            searched[name] = CategoricalDistribution(entry)
        elif isinstance(entry, tuple):
            searched[name] = _range(name, entry)
        else:
            fixed[name] = entry
    return searched, fixed


def _range(name: str, entry: tuple):
    from optuna.distributions import FloatDistribution, IntDistribution

    if len(entry) != 3 or entry[0] not in _KINDS:
        raise ParameterError(
            f"space[{name!r}] = {entry!r}: write (kind, low, high) with kind one of {', '.join(_KINDS)}"
        )
    kind, low, high = entry
    log = kind.startswith("log")
    if not low <= high or (log and low <= 0):
        raise ParameterError(f"space[{name!r}] = {entry!r}: low must be at most high, and above zero on a log scale")
    return IntDistribution(low, high, log=log) if kind.endswith("int") else FloatDistribution(low, high, log=log)


# -- the file ----------------------------------------------------------------------------------------------------


def _header(metric: str, searched: dict, fixed: dict) -> dict:
    return {"metric": metric, "space": {k: repr(v) for k, v in searched.items()}, "fixed": fixed}


def _read(path, metric: str, searched: dict, fixed: dict) -> list[dict]:
    if path is None or not Path(path).exists():
        return []
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        header, records = content["search"], content["trials"]
    except (ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path} is no file of a search ({error}): name another, or delete it") from None
    if header != json.loads(json.dumps(_header(metric, searched, fixed))):
        raise ParameterError(f"{path} belongs to a search with another space or metric: name another, or delete it")
    return records


def _write(path, metric: str, searched: dict, fixed: dict, records: list[dict]) -> None:
    if path is None:
        return
    from .loop import write_atomically

    content = {"search": _header(metric, searched, fixed), "trials": records}
    write_atomically(Path(path), json.dumps(content, indent=1).encode())


def _past_trial(record: dict, searched: dict):
    from optuna.trial import TrialState, create_trial

    complete = record["state"] == "complete"
    return create_trial(
        params=record["params"],
        distributions=searched,
        value=record["value"] if complete else None,
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
    )
