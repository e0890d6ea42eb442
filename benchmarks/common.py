"""What the benchmark scripts share: data by name or path, configurations, results, and the machine they ran on."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import mmrec_lib as mm
from mmrec_lib.data import Split
from mmrec_lib.encoders.metadata import Categories
from mmrec_lib.training.loop import write_atomically

TRIAL_COLUMNS = ("value", "seconds", "state", "best_epoch", "error")  # of the library's search; the rest are parameters
HERE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder with ``configs`` and ``results``: this one, or ``$MMREC_BENCHMARKS`` (tests write elsewhere)."""
    return Path(os.environ.get("MMREC_BENCHMARKS", HERE))


#: The stamps of the benchmarks: people, and what is read from pictures, sentences and sounds.
STAMPS = {"n_users": 500}
ENCODERS = {
    "text": "minilm",
    "image": "efficientnet-lite0",
    "colour": ("image", "colour-histogram"),
    "audio": "log-mel",
}


def load_split(data: str) -> tuple[str, Split]:
    """Short name and split: random within users (80/10/10, seed 0) of ``ml-100k`` or ``stamps``, or a folder's own."""
    if data in mm.datasets.available():
        return data, mm.data.split(mm.datasets.load(data, **(STAMPS if data == "stamps" else {})), "random", seed=0)
    dataset, split, _ = mm.datasets.load_benchmark(data)
    return dataset.name, split


def load_features(data: str) -> mm.data.Features | None:
    """Vectors of the items: of the stamps' media, or of a benchmark folder; None where there are none."""
    if data == "stamps":
        return mm.encoders.encode(mm.datasets.load(data, audience=False), ENCODERS)
    features = None if data in mm.datasets.available() else mm.datasets.load_benchmark(data)[2]
    return features or None


#: Models made for new items: their entries in ``configs/<data set>.yml`` are chosen for these.
FOR_NEW_ITEMS = ("categorypop", "clcrec", "coldmap", "dropoutnet")


def load_new_items(data: str) -> tuple[str, Split, mm.data.Features]:
    """Short name, split and vectors for questions about new items.

    Of the stamps a tenth of the things is new in validation, another one in test (``"cold-items"``, seed 0); of the
    clicks on the other things a tenth is held out too, so that both can be judged. The vectors have one more modality,
    the folder of the thing: a shop knows on which shelf it puts it. A benchmark folder is what it is.
    """
    if data != "stamps":
        return *load_split(data), load_features(data)
    things = mm.datasets.load(data, **STAMPS)
    new = mm.data.split(things, "cold-items", seed=0)
    known = mm.data.split(new.train, "random", fractions=(0.9, 0.05, 0.05), seed=0)
    both = (mm.data.Interactions.concat([getattr(new, part), getattr(known, part)]) for part in ("valid", "test"))
    encoders = ENCODERS | {"category": Categories(["category"])}
    return data, Split(known.train, *both, how="new items", seed=0), mm.encoders.encode(things, encoders)


def new_items(train: mm.data.Interactions, part: mm.data.Interactions):
    """Codes of the items of a part that nobody has met in training."""
    return np.unique(part.item[train.item_counts()[part.item] == 0])


def read_configs(name: str) -> dict[str, dict]:
    """Model name to tuned parameters of a data set; empty when nothing was tuned yet."""
    path = root() / "configs" / f"{name}.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_config(name: str, model: str, params: dict) -> None:
    """Put one entry into the data set's file, keeping the others, in one step."""
    configs = read_configs(name) | {model: params}
    text = "# Chosen on the validation part by benchmarks/tune.py: model name to parameters of mm.models.create.\n"
    text += yaml.safe_dump({k: configs[k] for k in sorted(configs)}, sort_keys=False)
    write_atomically(root() / "configs" / f"{name}.yml", text.encode())


def write_trials(name: str, model: str, trials: pd.DataFrame, metric: str) -> None:
    """Keep every trial of a search: ``results/trials/<data set>/<model>.csv``."""
    csv = trials.assign(metric=metric).to_csv(index_label="trial", float_format="%.6g")
    write_atomically(root() / "results" / "trials" / name / f"{model}.csv", csv.encode())


def write_result(name: str, content: dict) -> Path:
    """Save ``results/<name>.json`` together with machine, versions and date."""
    path = root() / "results" / f"{name}.json"
    write_atomically(path, json.dumps({"about": about(), **content}, indent=1, default=float).encode())
    print(f"written: {path}")
    return path


def read_result(name: str) -> dict | None:
    """The content of ``results/<name>.json``, or None when that benchmark has not been run."""
    path = root() / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def about() -> dict:
    """Date, machine, and versions of everything that is compared."""
    packages = ("torch", "numpy", "scipy", "cornac", "implicit", "optuna", "transformers", "sentence-transformers")
    versions = {"python": platform.python_version(), "mmrec-lib": mm.__version__}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": mm.training.device.resolve("auto").type,
        "versions": versions,
    }


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        names = [x.split(":", 1)[1].strip() for x in cpu.read_text().splitlines() if x.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Median wall-clock seconds of ``work()``."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def one_line(report, metric: str) -> dict:
    """Mean and interval of a metric, for a table."""
    row = report.summary.loc[metric]
    return {"mean": row["mean"], "low": row["ci_low"], "high": row["ci_high"]}
