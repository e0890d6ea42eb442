"""How long the work takes, ours and others', on Amazon Baby with two threads.

    python benchmarks/speed.py path/to/baby

Whatever is compared runs in turn, several rounds in one go; the table has medians. Run it on an otherwise idle machine:
seconds differ from day to day, ratios less. RecBole needs an environment of its own, ``.venv-recbole`` (``make bench``
creates it); without it its rows are left out.
"""

from __future__ import annotations

import os

# read when numpy and torch load
os.environ.update(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2")

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import common
import evaluation_memory
import evaluation_speed
import numpy as np

import mmrec_lib as mm

THREADS = 2
TIMER = time.perf_counter
RECBOLE = common.HERE.parent / ".venv-recbole" / "bin" / "python"
DIM = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="folder of Amazon Baby, or another benchmark folder")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS), help="keep the other rows")
    parser.add_argument(
        "--processor-time", action="store_true", help="one thread, processor seconds: for a busy machine"
    )
    args = parser.parse_args()
    if args.processor_time:
        one_thread()
    import torch

    torch.set_num_threads(THREADS)
    name, split = common.load_split(args.path)
    rows = {(r["what"], r["peer"]): r for r in (common.read_result("speed") or {"rows": []})["rows"]}
    for part in args.parts:
        for row in PARTS[part](split, args.rounds):
            rows[row["what"], row["peer"]] = row
            print(json.dumps(row), flush=True)
        measured = "processor" if args.processor_time else "clock"
        common.write_result(
            "speed", {"data": name, "threads": THREADS, "measured": measured, "rows": list(rows.values())}
        )


def one_thread() -> None:
    """Measure processor time of a single thread, which other work on the machine disturbs less."""
    global THREADS, TIMER
    THREADS, TIMER = 1, time.process_time
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # of other processes; this one asks threadpoolctl
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def in_turn(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median of the seconds that each work reports, the works taking turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(work())
    return {name: statistics.median(t) for name, t in times.items()}


def clock(work: Callable[[], object]) -> Callable[[], float]:
    """A function that does the work and returns the seconds it took."""

    def timed() -> float:
        started = TIMER()
        work()
        return TIMER() - started

    return timed


def row(what: str, ours: float, peer: str = "", theirs: float | None = None, target: str = "", reached=None) -> dict:
    ratio = None if theirs is None else theirs / ours
    return {"what": what, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ratio} | {
        "target": target,
        "reached": None if reached is None else bool(reached),
    }


def against(what: str, times: dict[str, float], least: dict[str, float]) -> list[dict]:
    """A row for each peer; ``least`` has the ratio (theirs to ours) that must be reached, by peer."""
    rows = []
    for peer, theirs in times.items():
        if peer == "ours":
            continue
        wanted = least.get(peer)
        target = "" if wanted is None else f"ratio at least {wanted:g}"
        reached = None if wanted is None else theirs / times["ours"] >= wanted
        rows.append(row(what, times["ours"], peer, theirs, target, reached))
    return rows


# -- epochs -----------------------------------------------------------------------------------------------------------


def our_epoch(model: str, split, batch_size: int | None, features=None) -> Callable[[], float]:
    """Seconds of an epoch: a fit with four of them, less a fit with one. None: the model's own batch size."""
    size = {} if batch_size is None else {"batch_size": batch_size}

    def fit(epochs: int) -> float:
        recommender = mm.models.create(model, dim=DIM, epochs=epochs, **size)
        return clock(lambda: recommender.fit(split.train, features=features))()

    fit(1)  # torch starts here
    return lambda: (fit(4) - fit(1)) / 3


def recbole(model: str, split, batch_size: int, epochs: int = 3) -> dict:
    """What ``peers/recbole_epoch.py`` measured in its environment."""
    with tempfile.TemporaryDirectory() as folder:
        split.train.to_frame()[["user", "item"]].to_csv(Path(folder) / "pairs.csv", index=False)
        script = common.HERE / "peers" / "recbole_epoch.py"
        command = [str(RECBOLE), str(script), folder, model, *map(str, (batch_size, THREADS, epochs))]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"RecBole failed:\n{done.stderr[-2000:]}")
    clock_or_processor = json.loads(done.stdout.splitlines()[-1])
    return clock_or_processor["clock" if TIMER is time.perf_counter else "processor"]


def recbole_epoch(model: str, split, batch_size: int) -> Callable[[], float]:
    return lambda: statistics.median(recbole(model, split, batch_size)["epochs"][1:])


def lightgcn(split, rounds: int) -> list[dict]:
    rows, taken = [], {}
    for batch_size in (2048, 8192):
        works = {"ours": our_epoch("lightgcn", split, batch_size)}
        if RECBOLE.exists():
            works["RecBole"] = recbole_epoch("LightGCN", split, batch_size)
        taken[batch_size] = in_turn(works, rounds)
        least = {"RecBole": 5} if batch_size == 2048 else {}
        rows += against(f"epoch of LightGCN, 64-d, 2 layers, batches of {batch_size}", taken[batch_size], least)
    defaults = {name: taken[8192 if name == "ours" else 2048][name] for name in taken[2048]}
    return rows + against("epoch of LightGCN, default batches (ours 8192, RecBole's 2048)", defaults, {"RecBole": 5})


def bpr(split, rounds: int) -> list[dict]:
    from cornac.models import BPR
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from peers.libraries import cornac_data

    epochs, seen, data = 20, split.train.to_csr(), cornac_data(split.train)[0]

    def implicit_epoch() -> float:
        peer = BayesianPersonalizedRanking(factors=DIM, iterations=epochs, num_threads=THREADS, random_state=0)
        return clock(lambda: peer.fit(seen, show_progress=False))() / epochs

    def cornac_epoch() -> float:
        return clock(lambda: BPR(k=DIM, max_iter=epochs, num_threads=THREADS, seed=1).fit(data))() / epochs

    works = {"ours": our_epoch("bpr", split, 2048), "implicit (compiled)": implicit_epoch}
    works["cornac (compiled)"] = cornac_epoch
    if RECBOLE.exists():
        works["RecBole"] = recbole_epoch("BPR", split, 2048)
    return against("epoch of BPR, 64-d, batches of 2048", in_turn(works, rounds), {"RecBole": 2})


#: Model to the seconds that an epoch may take, and those that MMRec was seen to need on a machine of this kind.
MULTIMODAL = {"vbpr": (1.5, 6.1), "freedom": (2.5, 21.0), "bm3": (2.5, 22.0), "mgcn": (4.0, 30.0)}


def multimodal(split, rounds: int) -> list[dict]:
    """Epochs with vectors of the usual sizes; their values do not matter for the time."""
    rng = np.random.default_rng(0)
    sizes = {"text": 384, "image": 4096}
    vectors = {m: rng.standard_normal((split.train.n_items, d), dtype=np.float32) for m, d in sizes.items()}
    features = mm.data.Features(vectors)
    rows = []
    for model, (most, seen) in MULTIMODAL.items():
        took = in_turn({"ours": our_epoch(model, split, None, features)}, rounds)["ours"]
        what = f"epoch of {mm.models.get_class(model).__name__} with 384-d and 4,096-d vectors"
        rows.append(row(what, took, "MMRec, as seen earlier", seen, f"at most {most:g} s", took <= most))
    return rows


ITEM_GRAPH = """
import json, resource, sys, time
import numpy as np
from mmrec_lib.models.content import unit_rows
from mmrec_lib.models.multimodal import item_graph

n, dim = map(int, sys.argv[1:])
vectors = unit_rows(np.random.default_rng(0).standard_normal((n, dim), dtype=np.float32))
started = time.perf_counter()
item_graph(vectors, 10)
seconds = time.perf_counter() - started
scale = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30
print(json.dumps({"seconds": seconds, "peak_gib": peak}))
"""


def item_graph(split, rounds: int) -> list[dict]:
    """Nearest neighbours of a large catalogue, in a process of its own, with that process's peak memory."""
    command = [sys.executable, "-c", ITEM_GRAPH, "100000", "512"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    reached = found["peak_gib"] < 4
    what = row("graph of 100,000 items, 512-d", found["seconds"], target="below 4 GiB of memory", reached=reached)
    return [what | {"peak_gib": found["peak_gib"]}]


# -- closed form ------------------------------------------------------------------------------------------------------


def ease(split, rounds: int) -> list[dict]:
    from cornac.models import EASE
    from peers.libraries import cornac_data

    l2, seen, data = 1000.0, split.train.to_csr(), cornac_data(split.train)[0]

    def plain() -> None:
        gram = (seen.T @ seen).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += l2
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)

    works = {
        "ours": clock(lambda: mm.models.create("ease", l2=l2).fit(split.train)),
        "cornac": clock(lambda: EASE(lamb=l2, posB=False, verbose=False).fit(data)),
        "numpy, float64 inverse": clock(plain),
    }
    if RECBOLE.exists():
        works["RecBole"] = lambda: recbole("EASE", split, 2048, epochs=0)["make"]
    return against("fit of EASE", in_turn(works, rounds), {p: 1 for p in works if p != "ours"})


# -- parts of the work ------------------------------------------------------------------------------------------------


def negatives(split, rounds: int) -> list[dict]:
    from mmrec_lib.training.sampling import NegativeSampler

    seen = split.train.to_csr()
    users = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
    sampler = NegativeSampler(seen)
    known = set(split.train.keys().tolist())

    def one_by_one() -> list[int]:
        rng, drawn = np.random.default_rng(0), []
        for user in users.tolist():
            item = rng.integers(seen.shape[1])
            while user * seen.shape[1] + item in known:
                item = rng.integers(seen.shape[1])
            drawn.append(item)
        return drawn

    works = {"ours": clock(lambda: sampler.sample(users, 1, 0)), "a Python loop with a set": clock(one_by_one)}
    times = in_turn(works, max(rounds, 5))
    what = f"one negative for each of {len(users):,} pairs"
    return [row(what, times["ours"], *list(times.items())[1], "at most 0.03 s", times["ours"] <= 0.03)]


def graph(split, rounds: int) -> list[dict]:
    from mmrec_lib.training.graph import normalise, user_item_graph

    seen = split.train.to_csr()
    ours = in_turn({"ours": clock(lambda: normalise(user_item_graph(seen)))}, max(rounds, 5))["ours"]
    peer = ("RecBole", recbole("LightGCN", split, 8192, epochs=0)["graph"]) if RECBOLE.exists() else ("", None)
    return [row("normalised graph of users and items", ours, *peer, "at most 0.05 s", ours <= 0.05)]


def evaluation(split, rounds: int) -> list[dict]:
    model = evaluation_speed.Popular(split.train)
    which = 0 if TIMER is time.perf_counter else 1  # the stopwatch there reads both
    runs = [evaluation_speed.ours(model, split.train, split.valid, 1) for _ in range(max(rounds, 5))]
    peers = [evaluation_speed.cornac_times(model, split.train, split.valid) for _ in range(2)]
    ours, total = (statistics.median(run[i][which] for run in runs) for i in range(2))
    theirs, their_total = (statistics.median(run[i][which] for run in peers) for i in range(2))
    what = f"evaluation of {runs[0][2].info['n_users']:,} users, 6 metrics at 2 cut-offs"
    target, reached = "at most 1.0 s; ratio at least 20", ours <= 1 and theirs / ours >= 20
    return [
        row(f"{what}, beyond the score products", ours, "cornac", theirs, target, reached),
        row(f"{what}, with the score products", total, "cornac", their_total),
    ]


def memory(split, rounds: int) -> list[dict]:
    found = evaluation_memory.measure(100_000, 20_000)
    what = "evaluation of 100,000 users x 20,000 items"
    peak = {"peak_gib": found["peak_gib"]}
    return [row(what, found["seconds"], target="below 4 GiB of memory", reached=found["peak_gib"] < 4) | peak]


def importing(split, rounds: int) -> list[dict]:
    code = "import time; t = time.perf_counter(); import mmrec_lib; print(time.perf_counter() - t)"

    def once() -> float:
        return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    took = in_turn({"ours": once}, 5)["ours"]
    return [row("import mmrec_lib", took, target="at most 0.5 s", reached=took <= 0.5)]


PARTS = {
    "lightgcn": lightgcn,
    "bpr": bpr,
    "multimodal": multimodal,
    "itemgraph": item_graph,
    "ease": ease,
    "evaluation": evaluation,
    "negatives": negatives,
    "graph": graph,
    "memory": memory,
    "import": importing,
}

if __name__ == "__main__":
    main()
