"""Small fitted models of every kind, each fitted once."""

import functools
import inspect

import numpy as np
import pytest

import mmrec_lib as mm

#: Parameters that make a model quick; each model takes those that it has.
QUICK = {"dim": 8, "epochs": 3, "batch_size": 64, "learning_rate": 0.05, "device": "cpu", "hidden": 16,
         "diffusion_epochs": 1, "iterations": 5}  # fmt: skip
PENALTY = {"ease": 5.0, "propensityease": 5.0, "sideease": 5.0, "slim": 2.0, "als": 2.0}


@pytest.fixture(scope="session")
def features():
    """Two modalities that show an item's group, one of them for the first 25 items only."""
    rng = np.random.default_rng(0)
    groups = np.eye(3)[np.arange(30) // 10]
    arrays = {
        "image": np.hstack([groups, rng.normal(size=(30, 2))]),
        "text": groups + rng.normal(size=(30, 3)),
    }
    return mm.data.Features(arrays, mask={"text": np.arange(30) < 25})


@pytest.fixture(scope="session")
def fitted(blocks, features):
    """``fitted(name, **params)``: a model of 60 users and 30 items."""

    @functools.cache
    def fit(name, **params):
        known = inspect.signature(mm.models.get_class(name).__init__).parameters
        quick = {k: v for k, v in QUICK.items() if k in known}
        if name in PENALTY:
            quick["l2"] = PENALTY[name]
        return mm.models.create(name, **{**quick, **params}).fit(blocks, features=features)

    return fit
