"""Is a ranker of some candidates worse than one that learned from, and is asked about, the whole catalogue?

    python benchmarks/two_stage.py [people]

Prints, for the stamps and 1,000 people (default): NDCG@20 on the test part of the two stages with pools of several
sizes, each with a ranker that learned from pools of that size, the largest being the whole catalogue; seconds of
fitting; and the paired difference from the pool of the chapter. Some minutes on one core.
"""

from __future__ import annotations

import sys
import time
import warnings

import mmrec_lib as mm
from mmrec_lib.evaluation import compare, evaluate
from mmrec_lib.serving import TwoStage

SOURCES = {
    "ease": {"quota": 80, "params": {"l2": 54.0}},
    "als": {"quota": 80, "params": {"dim": 38, "alpha": 1.889, "l2": 1.355, "nu": 0.6152}},
    "content": {"quota": 40},
    "popular": {"quota": 40},
}
FACTORS = (1, 0.25, 0.5, 2, 24)  # the first is the pool that the others are compared with


def main(people: int = 1000) -> None:
    warnings.simplefilter("ignore", mm.errors.MediaWarning)
    data = mm.datasets.load("stamps", n_users=people)
    split = mm.data.split(data, "random", seed=0)
    features = mm.encoders.encode(data, {"text": "minilm", "image": "efficientnet-lite0", "audio": "log-mel"})
    reports = {}
    for factor in FACTORS:
        sources = {name: given | {"quota": int(given["quota"] * factor)} for name, given in SOURCES.items()}
        model = TwoStage(sources, groups=data.items["category"], ranker_params={"leaves": 4})
        started = time.process_time()
        model.fit(split.train, features)
        seconds = time.process_time() - started
        judged = {"train": split.train, "exclude": split.valid, "ks": 20, "metrics": ("ndcg", "recall")}
        report = reports[factor] = evaluate(model, split.test, **judged)
        difference = compare(report, reports[FACTORS[0]], "ndcg@20", test="t").iloc[0]
        candidates = model.training_["candidates"] / model.training_["users"]
        print(
            f"{candidates:6.0f} candidates: NDCG@20 {report['ndcg@20']:.4f}, fitted in {seconds:.0f} s; difference "
            f"{difference['difference']:+.4f} [{difference['ci_low']:+.4f}, {difference['ci_high']:+.4f}]",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
