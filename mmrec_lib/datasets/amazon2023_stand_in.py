"""Files in the form of Amazon Reviews 2023 where the real ones cannot be had: stamps for things, simulated people."""

from __future__ import annotations

import gzip
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ..checks import whole
from ..data import Dataset, Interactions
from . import stamps


class StandIn:
    """A folder with ``CATEGORY.jsonl.gz`` and ``meta_CATEGORY.jsonl.gz``, and a server for the pictures they name.

    Every field of the published files is there, and what is wrong with them too: things without metadata, prices that
    are missing, people who review a thing twice, addresses behind which there is no picture, and pictures that broke on
    the way; and a fifth of the things come into the shop late. The people are simulated
    (:func:`mmrec_lib.simulation.simulate`): numbers that come from them say nothing about Amazon. Use it in a ``with``
    statement, or call ``close()``.

    Parameters
    ----------
    folder
        Where the two files go.
    n_users : int, default 400
    seed : int, default 0
    category : str, default "Stamps"

    Attributes
    ----------
    truth : Dataset
        The stamps with their audience, from which the files are made.
    """

    def __init__(self, folder: str | Path, n_users: int = 400, seed: int = 0, category: str = "Stamps") -> None:
        self.folder, self.category = Path(folder), category
        self.truth = stamps.load(n_users=whole("n_users", n_users), seed=seed)
        rng = np.random.default_rng(seed)
        handler = partial(_Handler, directory=str(stamps.catalogue_folder()))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / f"{category}.jsonl.gz", _reviews(self.truth, rng))
        _write(self.folder / f"meta_{category}.jsonl.gz", _metadata(self.truth, self.address, rng))

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *error) -> None:
        self.close()


class _Handler(SimpleHTTPRequestHandler):
    """Files of the stamps; below ``/broken`` only the first half of each."""

    def do_GET(self) -> None:
        if not self.path.startswith("/broken/"):
            super().do_GET()
            return
        content = Path(self.translate_path(self.path.removeprefix("/broken"))).read_bytes()
        half = content[: len(content) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(half)))
        self.end_headers()
        self.wfile.write(half)

    def log_message(self, *arguments) -> None:
        """Nothing into the notebook."""


def _asin(item: int) -> str:
    return f"B{item:09d}"


def _write(path: Path, records) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _reviews(data: Dataset, rng: np.random.Generator) -> list[dict]:
    events = _after_launch(data.interactions, rng)
    again = rng.random(len(events)) < 0.02
    records = []
    for row in range(len(events)):
        user, item, stars, when = (int(column[row]) for column in (events.user, events.item, events.value, events.time))
        for change in (0, 1) if again[row] else (0,):
            records.append({
                "rating": float(max(stars - change, 1)), "title": ("Poor", "Fair", "Good", "Fine", "Great")[stars - 1],
                "text": str(data.items["title"].iloc[item]), "images": [], "asin": _asin(item),
                "parent_asin": _asin(item), "user_id": f"A{user:011d}", "timestamp": (when + 60 * change) * 1000 + 7,
                "helpful_vote": 0, "verified_purchase": bool(row % 10),
            })  # fmt: skip
    return records


def _after_launch(events: Interactions, rng: np.random.Generator) -> Interactions:
    """A fifth of the things are new in the last third of the time: nobody reviewed them before."""
    late, when = rng.random(events.n_items) < 0.2, rng.uniform(0.67, 1.0, events.n_items)
    launch = np.where(late, np.quantile(events.time, when), 0)
    return events.select(events.time >= launch[events.item])


def _metadata(data: Dataset, address: str, rng: np.random.Generator) -> list[dict]:
    draw, price = rng.random(data.n_items), rng.gamma(4, 5, data.n_items).round(2)
    counts = data.interactions.item_counts()
    sums = np.bincount(data.interactions.item, weights=data.interactions.value, minlength=data.n_items)
    records = []
    for item, (title, place, text) in enumerate(data.items[["title", "category", "text_en"]].itertuples(index=False)):
        if draw[item] < 0.02:  # some items have no metadata
            continue
        picture, images = f"{data.items.index[item]}.png", []
        if (stamps.catalogue_folder() / picture).is_file():
            wrong = "/missing" if draw[item] < 0.04 else "/broken" if draw[item] < 0.06 else ""
            images = [{"thumb": None, "large": f"{address}{wrong}/{quote(picture)}", "variant": "MAIN", "hi_res": None}]
        records.append({
            "main_category": "Stamps", "title": title, "average_rating": round(sums[item] / max(counts[item], 1), 1),
            "rating_number": int(counts[item]), "features": [], "description": [text] if text else [],
            "price": None if draw[item] > 0.6 else price[item], "images": images, "videos": [], "store": None,
            "categories": ["Stamps", *place.split("/")], "details": {}, "parent_asin": _asin(item),
            "bought_together": None,
        })  # fmt: skip
    return records
