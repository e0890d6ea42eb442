"""Does a model use content? The same model, trained on vectors that say something, and on vectors that do not."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ..data import Features, Interactions, Split
from ..errors import DataError, ParameterError, UnknownItemError, UnknownNameError
from . import bootstrap
from .metrics import wanted
from .ranked import competing, evaluate
from .report import Report, summarise
from .significance import compare, holm

#: What can take the place of the real vectors.
VARIANTS = ("real", "shuffled", "noise", "none")
# Columns of a comparison, and what they are called here.
_DIFFERENCE = {"difference": "difference", "ci_low": "difference_low", "ci_high": "difference_high", "p_t": "p"}


class Kept(dict):
    """Reports in ``DataFrame.attrs``: pandas copies and compares attributes, which tables in them do not bear."""

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __deepcopy__(self, memo):
        return self


def control_features(features: Features, variant: str, seed: int = 0) -> Features:
    """Vectors that look like ``features`` and say nothing about the items.

    Parameters
    ----------
    features : Features
    variant
        ``"real"``: as they are.
        ``"shuffled"``: items exchange all their vectors at random, among the items with the same modalities: masks
        stay, the vectors are the same as a set, and text and image that came from one item still go together. An item
        alone with its combination of modalities keeps its own.
        ``"noise"``: independent normal numbers, with the mean and standard deviation of each dimension; masks stay.
        ``"none"``: every item lacks every modality.
    seed

    >>> control_features(Features({"image": np.ones((3, 2))}), "none").mask["image"].tolist()
    [False, False, False]
    """
    if variant not in VARIANTS:
        raise UnknownNameError("variant", variant, VARIANTS)
    if variant == "real":
        return features
    if variant == "none":
        return Features(dict(features), {m: np.zeros(features.n_items, bool) for m in features})
    rng = np.random.default_rng(seed)
    if variant == "noise":
        return Features({m: _noise(x, features.mask[m], rng) for m, x in features.items()}, features.mask)
    masks = np.stack([features.mask[m] for m in features], axis=1)
    pattern = np.unique(masks, axis=0, return_inverse=True)[1].ravel()
    places, drawn = np.argsort(pattern, kind="stable"), np.lexsort((rng.random(len(pattern)), pattern))
    source = np.empty(len(pattern), np.int64)
    source[places] = drawn  # both are sorted by pattern, so that an item gets vectors of its own pattern
    return Features({m: x[source] for m, x in features.items()}, features.mask)


def content_control(
    model,
    split: Split,
    features: Features,
    *,
    part: str = "test",
    metric: str = "ndcg@20",
    ks: int = 20,
    variants: Sequence[str] = VARIANTS,
    seed: int = 0,
    repeats: int = 1,
    users=None,
    restrict=None,
    candidates=None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    device="auto",
) -> pd.DataFrame:
    """Train the same model on real vectors and on controls: is it better because of what the vectors say?

    Where a model gives a user the same score for all items, as one without any vector may, their order is drawn.

    Parameters
    ----------
    model
        A recommender (``fit``, ``score``, if possible ``get_params``). It is not changed: each variant trains a new one
        with the same parameters, with ``split.valid`` for early stopping.
    split : Split
    features : Features
    part
        ``"test"``, or ``"valid"`` while models are still being chosen, or where there is no test part.
    metric
        One metric with a value for each user.
    ks
        Cut-off, where the metric's name has none.
    variants
        ``"real"`` and at least one other: see :func:`control_features`.
    seed
        Of controls and bootstrap. The model keeps its own seed.
    repeats
        Train so often, with new controls and, where the model has a parameter ``seed``, that seed plus 1, 2, ...; each
        user's values are averaged. Intervals and tests are over users: the chance of training is not in them.
    users : array of int, optional
        Evaluate only these.
    restrict : array of int, optional
        Item codes: only relevant items among these count (new ones, say); a user's other relevant items are masked.
    candidates : array of int, optional
        Item codes: only these compete, as in :func:`~mmrec_lib.evaluation.evaluate`. With the new items of a split
        ``"cold-items"``: how they are ranked among themselves. Early stopping still looks at all items.
    confidence, n_boot, device
        As in :func:`~mmrec_lib.evaluation.evaluate`.

    Returns
    -------
    DataFrame
        Indexed by variant: mean, ci_low, ci_high; ``difference`` (real minus this one), ``difference_low``,
        ``difference_high`` (paired bootstrap), ``p`` (paired t-test), ``p_holm`` (for the number of variants);
        fit_seconds; ``note``: why a model cannot run without any vector (only ``"none"``, whose row is then NaN).
        ``.attrs["reports"]`` holds the reports by variant.

    Raises
    ------
    ParameterError, UnknownNameError, UnknownItemError, DataError
        Wrong arguments, an empty part, nothing relevant in ``restrict``: before anything is trained. Errors of the
        model pass through, but for ``"none"``.
    """
    variants = ["real", *(v for v in dict.fromkeys(variants) if v != "real")] if "real" in variants else []
    for variant in variants:
        if variant not in VARIANTS:
            raise UnknownNameError("variant", variant, VARIANTS)
    if len(variants) < 2:
        raise ParameterError('variants must name "real" and at least one of "shuffled", "noise", "none"')
    judged = {"users": users, "restrict": restrict, "candidates": candidates}
    judged |= {"confidence": confidence, "n_boot": n_boot, "device": device}
    protocol = Protocol(split, features, part, metric, ks, repeats, seed, **judged)
    reports, seconds, notes = {}, {}, {}
    for variant in progress(variants, type(model).__name__):
        given = partial(control_features, features, variant)
        try:
            reports[variant], seconds[variant] = protocol.measure(model, given, variant)
        except Exception as error:
            if variant != "none":
                raise
            notes[variant] = f"cannot run without any vector ({type(error).__name__}: {error})"
    table = _compared(reports, variants, protocol)
    table["fit_seconds"], table["note"] = pd.Series(seconds), pd.Series(notes, dtype=object)
    table["note"] = table["note"].fillna("")
    table.attrs["reports"] = Kept(reports)
    return table


def content_controls(models: Mapping[str, object], split: Split, features: Features, **options) -> pd.DataFrame:
    """:func:`content_control` for many models, one row each, and a verdict.

    ``options`` are those of :func:`content_control`. Returns a DataFrame indexed by model: the mean of each variant;
    ``best_control``, the one with the highest mean; ``difference`` (real minus best control) with its interval;
    ``p``, ``p_holm`` (for the number of models); ``verdict``: ``"uses content"`` or ``"hurts"`` where p_holm is below
    one minus the confidence, else ``"no evidence"``. ``.attrs["tables"]`` holds the table of each model.

    The best control is chosen by the data that test it. That makes content harder to prove, as it should be; so that
    it does not make harm easier to prove, p is multiplied by the number of controls where the real vectors are worse.
    """
    if not isinstance(models, Mapping) or not models:
        raise ParameterError('models must be a dict of recommenders, such as {"knn": mm.models.create("contentknn")}')
    tables = {name: content_control(model, split, features, **options) for name, model in models.items()}
    rows = {}
    for name, table in tables.items():
        controls = table.drop(index="real").dropna(subset="mean")
        row = table["mean"].to_dict() | {"best_control": "", "difference": np.nan, "p": np.nan}
        if len(controls):
            best = controls["mean"].idxmax()
            row |= controls.loc[best, [*_DIFFERENCE.values()]].to_dict() | {"best_control": best}
            row["p"] = min(row["p"] * (len(controls) if row["difference"] < 0 else 1), 1)
        rows[name] = row
    means = [v for v in VARIANTS if v in next(iter(tables.values())).index]
    result = pd.DataFrame(rows).T.reindex(columns=[*means, "best_control", *_DIFFERENCE.values()]).infer_objects()
    result["p_holm"] = _holm(result["p"])
    clear = result["p_holm"] < 1 - options.get("confidence", 0.95)
    better = np.where(result["difference"] > 0, "uses content", "hurts")
    result["verdict"] = np.where(clear, better, "no evidence")
    result.index.name = "model"
    result.attrs["tables"] = Kept(tables)
    return result


# -- pieces ------------------------------------------------------------------------------------------------------


class Protocol:
    """How each variant is trained and judged; wrong arguments raise here, before anything is trained."""

    def __init__(
        self, split, features, part, metric, ks, repeats, seed, users, restrict, candidates, confidence, n_boot, device
    ) -> None:
        if part not in ("test", "valid"):
            raise ParameterError(f'part={part!r}: choose "test" or "valid"')
        held_out = getattr(split, part)
        if not len(held_out):
            hint = 'use part="valid"' if part == "test" and len(split.valid) else "there is nothing to evaluate"
            raise DataError(f"the {part} part of the split is empty: {hint}")
        if isinstance(repeats, bool) or not isinstance(repeats, (int, np.integer)) or repeats < 1:
            raise ParameterError(f"repeats={repeats!r}: give a whole number of at least 1")
        if not isinstance(features, Features) or not len(features):
            raise ParameterError(f"features must be Features with at least one modality; got {features!r}")
        plan = wanted(metric, ks, held_out.n_items)
        if len(plan) != 1 or next(iter(plan.values()))[0].kind == "catalogue":
            raise ParameterError(f'metric={metric!r}: name one that each user has a value of, such as "ndcg@20"')
        bootstrap.check(confidence, n_boot)
        self.split, self.features, self.repeats, self.seed = split, features.check(held_out.n_items), repeats, seed
        self.metric, self.confidence, self.n_boot = next(iter(plan)), confidence, n_boot
        self._test, exclude = _restricted(held_out, restrict)
        self._competes = competing(candidates, held_out.n_items)
        if self._competes is not None and not self._competes[self._test.item].any():
            raise DataError("candidates leave no relevant item: none of them occurs in this part of the split")
        self._options = {"metrics": self.metric, "users": users, "exclude": exclude, "device": device}
        self._options["candidates"] = candidates
        self._options |= {"confidence": confidence, "n_boot": n_boot, "seed": seed}

    def measure(self, model, given: Callable[[int], Features], name: str) -> tuple[Report, float]:
        """Train and judge a fresh copy ``repeats`` times on ``given(seed)``: report, and seconds of one training."""
        if not callable(getattr(model, "fit", None)):
            raise ParameterError(f"model is a {type(model).__name__}; expected a recommender with fit and score")
        valid = self.split.valid if len(self.split.valid) else None
        reports, seconds = [], 0.0
        for repeat in range(self.repeats):
            fresh, features = _fresh(model, repeat), given(self.seed + repeat)
            started = time.perf_counter()
            fresh.fit(self.split.train, features=features, valid=valid)
            seconds += time.perf_counter() - started
            reports.append(self._evaluate(fresh, name))
        return self._averaged(reports), seconds / self.repeats

    def _evaluate(self, model, name: str) -> Report:
        model = Drawn(model, self.seed, self._competes)
        return evaluate(model, self._test, self.split.train, features=self.features, name=name, **self._options)

    def _averaged(self, reports: list[Report]) -> Report:
        if len(reports) == 1:
            return reports[0]
        per_user = sum(report.per_user for report in reports) / len(reports)
        summary = summarise(per_user, {}, [self.metric], self.confidence, self.n_boot, self.seed)
        return Report(summary, per_user, reports[0].name, reports[0].info | {"repeats": len(reports)})


class Drawn:
    """A model whose rows of equal scores are replaced by random ones: codes may follow popularity, chance does not.

    ``competes``, bool ``(n_items,)``: only these items count, and only they get random scores.
    """

    def __init__(self, model, seed: int, competes: np.ndarray | None = None) -> None:
        self.model, self.seed, self.competes = model, seed, competes
        self.name = getattr(model, "name", type(model).__name__)

    def score(self, users) -> np.ndarray:
        scores = np.asarray(self.model.score(users))
        candidates = np.isfinite(scores) if self.competes is None else np.isfinite(scores) & self.competes
        low = np.where(candidates, scores, np.inf).min(axis=1)
        same = low == np.where(candidates, scores, -np.inf).max(axis=1)
        if same.any():
            scores = scores.copy()
            # by user, so that a user's list does not depend on who else is scored
            drawn = np.stack([np.random.default_rng([self.seed, u]).random(scores.shape[1]) for u in users[same]])
            scores[same] = np.where(candidates[same], drawn, scores[same])
        return scores


def progress(steps: Sequence, description: str) -> Iterable:
    """The steps, with a bar."""
    from tqdm import tqdm

    return tqdm(steps, desc=description, unit="fit", disable=None, leave=False)


def _fresh(model, repeat: int):
    """An unfitted model with the same parameters, and another seed for each repeat but the first."""
    if not callable(getattr(model, "get_params", None)):
        return copy.deepcopy(model)
    params = copy.deepcopy(model.get_params())
    if repeat and params.get("seed") is not None:
        params["seed"] += repeat
    return type(model)(**params)


def _restricted(held_out: Interactions, restrict) -> tuple[Interactions, Interactions | None]:
    """The pairs that count, and those to be masked."""
    if restrict is None:
        return held_out, None
    items = np.unique(np.asarray(restrict, dtype=np.int64))
    outside = items[(items < 0) | (items >= held_out.n_items)]
    if len(outside):
        raise UnknownItemError(f"restrict: item {outside[0]} is unknown; codes are 0 to {held_out.n_items - 1}")
    counts = np.isin(held_out.item, items)
    if not counts.any():
        raise DataError("restrict leaves no relevant item: none of these items occurs in this part of the split")
    return held_out.select(counts), held_out.select(~counts)


def _noise(vectors: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if not mask.any():
        return vectors
    mean, deviation = vectors[mask].mean(axis=0), vectors[mask].std(axis=0)
    return mean + deviation * rng.standard_normal(vectors.shape, np.float32)


def _compared(reports: Mapping[str, Report], variants: Sequence[str], protocol: Protocol) -> pd.DataFrame:
    rows = {}
    for variant in variants:
        rows[variant] = {} if variant not in reports else reports[variant].summary.loc[protocol.metric].to_dict()
        if variant in reports and variant != "real":
            pair = reports["real"], reports[variant], protocol.metric, "t"
            found = compare(*pair, protocol.confidence, protocol.n_boot, protocol.seed).loc[protocol.metric]
            rows[variant] |= {new: found[old] for old, new in _DIFFERENCE.items()}
    columns = ["mean", "ci_low", "ci_high", *_DIFFERENCE.values()]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(index=variants, columns=columns).astype(float)
    table["p_holm"] = _holm(table["p"])
    table.index.name = "variant"
    return table


def _holm(p: pd.Series) -> pd.Series:
    known = p.dropna()
    return pd.Series(holm(known), known.index).reindex(p.index)
