"""Search hyperparameters on validation and keep the best: trials as CSV, the winner in ``configs/<data set>.yml``.

    python benchmarks/tune.py --data ml-100k --models itemknn ease --trials 30 --metric ndcg@20
    python benchmarks/tune.py --data path/to/baby --models bpr --trials 30 --metric recall@20
    python benchmarks/tune.py --data stamps --models vbpr freedom --trials 10
    python benchmarks/tune.py --data stamps --models coldmap sideease --trials 10 --new-items

With ``--new-items`` models are judged by how they rank the new items of validation among themselves, and trained
without early stopping; then the calibration is chosen that gives the highest harmonic mean of known and new items. The
winner goes into ``configs/<data set>.yml`` if the model is made for new items, else ``configs/<data set>-new.yml``.

The test part is never looked at. An interrupted search goes on where it stopped (``results/tmp``).
"""

from __future__ import annotations

import argparse
import inspect

import common
from spaces import NEW_ITEMS, SPACES, space, start, start_for_new_items

import mmrec_lib as mm
from mmrec_lib.data import Split


def fixed(model: str, split: Split, metric: str, seed: int) -> dict:
    """What the search leaves as it is: fixed entries of the space, the metric of early stopping, and the seed."""
    defaults = inspect.signature(mm.models.get_class(model)).parameters
    entries = {k: v for k, v in space(model, split).items() if not isinstance(v, (tuple, list))}
    return entries | {k: v for k, v in {"metric": metric, "seed": seed}.items() if k in defaults}


def search(
    name: str,
    split: Split,
    model: str,
    trials: int,
    metric: str,
    seed: int,
    timeout: float | None = None,
    features=None,
    new: bool = False,
):
    """Search one model's parameters; returns the library's ``SearchResult``. Finished trials are not repeated."""
    cls, evaluate = mm.models.get_class(model), None
    defaults = {k: p.default for k, p in inspect.signature(cls).parameters.items()}
    if new:
        where, first = NEW_ITEMS[model], defaults | start_for_new_items(model, split)
        where = where | ({"seed": seed} if "seed" in defaults else {})
        items = common.new_items(split.train, split.valid)

        def evaluate(fitted, valid, train):
            among = {"candidates": items, "metrics": metric, "n_boot": 2}
            return mm.evaluation.evaluate(fitted, valid, train, **among)[metric]

    else:
        where, first = space(model, split) | fixed(model, split, metric, seed), defaults | start(model, split)
    if model == "biasedmf":  # predicts ratings, so it is judged by its error
        metric = "rmse"

        def evaluate(fitted, valid, train):
            return -mm.evaluation.evaluate_ratings(fitted, valid)["rmse"]

    name = f"{name}-new" if new else name
    result = mm.training.search(
        lambda **params: cls(**nested(params)),
        split,
        where,
        n_trials=trials,
        metric=metric if new or not evaluate else "ndcg@20",
        seed=seed,
        features=features,
        timeout=timeout,
        evaluate=evaluate,
        path=common.root() / "results" / "tmp" / f"{name}-{model}-{metric}.json",
        start={k: _within(v, where[k]) for k, v in first.items() if k in where},
    )
    common.write_trials(name, model, result.trials, metric)
    return result


def nested(params: dict) -> dict:
    """``{"base_params.dim": 8}`` as ``{"base_params": {"dim": 8}}``."""
    made = {k: v for k, v in params.items() if "." not in k}
    for key, value in params.items():
        if "." in key:
            outer, inner = key.split(".")
            made.setdefault(outer, {})[inner] = value
    return made


def calibrated(model: str, params: dict, split: Split, features, metric: str) -> str:
    """The calibration with the highest harmonic mean of known and new items, all of them competing; one training."""
    cold = mm.models.cold
    fitted, found = mm.models.create(model, **params).fit(split.train, features=features), {}
    plain, known = fitted.item_factors_, split.train.item_counts() > 0
    for calibration in cold.CALIBRATIONS:
        fitted.calibration = calibration
        fitted.item_factors_ = cold.same_length(plain, known) if calibration == "length" else plain
        table = mm.evaluation.by_novelty(fitted, split, part="valid", metrics=metric, n_boot=2)
        found[calibration] = table.loc[("harmonic", metric), "mean"]
        print(f"  calibration {calibration}: {table['mean'].droplevel('metric').round(4).to_dict()}", flush=True)
    return max(found, key=found.get)


def keep(name: str, model: str, result, **more) -> None:
    """Write the best parameters into the data set's configurations, floats to four digits."""
    params = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in result.best_params.items()}
    params.pop("seed", None)  # whoever makes the model chooses it
    if result.best_epoch is not None:
        params["epochs"] = result.best_epoch  # the same model, whether or not validation is at hand to stop it
    common.write_config(name, model, nested(params) | more)


def _within(default, entry):
    """A default, moved into what is searched if it lies outside (as does no shrinkage, on a log scale)."""
    if isinstance(entry, list):
        return default if default in entry else entry[0]
    return min(max(default, entry[1]), entry[2]) if isinstance(entry, tuple) else entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a data set's name, or the path of a benchmark folder")
    parser.add_argument("--models", nargs="+", required=True, choices=sorted(SPACES | NEW_ITEMS))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--metric", default="ndcg@20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, help="begin no trial after this many seconds of a model's search")
    parser.add_argument("--new-items", action="store_true", help="judge the ranking of new items among themselves")
    args = parser.parse_args()
    if args.new_items:
        name, split, features = common.load_new_items(args.data)
    else:
        (name, split), features = common.load_split(args.data), common.load_features(args.data)
    for model in args.models:
        options = args.trials, args.metric, args.seed, args.timeout, features, args.new_items
        result, more = search(name, split, model, *options), {}
        if args.new_items and "calibration" in inspect.signature(mm.models.get_class(model)).parameters:
            best = nested(result.best_params)
            more["calibration"] = calibrated(model, best, split, features, args.metric)
        keep(name if model in common.FOR_NEW_ITEMS or not args.new_items else f"{name}-new", model, result, **more)
        print(
            f"{name} {model}: {result.best_value:.4f} (first trial {result.trials['value'].iloc[0]:.4f}) after "
            f"{len(result.trials)} trials, {result.trials['seconds'].sum():.0f} s: {result.best_params}",
            flush=True,
        )


if __name__ == "__main__":
    main()
