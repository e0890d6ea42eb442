"""Search hyperparameters on validation and keep the best: trials as CSV, the winner in ``configs/<data set>.yml``.

    python benchmarks/tune.py --data ml-100k --models itemknn ease --trials 30 --metric ndcg@20
    python benchmarks/tune.py --data path/to/baby --models bpr --trials 30 --metric recall@20
    python benchmarks/tune.py --data stamps --models vbpr freedom --trials 10

The test part is never looked at. An interrupted search goes on where it stopped (``results/tmp``).
"""

from __future__ import annotations

import argparse
import inspect

import common
from spaces import SPACES, space, start

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
):
    """Search one model's parameters; returns the library's ``SearchResult``. Finished trials are not repeated."""
    cls = mm.models.get_class(model)
    first = {k: p.default for k, p in inspect.signature(cls).parameters.items()} | start(model, split)
    where = space(model, split) | fixed(model, split, metric, seed)
    evaluate = None
    if model == "biasedmf":  # predicts ratings, so it is judged by its error
        metric = "rmse"

        def evaluate(fitted, valid, train):
            return -mm.evaluation.evaluate_ratings(fitted, valid)["rmse"]

    result = mm.training.search(
        cls,
        split,
        where,
        n_trials=trials,
        metric="ndcg@20" if evaluate else metric,
        seed=seed,
        features=features,
        timeout=timeout,
        evaluate=evaluate,
        path=common.root() / "results" / "tmp" / f"{name}-{model}-{metric}.json",
        start={k: _within(v, where[k]) for k, v in first.items() if k in where},
    )
    common.write_trials(name, model, result.trials, metric)
    return result


def keep(name: str, model: str, result) -> None:
    """Write the best parameters into the data set's configurations, floats to four digits."""
    params = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in result.best_params.items()}
    params.pop("seed", None)  # whoever makes the model chooses it
    if result.best_epoch is not None:
        params["epochs"] = result.best_epoch  # the same model, whether or not validation is at hand to stop it
    common.write_config(name, model, params)


def _within(default, entry):
    """A default, moved into what is searched if it lies outside (as does no shrinkage, on a log scale)."""
    if isinstance(entry, list):
        return default if default in entry else entry[0]
    return min(max(default, entry[1]), entry[2]) if isinstance(entry, tuple) else entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a data set's name, or the path of a benchmark folder")
    parser.add_argument("--models", nargs="+", required=True, choices=sorted(SPACES))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--metric", default="ndcg@20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, help="begin no trial after this many seconds of a model's search")
    args = parser.parse_args()
    name, split = common.load_split(args.data)
    features = common.load_features(args.data)
    for model in args.models:
        result = search(name, split, model, args.trials, args.metric, args.seed, args.timeout, features)
        keep(name, model, result)
        print(
            f"{name} {model}: {result.best_value:.4f} (first trial {result.trials['value'].iloc[0]:.4f}) after "
            f"{len(result.trials)} trials, {result.trials['seconds'].sum():.0f} s: {result.best_params}",
            flush=True,
        )


if __name__ == "__main__":
    main()
