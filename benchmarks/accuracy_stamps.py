"""Clicks, content, or both: tuned models on the stamps, against the best from clicks alone and against the oracle.

    python benchmarks/accuracy_stamps.py [--models ease mgcn] [--people 500]

Configurations come from ``configs/stamps.yml``, chosen on the validation part. Several models together gain even where
they know the same, so two ensembles are compared as well: one of models that see clicks only, one of models that see
content too; three seeds of each model that has one, all with the same weight. Rivals are chosen on validation too.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch load

import argparse

import common
import numpy as np
from tqdm import tqdm

import mmrec_lib as mm

CLICKS = ("itemknn", "rp3beta", "als", "bpr", "slim", "ease", "lightgcn", "multvae")
CONTENT = ("contentknn", "contentprofile")
BOTH = (
    "sideease", "vbpr", "deepstyle", "fm", "twotower", "mmgcn", "grcn", "lattice", "freedom", "mgcn", "bm3", "slmrec",
    "mmvae", "diffmm",
)  # fmt: skip
KINDS = {"clicks": CLICKS, "content": CONTENT, "both": BOTH}
ENSEMBLES = {
    "ensemble, clicks": ("clicks", ("slim", "lightgcn", "als")),
    "ensemble, both": ("both", ("sideease", "vbpr", "grcn", "lattice", "mgcn", "diffmm")),
}
SEEDS = 3
METRIC = "ndcg@20"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [name for names in KINDS.values() for name in names]
    parser.add_argument("--models", nargs="+", default=every, choices=every)
    parser.add_argument("--people", type=int, default=common.STAMPS["n_users"])
    args = parser.parse_args()
    data = mm.datasets.load("stamps", n_users=args.people)
    split, features = mm.data.split(data, "random", seed=0), common.load_features("stamps")
    configs, rows, reports = common.read_configs("stamps"), [], {}
    for name, kind, model in (bar := tqdm(list(contestants(args.models, configs)), disable=None)):
        bar.set_description(name)
        model.fit(split.train, features=features, valid=split.valid)
        valid, reports[name] = judge(model, split.valid, split), judge(model, split.test, split)
        row = {"model": name, "kind": kind, "valid": valid[METRIC], "test": common.one_line(reports[name], METRIC)}
        rows.append(row | {"all_media": all_media(model, split, features)})
        print(f"{name}: {valid[METRIC]:.4f} on validation", flush=True)
    rivals = {}
    for kind in ("clicks", "content"):
        known = [r for r in rows if r["kind"] == kind and r["model"] not in ENSEMBLES]
        rivals[kind] = max(known, key=lambda r: r["valid"])["model"] if known else None
    rivals["ensemble"] = "ensemble, clicks" if "ensemble, clicks" in reports else None
    for row in rows:
        row["against"] = {k: difference(reports, row["model"], r) for k, r in rivals.items() if r}
    oracle = data.extras["audience"].oracle
    content = {"people": args.people, "rivals": rivals, "models": rows, "seeds": SEEDS}
    content["oracle"] = common.one_line(judge(oracle, split.test, split), METRIC)
    content["oracle_all_media"] = all_media(oracle, split, features)
    common.write_result("accuracy_stamps", content)


def contestants(models, configs):
    """Name, kind and unfitted model: each one alone, then the ensembles whose members are all wanted."""
    for kind, names in KINDS.items():
        yield from ((n, kind, mm.models.create(n, **configs.get(n, {}))) for n in names if n in models)
    for name, (kind, members) in ENSEMBLES.items():
        if set(members) <= set(models):
            parts = [{"model": m, **configs.get(m, {}), **seed} for m in members for seed in seeds(m)]
            parts = {f"{number}: {part['model']}": part for number, part in enumerate(parts)}
            options = {"weights": [1.0] * len(parts)}
            yield name, kind, mm.models.create("hybrid", parts=parts, how="weighted", options=options)


def seeds(model: str) -> list[dict]:
    """The seeds of an ensemble's member; a model in closed form has none."""
    return [{"seed": s} for s in range(SEEDS)] if "seed" in mm.models.create(model).get_params() else [{}]


def judge(model, held_out, split, **options):
    return mm.evaluation.evaluate(model, held_out, train=split.train, metrics=METRIC, **options)


def all_media(model, split, features) -> float:
    """NDCG@20 where only things count that have every modality; other held-out things are left out of the lists."""
    counts = np.all([features.mask[m] for m in features], axis=0)[split.test.item]
    return judge(model, split.test.select(counts), split, exclude=split.test.select(~counts))[METRIC]


def difference(reports: dict, name: str, rival: str) -> dict | None:
    """Paired comparison with a rival."""
    if name == rival:
        return None
    return mm.evaluation.compare(reports[name], reports[rival], METRIC, test="t").iloc[0].to_dict()


if __name__ == "__main__":
    main()
