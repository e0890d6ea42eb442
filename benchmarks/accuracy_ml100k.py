"""Ours against cornac and implicit on ml-100k: one split, as many search trials for each, one evaluator.

    python benchmarks/accuracy_ml100k.py --trials 15

Hyperparameters are chosen on validation by the same search; then each winner is fitted on the training part and
judged once on test. Every rating counts as a positive.
"""

from __future__ import annotations

import argparse
import time

import common
import tune
from peers.libraries import PEERS, STARTS

import mmrec_lib as mm

METRIC = "ndcg@20"
OTHERS = ("userknn", "rp3beta", "slim", "multvae", "neumf", "lightgcn")  # tuned without a peer; for the book's table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-100k", help="a data set's name, or the path of a benchmark folder")
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--families", nargs="+", default=list(PEERS), choices=list(PEERS))
    args = parser.parse_args()
    name, split = common.load_split(args.data)
    rows, tests, reports = [], [], {}
    for family in args.families:
        choices = {family: ours(name, split, family, args.trials)}
        choices |= {peer: theirs(name, split, peer, *found, args.trials) for peer, found in PEERS[family].items()}
        rows += [judge(family, label, choice, split, reports) for label, choice in choices.items()]
        tests.append(versus_best_peer(family, rows, reports))
        write(name, split, args.trials, rows, tests, [])  # after each family, so that a long run loses nothing
    configs = common.read_configs(name)
    others = [
        judge(model, model, {"make": mm.models.get_class(model), "params": configs[model]}, split, reports)
        for model in OTHERS
        if model in configs
    ]
    write(name, split, args.trials, rows, tests, others)


def write(name: str, split, trials: int, rows: list[dict], tests: list[dict], others: list[dict]) -> None:
    content = {"data": name, "split": repr(split), "metric": METRIC, "trials": trials}
    content |= {"models": rows, "tests": tests, "others": others}
    common.write_result(f"accuracy_{name.replace('-', '')}", content)


def ours(name: str, split, model: str, trials: int) -> dict:
    """The best of the first ``trials`` trials of our own search (which may have been run for longer)."""
    result = tune.search(name, split, model, trials, METRIC, seed=0)
    return chosen(mm.models.get_class(model), result, trials, tune.fixed(model, split, METRIC, seed=0))


def theirs(name: str, split, label: str, cls: type, where: dict, trials: int) -> dict:
    """The best trial of a peer under the same search; its defaults when there is nothing to search."""
    if not where:
        return {"make": cls, "params": {}}
    path = common.root() / "results" / "tmp" / f"{name}-{label.replace(' ', '-')}-{METRIC}.json"
    start = STARTS.get(label)
    result = mm.training.search(cls, split, where, n_trials=trials, metric=METRIC, seed=0, path=path, start=start)
    common.write_trials(name, label.lower().replace(" ", "-"), result.trials, METRIC)
    return chosen(cls, result, trials, {})


def chosen(make, result, trials: int, fixed: dict) -> dict:
    """The winner among the first ``trials``: a search depends on seed and past only, so its beginning is a search."""
    first = result.trials.head(trials)
    best = first.loc[first["value"].idxmax()]
    params = {k: _plain(v) for k, v in best.drop(list(common.TRIAL_COLUMNS)).items()}
    return {
        "make": make,
        "params": fixed | params,
        "validation": float(best["value"]),
        "search_seconds": float(first["seconds"].sum()),
    }


def _plain(value):
    if value is None or value != value:  # pandas writes None as NaN
        return None
    return value.item() if hasattr(value, "item") else value


def judge(family: str, label: str, choice: dict, split, reports: dict) -> dict:
    """Fit the winner on train, and judge it on test."""
    model = choice["make"](**choice["params"])
    started = time.perf_counter()
    model.fit(split.train, valid=split.valid)
    took = time.perf_counter() - started
    report = mm.evaluation.evaluate(model, split.test, train=split.train, ks=(10, 20), name=label)
    reports[label] = report
    row = {"family": family, "model": label, "ndcg@20": common.one_line(report, "ndcg@20")}
    row |= {"recall@20": common.one_line(report, "recall@20"), "fit_seconds": took, "params": choice["params"]}
    row |= {k: choice[k] for k in ("validation", "search_seconds") if k in choice}
    print(f"{family:10} {label:20} ndcg@20 {report['ndcg@20']:.4f}  recall@20 {report['recall@20']:.4f}", flush=True)
    return row


def versus_best_peer(family: str, rows: list[dict], reports: dict) -> dict:
    """Paired comparison of ours with the peer that is best on test: the harder opponent."""
    peers = [r for r in rows if r["family"] == family and r["model"] != family]
    best = max(peers, key=lambda r: r["ndcg@20"]["mean"])["model"]
    row = mm.evaluation.compare(reports[family], reports[best], METRIC).loc[METRIC]
    numbers = ("difference", "ci_low", "ci_high", "p_t", "p_wilcoxon")
    return {"family": family, "peer": best} | {k: row[k] for k in numbers}


if __name__ == "__main__":
    main()
