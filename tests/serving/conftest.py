"""A little shop: 40 people, 24 things of three kinds, with texts, pictures and vectors; and its bundle."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mmrec_lib as mm

KINDS = ("red", "green", "blue")


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Data set and interactions; people like one kind."""
    folder = tmp_path_factory.mktemp("pictures")
    kinds = np.arange(24) % 3
    rng = np.random.default_rng(0)
    pictures = []
    for item, kind in enumerate(kinds):
        colour = rng.integers(0, 60, 3)
        colour[kind] = 220
        pictures.append(folder / f"{item}.png")
        Image.new("RGB", (20, 16), tuple(int(c) for c in colour)).save(pictures[-1])
    pictures[23] = None
    texts = [f"a {KINDS[k]} thing number {i}" for i, k in enumerate(kinds)]
    items = pd.DataFrame({"title": [f"{KINDS[k]} {i}" for i, k in enumerate(kinds)], "kind": [KINDS[k] for k in kinds]},
                         index=[f"i{i}" for i in range(24)])  # fmt: skip
    users = pd.DataFrame(index=[f"u{i}" for i in range(40)])
    pairs = [(u, int(i)) for u in range(40) for i in rng.choice(np.flatnonzero(kinds == u % 3), 4, replace=False)]
    events = mm.data.Interactions(*zip(*pairs, strict=True), n_users=40, n_items=24)
    return mm.data.Dataset(events, users, items, mm.data.Media({"text": texts, "image": pictures}), "shop")


@pytest.fixture(scope="session")
def encoders(shop):
    """Of texts and of pictures; neither needs weights."""
    return {
        "text": mm.encoders.create("tfidf").fit(shop.media["text"]),
        "image": mm.encoders.create("colour-histogram"),
    }


@pytest.fixture(scope="session")
def bundle(shop, encoders):
    """An EASE with what belongs to it."""
    features = mm.encoders.encode(shop, encoders, cache=None)
    model = mm.models.create("ease", l2=2.0).fit(shop.interactions)
    report = mm.evaluation.evaluate(model, shop.interactions, ks=5, metrics="ndcg")
    return mm.serving.Bundle.of(model, shop, features, encoders, report=report, note="for tests")


@pytest.fixture
def engine(bundle):
    """With an empty store in memory."""
    return mm.serving.Engine(bundle)
