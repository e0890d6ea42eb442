"""Every tuned configuration of the TikTok folder on its validation part: with its vectors, with noise in their place.

    python benchmarks/accuracy_tiktok.py path/to/tiktok
    python benchmarks/accuracy_tiktok.py path/to/tiktok --models freedom bm3

Configurations come from ``configs/tiktok.yml``. A model that reads content is trained again on noise of the same
size, and the two are compared user by user. Pairs whose item has no training click are reported apart. Published
figures are of the test part, which this script never sees, and of models that had sentences as well.
"""

from __future__ import annotations

import argparse
import time

import common
import numpy as np
from tqdm import tqdm

import mmrec_lib as mm

#: Test Recall@20 in print for this split (Jiang et al., 2024: DiffMM), with pictures, sounds and sentences.
PUBLISHED = {
    "bpr": 0.0346, "vbpr": 0.0380, "lightgcn": 0.0653, "mmgcn": 0.0730, "grcn": 0.0804, "lattice": 0.0843,
    "slmrec": 0.0845, "bm3": 0.0957, "diffmm": 0.1129,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="the benchmark folder")
    parser.add_argument("--models", nargs="+", help="only these of the configurations; the others keep their rows")
    args = parser.parse_args()
    name, split = common.load_split(args.path)
    features = common.load_features(args.path)
    configs = common.read_configs(name)
    chosen = args.models or list(configs)
    for model in (bar := tqdm(chosen, disable=None)):
        bar.set_description(model)
        write(name, split, configs, judge(model, configs[model], split, features))


def judge(model: str, params: dict, split, features) -> dict:
    """Validation Recall@20 and NDCG@20 with intervals, of new items apart, and the control by noise."""
    real, seconds, fitted = _run(model, params, split, features)
    row = {"model": model, "params": params, "fit_seconds": seconds, "date": common.about()["date"]}
    row |= {metric: common.one_line(real, metric) for metric in ("recall@20", "ndcg@20")}
    row |= {"published": PUBLISHED.get(model), "epochs": int(getattr(fitted, "best_epoch_", 0))}
    row["new_items"] = common.one_line(_new_items(fitted, split), "recall@20")
    if fitted.needs_features:
        noise = _run(model, params, split, mm.evaluation.control_features(features, "noise", seed=0))[0]
        row["noise"] = common.one_line(noise, "recall@20")
        row["gain"] = mm.evaluation.compare(real, noise, "recall@20", test="t").iloc[0].to_dict()
    print(f"{model:12} recall@20 {real['recall@20']:.4f}  noise {row.get('noise', {}).get('mean', float('nan')):.4f}")
    return row


def _run(model: str, params: dict, split, features):
    fitted = mm.models.create(model, **params)
    started = time.perf_counter()
    fitted.fit(split.train, features=features, valid=split.valid)
    seconds = time.perf_counter() - started
    return mm.evaluation.evaluate(fitted, split.valid, train=split.train, ks=20, name=model), seconds, fitted


def _new_items(fitted, split):
    """Only the pairs whose item nobody has met in training; all items compete."""
    met = np.bincount(split.train.item, minlength=split.train.n_items) > 0
    return mm.evaluation.evaluate(fitted, split.valid.select(~met[split.valid.item]), train=split.train, ks=20)


def write(name: str, split, configs: dict, row: dict) -> None:
    """Put one row into the result file, keeping the others of models that still have a configuration."""
    before = common.read_result(f"accuracy_{name}") or {}
    rows = {r["model"]: r for r in before.get("models", []) if r["model"] in configs} | {row["model"]: row}
    met = np.bincount(split.train.item, minlength=split.train.n_items) > 0
    content = {"data": name, "split": repr(split), "new_share": float((~met[split.valid.item]).mean())}
    common.write_result(f"accuracy_{name}", content | {"models": list(rows.values())})


if __name__ == "__main__":
    main()
