"""New items: who places them, among themselves and among the known, and what that costs the known.

    python benchmarks/cold_items.py
    python benchmarks/cold_items.py --data stamps path/to/tiktok --models coldmap clcrec

Configurations are chosen on the validation part by ``tune.py --new-items``. Each model is judged on known items, on new
ones against everything, on new ones among themselves, and by the harmonic mean of the first two; among themselves it is
compared with itself trained on shuffled vectors and on noise. Then some of twenty places are reserved for new items:
the other places go by SideEASE as tuned for known items, these by the model that was best among new ones on validation.
A benchmark folder without a test part is judged on validation. The stamps are judged against the oracle too.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch load

import argparse
import time

import common
import numpy as np

import mmrec_lib as mm
from mmrec_lib.evaluation import Reserved, by_novelty, compare, control_features
from mmrec_lib.evaluation.content import Drawn
from mmrec_lib.evaluation.significance import holm

#: In the order of the table; those without a configuration for new items rank known ones only.
MODELS = (
    "popularity", "ease", "categorypop", "contentknn", "contentprofile", "sideease", "coldmap", "dropoutnet", "clcrec",
)  # fmt: skip
#: What ranks known items where places are reserved.
KNOWN = "sideease"
SLOTS = (1, 2, 4, 8)
K = 20
METRIC = {"tiktok": "recall@20"}
#: Controls among new items; on the larger data one, since each is a training more.
CONTROLS = {"tiktok": ("noise",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["stamps"], help="stamps, or paths of benchmark folders")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for data in args.data:
        name, split, features = common.load_new_items(data)
        before = (common.read_result("cold_items") or {"data": {}})["data"]
        found = judge_all(name, args.models, split, features, before.get(name, {}).get("models", {}))
        common.write_result("cold_items", {"data": before | {name: found}})


def judge_all(name: str, models, split, features, kept: dict) -> dict:
    """All rows of a data set; ``kept`` are rows of models that are not measured now."""
    part, metric = "test" if len(split.test) else "valid", METRIC.get(name, "ndcg@20")
    configs, content, fitted = common.read_configs(name) | common.read_configs(f"{name}-new"), {}, {}
    held_out = getattr(split, part)
    new = common.new_items(split.train, held_out)
    share = float(np.isin(held_out.item, new).mean())
    content |= {"part": part, "metric": metric, "split": repr(split), "new": len(new), "new_share": share}
    rows = dict(kept)
    for model in models:
        started = time.perf_counter()
        fitted[model] = mm.models.create(model, **configs.get(model, {})).fit(split.train, features=features)
        row = {"seconds": time.perf_counter() - started, "params": configs.get(model, {})}
        reports, row = judged(fitted[model], split, part, metric, row)
        row["valid"] = row["cold among new"]["mean"] if part == "valid" else among(fitted[model], split, metric)
        if fitted[model].scores_new_items:
            variants = CONTROLS.get(name, ("shuffled", "noise"))
            row |= controlled(model, row["params"], split, features, part, metric, variants, reports["cold among new"])
        rows[model] = row
        print(f"{name} {model}: {line(row)}", flush=True)
    rows = {model: rows[model] for model in MODELS if model in rows}
    able = {model: row for model, row in rows.items() if "p" in row}
    for row, p in zip(able.values(), holm([row["p"] for row in able.values()]), strict=True):
        row["p_holm"] = float(p)
    best = max(able, key=lambda model: able[model]["valid"])
    if best not in fitted:
        fitted[best] = mm.models.create(best, **configs.get(best, {})).fit(split.train, features=features)
    content |= {"models": rows, "best": best, "slots": slots(name, split, features, fitted[best], part, metric)}
    return content | (truth(split, features, configs, part, metric) if name == "stamps" else {})


def judged(model, split, part: str, metric: str, row: dict):
    """Reports by group, and the row with their means and intervals."""
    table = by_novelty(model, split, part=part, metrics=metric, ks=K)
    figures = table.xs(metric, level="metric")[["mean", "ci_low", "ci_high"]]
    figures = figures.rename(columns={"ci_low": "low", "ci_high": "high"}).to_dict("index")
    if not getattr(model, "scores_new_items", True):  # all new ones are alike to it: their order is drawn
        items = common.new_items(split.train, getattr(split, part))
        drawn = Drawn(model, seed=0, competes=np.isin(np.arange(split.train.n_items), items))
        options = {"metrics": metric, "candidates": items, "exclude": known_pairs(split, part)}
        report = mm.evaluation.evaluate(drawn, getattr(split, part), split.train, **options)
        figures["cold among new"] = common.one_line(report, metric)
    return table.attrs["reports"], row | figures


def among(model, split, metric: str) -> float:
    """New items of validation among themselves."""
    items = common.new_items(split.train, split.valid)
    return mm.evaluation.evaluate(model, split.valid, split.train, metrics=metric, candidates=items, n_boot=2)[metric]


def controlled(model: str, params: dict, split, features, part: str, metric: str, variants, real) -> dict:
    """New items among themselves: the same model on vectors that say nothing, and the gain over the best control."""
    reports, items = {}, common.new_items(split.train, getattr(split, part))
    for variant in variants:
        given = control_features(features, variant, seed=0)
        trained = mm.models.create(model, **params).fit(split.train, features=given)
        options = {"metrics": metric, "candidates": items, "exclude": known_pairs(split, part)}
        reports[variant] = mm.evaluation.evaluate(trained, getattr(split, part), split.train, **options)
    best = max(reports, key=lambda variant: reports[variant][metric])
    test = compare(real, reports[best], metric, test="t").iloc[0]
    gain = {"mean": test["difference"], "low": test["ci_low"], "high": test["ci_high"]}
    means = {variant: report[metric] for variant, report in reports.items()}
    return {"controls": means, "best_control": best, "gain": gain, "p": float(test["p_t"])}


def known_pairs(split, part: str):
    held_out = getattr(split, part)
    return held_out.select(split.train.item_counts()[held_out.item] > 0)


def places(m: int) -> list[int]:
    """``m`` of twenty places, evenly spread, the last one among them."""
    return [round(K * (i + 1) / m) for i in range(m)]


def slots(name: str, split, features, newcomer, part: str, metric: str) -> list[dict]:
    """Places reserved for new items, none to eight of twenty."""
    known = mm.models.create(KNOWN, **common.read_configs(name).get(KNOWN, {})).fit(split.train, features=features)
    new, rows = common.new_items(split.train, getattr(split, part)), []
    for m in (0, *SLOTS):
        model = Reserved(known, new, places(m), k=K, train=split.train, by=newcomer) if m else known
        rows.append(judged(model, split, part, metric, {"slots": m, "places": places(m)})[1])
        print(f"{name} {m} slots: {line(rows[-1])}", flush=True)
    return rows


def truth(split, features, configs, part: str, metric: str) -> dict:
    """The oracle, the oracle that knows what content shows, and ColdMap with a perfect encoder."""
    audience = mm.datasets.load("stamps", **common.STAMPS).extras["audience"]
    seen = audience.oracle_knowing("text", "image", "audio")
    vectors = {name: table.to_numpy(np.float32) for name, table in audience.attributes.items()}
    perfect = mm.data.Features(vectors, {name: (x != 0).any(axis=1) for name, x in vectors.items()})
    perfect = mm.models.create("coldmap", **configs.get("coldmap", {})).fit(split.train, features=perfect)
    named = {"oracle": audience.oracle, "oracle_content": seen, "perfect_encoder": perfect}
    return {key: judged(model, split, part, metric, {})[1] for key, model in named.items()}


def line(row: dict) -> str:
    return ", ".join(f"{g} {row[g]['mean']:.4f}" for g in ("warm", "cold", "cold among new", "harmonic"))


if __name__ == "__main__":
    main()
