"""How fast is the evaluation? ``python benchmarks/evaluation_speed.py FOLDER`` with the folder of Amazon Baby.

Every validation user, six metrics at two cut-offs, scores from 64-d factors. The time of the score products alone
(the same blocks, the same threads) is taken off, for ours and for the peer. Each time of ours is the best of some runs,
because other work on the machine can only add to it. MAP is left out: the peer's looks at the whole ranking, which is
another metric. Writes ``benchmarks/results/evaluation_speed.json``: what, seconds,
peer (seconds), ratio (peer to ours), and the same in processor time summed over threads, which suffers less from other
work on the machine. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pandas as pd

import mmrec_lib as mm

RESULT = Path(__file__).parent / "results" / "evaluation_speed.json"


class Factors:
    """Scores from factors of users and items, the commonest kind of model."""

    name = "factors"

    def __init__(self, n_users: int, n_items: int, dim: int = 64) -> None:
        rng = np.random.default_rng(0)
        self.users = rng.standard_normal((n_users, dim), dtype=np.float32)
        self.items = rng.standard_normal((n_items, dim), dtype=np.float32)

    def score(self, users) -> np.ndarray:
        return self.users[users] @ self.items.T


class Popular(Factors):
    """The same work, and scores that find something: factors aligned with popularity."""

    def __init__(self, train) -> None:
        super().__init__(*train.shape)
        self.items[:, 0] = np.log1p(train.item_counts())
        self.users[:, 0] = 10


def read(folder: Path) -> tuple[mm.data.Interactions, mm.data.Interactions]:
    """Training and validation part of the benchmark folder."""
    table = pd.read_csv(next(folder.glob("*.inter")), sep="\t")
    n_users, n_items = table["userID"].max() + 1, table["itemID"].max() + 1
    parts = (table[table["x_label"] == label] for label in (0, 1))
    return tuple(mm.data.Interactions(p["userID"], p["itemID"], n_users=n_users, n_items=n_items) for p in parts)


class Stopwatch:
    """Seconds on the clock and of processor time (all threads), summed over ``with`` blocks."""

    def __init__(self) -> None:
        self.seconds = np.zeros(2)

    def __enter__(self):
        self.started = np.array([time.perf_counter(), time.process_time()])
        return self

    def __exit__(self, *_) -> None:
        self.seconds += np.array([time.perf_counter(), time.process_time()]) - self.started


METRICS = ("precision", "recall", "f1", "hit", "ndcg", "mrr")  # all but MAP, which the peer computes over all items


def ours(model, train, valid, repeats: int) -> tuple[np.ndarray, np.ndarray, mm.evaluation.Report]:
    """(Clock, processor) seconds beyond the score products, the same in all, and the report; the best of some runs."""
    mm.evaluation.evaluate(model, valid, train, users=valid.user[:10])  # torch starts here
    beyond, total = [], []
    for _ in range(repeats):
        with Stopwatch() as whole:
            report = mm.evaluation.evaluate(model, valid, train, metrics=METRICS)
        with Stopwatch() as products:
            for block in mm.ranking.blocks(report.per_user.index.to_numpy(), train.n_items):
                model.score(block)
        beyond.append(whole.seconds - products.seconds)
        total.append(whole.seconds)
    return np.min(beyond, axis=0), np.min(total, axis=0), report


def cornac_times(model, train, valid) -> tuple[np.ndarray, np.ndarray, float]:
    """As :func:`ours` for Cornac on the same scores, once, and its Recall@20."""
    from cornac.data import Dataset
    from cornac.eval_methods.base_method import ranking_eval
    from cornac.metrics import MRR, NDCG, FMeasure, HitRatio, Precision, Recall
    from cornac.models import Recommender

    # its codes are to be ours
    maps = {f"global_{kind}id_map": {i: i for i in range(n)} for kind, n in zip("ui", train.shape, strict=True)}

    def dataset(part):
        triples = list(zip(part.user.tolist(), part.item.tolist(), part.value.tolist(), strict=True))
        return Dataset.build(triples, **maps, exclude_unknowns=False)

    products = Stopwatch()

    class Precomputed(Recommender):
        def score(self, user_idx, item_idx=None):
            with products:
                return model.users[user_idx] @ model.items.T

    train_set, valid_set = dataset(train), dataset(valid)
    peer = Precomputed(name="factors")
    peer.fit(train_set)
    metrics = [m(k=k) for m in (Precision, Recall, FMeasure, HitRatio, NDCG) for k in (10, 20)] + [MRR()]
    with Stopwatch() as whole:
        means, _ = ranking_eval(peer, metrics, train_set, valid_set, exclude_unknowns=False)
    return whole.seconds - products.seconds, whole.seconds, means[3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder that holds baby.inter")
    parser.add_argument("--repeats", type=int, default=5, help="runs of ours, of which the best counts")
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()

    train, valid = read(args.folder)
    model = Popular(train)
    beyond, total, report = ours(model, train, valid, args.repeats)
    peer_beyond, peer_total, peer_recall = cornac_times(model, train, valid)
    if abs(report["recall@20"] - peer_recall) > 1e-4:  # a tie or two may fall otherwise; more is another protocol
        raise SystemExit(f"not the same measurement: Recall@20 {report['recall@20']:.6f} here, {peer_recall:.6f} there")
    users = f"{report.info['n_users']:,} users, {report.info['n_items']:,} items"
    rows = [
        row(f"evaluation beyond the score products, {users}, 6 metrics at 2 cut-offs", beyond, peer_beyond),
        row(f"evaluation with the score products, {users}, 6 metrics at 2 cut-offs", total, peer_total),
    ]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    scratch = args.output.with_suffix(".tmp")
    scratch.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, args.output)
    print(pd.DataFrame(rows).to_string(index=False))


def row(what: str, seconds: np.ndarray, peer: np.ndarray) -> dict:
    return {
        "what": what,
        "seconds": round(seconds[0], 3),
        "peer": round(peer[0], 3),
        "peer_name": "cornac",
        "ratio": round(peer[0] / seconds[0], 1),
        "cpu_seconds": round(seconds[1], 3),
        "peer_cpu_seconds": round(peer[1], 3),
        "cpu_ratio": round(peer[1] / seconds[1], 1),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
    }


if __name__ == "__main__":
    main()
