"""Every tuned configuration of a benchmark folder, judged on its validation part, beside published figures.

    python benchmarks/accuracy_baby.py path/to/baby

Configurations come from ``configs/<folder's data set>.yml``. BPR and LightGCN are trained a second time with the
settings that papers commonly use, to show how much of a published gap is tuning. Published figures are of the test
part, which this script never sees: they stand in a table of their own.
"""

from __future__ import annotations

import argparse
import time

import common
import pandas as pd

import mmrec_lib as mm

#: What must be reached in validation Recall@20.
TARGETS = {"itemknn": 0.080, "rp3beta": 0.080, "ease": 0.080, "lightgcn": 0.078, "bpr": 0.065}

#: Settings that multimodal papers give for their baselines: Adam at 1e-3, 64 dimensions, a weak penalty.
AS_IN_PAPERS = {
    "bpr": {"dim": 64, "learning_rate": 1e-3, "l2": 1e-4, "batch_size": 2048},
    "lightgcn": {"dim": 64, "layers": 2, "learning_rate": 1e-3, "l2": 1e-4, "batch_size": 2048},
}
LIMITS = {"epochs": 200, "eval_every": 10, "patience": 2, "metric": "recall@20"}

#: Test Recall@20 in print, by split of the same data. The two splits cannot be compared with each other.
PUBLISHED = [
    {"model": "MF-BPR", "split": "DiffMM (the one used here)", "recall@20": 0.0440},
    {"model": "LightGCN", "split": "DiffMM (the one used here)", "recall@20": 0.0698},
    {"model": "LATTICE", "split": "DiffMM (the one used here)", "recall@20": 0.0829},
    {"model": "BM3", "split": "DiffMM (the one used here)", "recall@20": 0.0839},
    {"model": "DiffMM", "split": "DiffMM (the one used here)", "recall@20": 0.0975},
    {"model": "BPR", "split": "MMRec (another)", "recall@20": 0.0575},
    {"model": "LightGCN", "split": "MMRec (another)", "recall@20": 0.0754},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="a benchmark folder")
    parser.add_argument("--models", nargs="+", help="only these of the configurations")
    parser.add_argument("--no-papers", action="store_true", help="leave out the settings as in papers (slow)")
    parser.add_argument("--only-papers", action="store_true", help="leave out the configurations, keep their results")
    args = parser.parse_args()
    name, split = common.load_split(args.path)
    configs = common.read_configs(name)
    chosen = {m: p for m, p in configs.items() if args.models is None or m in args.models}
    runs = {} if args.only_papers else {("models", m): p for m, p in chosen.items()}
    if not args.no_papers:
        runs |= {("as_in_papers", m): p | LIMITS for m, p in AS_IN_PAPERS.items() if m in chosen}
    for (part, model), params in runs.items():
        row = judge(model, params, split) | {"target": TARGETS.get(model)}
        write(name, split, configs, part, row)  # after each, so that nothing is lost when a long run is stopped


def write(name: str, split, configs: dict, part: str, row: dict) -> None:
    """Put one row into the result file, keeping the others of models that still have a configuration."""
    before = common.read_result(f"accuracy_{name}") or {}
    parts = {p: {r["model"]: r for r in before.get(p, []) if r["model"] in configs} for p in ("models", "as_in_papers")}
    parts[part][row["model"]] = row
    content = {"data": name, "split": repr(split)} | {p: list(rows.values()) for p, rows in parts.items()}
    content["trials"] = {model: curve(name, model) for model in AS_IN_PAPERS if model in configs}
    common.write_result(f"accuracy_{name}", content | {"published": PUBLISHED})


def judge(model: str, params: dict, split) -> dict:
    """Train on train (validation stops early), report validation Recall@20 and NDCG@20."""
    fitted = mm.models.create(model, **params)
    started = time.perf_counter()
    fitted.fit(split.train, valid=split.valid)
    took = time.perf_counter() - started
    report = mm.evaluation.evaluate(fitted, split.valid, train=split.train, ks=20, name=model)
    print(f"{model:10} recall@20 {report['recall@20']:.4f}  ndcg@20 {report['ndcg@20']:.4f}  {took:.0f} s", flush=True)
    row = {"model": model, "params": params, "fit_seconds": took, "date": common.about()["date"]}
    row |= {metric: common.one_line(report, metric) for metric in ("recall@20", "ndcg@20")}
    return row | {"epochs": int(fitted.best_epoch_)} if hasattr(fitted, "best_epoch_") else row


def curve(name: str, model: str) -> dict:
    """Best validation value after each trial of the search."""
    path = common.root() / "results" / "trials" / name / f"{model}.csv"
    if not path.exists():
        return {}
    trials = pd.read_csv(path)
    return {"metric": trials["metric"].iloc[0], "value": trials["value"].tolist(), "seconds": trials["seconds"].sum()}


if __name__ == "__main__":
    main()
