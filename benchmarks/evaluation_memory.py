"""How much memory does the evaluation take? ``python benchmarks/evaluation_memory.py [--users N] [--items N]``.

Evaluates factors of 100,000 users x 20,000 items in a process of its own and reads that process's peak from the
operating system (``ru_maxrss``: everything counts, also what importing torch takes). Scores of all users at once would
be 8 GB. Writes ``benchmarks/results/evaluation_memory.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "evaluation_memory.json"

PROGRAM = """
import json, resource, sys
import numpy as np
import mmrec_lib as mm

n_users, n_items = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
users = rng.standard_normal((n_users, 64), dtype=np.float32)
items = rng.standard_normal((n_items, 64), dtype=np.float32)

class Factors:
    def score(self, chosen):
        return users[chosen] @ items.T

def events(per_user):
    who = np.repeat(np.arange(n_users), per_user)
    return mm.data.Interactions(who, rng.integers(0, n_items, len(who)), n_users=n_users, n_items=n_items)

train = events(10)
test = events(2)
test = test.select(~np.isin(test.keys(), train.keys()))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
info = mm.evaluation.evaluate(Factors(), test, train).info
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scale = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
print(json.dumps({"peak_gib": peak * scale / 2**30, "before_gib": before * scale / 2**30, **info}))
"""


def measure(n_users: int, n_items: int) -> dict:
    """Run the evaluation in a new process; its peak memory in GiB and its times in seconds."""
    command = [sys.executable, "-c", PROGRAM, str(n_users), str(n_items)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    found = measure(args.users, args.items)
    rows = [
        {
            "what": f"evaluation of {args.users:,} users x {args.items:,} items",
            "peak_gib": round(found["peak_gib"], 2),
            "before_gib": round(found["before_gib"], 2),
            "seconds": round(found["seconds"], 1),
            "score_seconds": round(found["score_seconds"], 1),
        }
    ]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    scratch = args.output.with_suffix(".tmp")
    scratch.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, args.output)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
