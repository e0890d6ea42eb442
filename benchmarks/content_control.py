"""Which multimodal models use their content? Each one trained on real vectors and on controls, on the stamps.

    python benchmarks/content_control.py [--models vbpr freedom] [--splits random cold-items] [--repeats 1] [--again]

The audience has 500 people. On the split ``random`` every model is trained four times: on real vectors, on shuffled
ones, on noise, and without any. On ``cold-items`` it ranks the new things of the test part among themselves; no control
knows anything of them there, and the one without any vector is left out: all new things would be alike. A model that
stands in the results with the same parameters and repeats is not trained again. Parameters come from
``configs/stamps.yml`` (benchmarks/tune.py), chosen on the validation part of the split ``random``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch load

import argparse
import time
from dataclasses import replace

import common
import numpy as np

import mmrec_lib as mm
from mmrec_lib.evaluation import content_controls, evaluate
from mmrec_lib.evaluation.significance import holm

VARIANTS = {"random": ("real", "shuffled", "noise", "none"), "cold-items": ("real", "shuffled", "noise")}
METRIC = "ndcg@20"
LEVEL = 0.05
LONGER = 4

#: In the order of the table.
MODELS = (
    "contentknn", "contentprofile", "sideease", "vbpr", "deepstyle", "fm", "twotower", "mmgcn", "grcn", "lattice",
    "freedom", "mgcn", "bm3", "slmrec", "mmvae", "diffmm",
)  # fmt: skip
#: Without content, for comparison.
REFERENCES = ("popularity", "ease")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--splits", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--repeats", type=int, default=1, help="trainings of each model on each kind of vector")
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--again", action="store_true", help="train what stands in the results already")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    data = mm.datasets.load("stamps", n_users=args.people)
    features = mm.encoders.encode(data, common.ENCODERS)
    content = common.read_result("content_control") or {"splits": {}}
    content |= {"people": args.people, "modalities": {m: int(features.mask[m].sum()) for m in features}}
    configs = common.read_configs("stamps")
    for how in args.splits:
        split = mm.data.split(data, how, seed=0)
        part = content["splits"].setdefault(how, {"models": {}})
        part["references"] = references(data, split, configs)
        for name in args.models:
            params = settings(name, configs, how)
            before = part["models"].get(name, {})
            if not args.again and (before.get("params"), before.get("repeats")) == (params, args.repeats):
                continue
            part["models"][name] = judge(name, params, split, features, args.repeats)
            judged = {n: part["models"][n] for n in MODELS if n in part["models"]}
            part["models"] = with_verdicts(judged)
            common.write_result("content_control", content)  # after each, so that nothing is lost


def settings(name: str, configs: dict, how: str) -> dict:
    """The tuned parameters. They end where training on the real vectors was best; on known things each kind of vector
    may go on until its own early stopping, lest a head start be taken for a gain."""
    params = dict(configs.get(name, {}))
    if how == "random" and "epochs" in params:
        params["epochs"] *= LONGER
    return params


def competing(split) -> dict:
    """On a split of items, the new ones of the test part, and only these."""
    return {"candidates": np.unique(split.test.item)} if split.how == "cold-items" else {}


def without_stopping(split):
    """No early stopping on a split of items: against all items, new ones may stay out of sight for many epochs."""
    return replace(split, valid=split.valid.select([])) if split.how == "cold-items" else split


def judge(name: str, params: dict, split, features, repeats: int) -> dict:
    """Means of the variants with intervals, and the difference to the best control."""
    started = time.perf_counter()
    model = {name: mm.models.create(name, **params)}
    options = {"variants": VARIANTS[split.how], "metric": METRIC, "repeats": repeats} | competing(split)
    found = content_controls(model, without_stopping(split), features, **options)
    table, row = found.attrs["tables"][name], found.loc[name]
    variants = {v: {"mean": r["mean"], "low": r["ci_low"], "high": r["ci_high"]} for v, r in table.iterrows()}
    gain = {"mean": row["difference"], "low": row["difference_low"], "high": row["difference_high"]}
    took = time.perf_counter() - started
    print(f"{split.how} {name}: {table['mean'].round(4).to_dict()} in {took:.0f} s", flush=True)
    row = {"best_control": row["best_control"], "gain": gain, "p": row["p"]}
    return {"params": params, "repeats": repeats, "seconds": took, "date": common.about()["date"]} | row | variants


def with_verdicts(models: dict[str, dict]) -> dict[str, dict]:
    """p-values corrected for the number of models (Holm), and what they say."""
    corrected = holm([row["p"] for row in models.values()])
    for row, p in zip(models.values(), corrected, strict=True):
        clear = "uses content" if row["gain"]["mean"] > 0 else "hurts"
        row |= {"p_holm": float(p), "verdict": clear if p < LEVEL else "no evidence"}
    return models


def references(data, split, configs) -> dict:
    """What popularity and EASE reach without content, and the oracle with everything."""
    models = {n: mm.models.create(n, **configs.get(n, {})).fit(split.train) for n in REFERENCES}
    models["oracle"] = data.extras["audience"].oracle
    return {n: common.one_line(measured(m, split), METRIC) for n, m in models.items()}


def measured(model, split):
    return evaluate(model, split.test, train=split.train, metrics=METRIC, **competing(split))


if __name__ == "__main__":
    main()
