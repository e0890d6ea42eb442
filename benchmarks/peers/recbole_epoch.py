"""Seconds of one training epoch, or of a fit, in RecBole. Runs in RecBole's own environment and prints JSON.

    .venv-recbole/bin/python benchmarks/peers/recbole_epoch.py FOLDER BPR 2048 2 3

The numbers are the size of a batch, threads and epochs. The folder holds ``pairs.csv`` with the columns user and item
(codes). ``make`` is the time in which the model was made (EASE is fitted then), ``graph`` that of its normalised graph.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from pathlib import Path


def main(folder: str, model_name: str, batch_size: int, threads: int, epochs: int) -> dict:
    import torch

    torch.set_num_threads(threads)
    load = torch.load  # RecBole's own files are pickles, which newer versions of torch refuse unless told
    torch.load = lambda *args, **kwargs: load(*args, **{"weights_only": False, **kwargs})

    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    with tempfile.TemporaryDirectory() as scratch:
        write_inter(Path(folder) / "pairs.csv", Path(scratch) / "pairs")
        config = Config(
            model=model_name,
            dataset="pairs",
            config_dict={
                "data_path": scratch,
                "checkpoint_dir": scratch,
                "load_col": {"inter": ["user_id", "item_id"]},
                "embedding_size": 64,
                "n_layers": 2,
                "train_batch_size": batch_size,
                "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO", "group_by": None, "mode": "full"},
                "use_gpu": False,
                "show_progress": False,
                "state": "ERROR",
            },
        )
        init_seed(0, True)
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        making, model = timed(lambda: get_model(model_name)(config, train.dataset))
        graph = timed(model.get_norm_adj_mat)[0] if hasattr(model, "get_norm_adj_mat") else [None, None]
        trainer = get_trainer(config["MODEL_TYPE"], model_name)(config, model)
        took = [timed(lambda e=e: trainer._train_epoch(train, e))[0] for e in range(epochs)]
    return {
        clock: {"make": making[i], "graph": graph[i], "epochs": [e[i] for e in took], "torch": torch.__version__}
        for i, clock in enumerate(("clock", "processor"))
    }


def timed(work):
    """Seconds on the clock and of processor time, and what the work returned."""
    started = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - started[0], time.process_time() - started[1]), result


def write_inter(pairs: Path, folder: Path) -> None:
    """RecBole's file format: ``pairs/pairs.inter``, separated by tabs, with types in the header."""
    folder.mkdir()
    with open(pairs, newline="") as source, open(folder / "pairs.inter", "w") as target:
        target.write("user_id:token\titem_id:token\n")
        for row in csv.DictReader(source):
            target.write(f"{row['user']}\t{row['item']}\n")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))))
