"""What tests of models share."""

from __future__ import annotations

import types

import numpy as np
import pytest

import mmrec_lib as mm


@pytest.fixture(scope="module")
def shop():
    """200 users of 4 groups, 80 items of 4 kinds; few clicks, a fifth of the items without any in train."""
    rng = np.random.default_rng(1)
    kinds = np.arange(80) % 4
    users, items = [], []
    for user in range(200):
        own = np.flatnonzero(kinds == user % 4)
        liked = np.concatenate([rng.choice(own, 6, replace=False), rng.choice(80, 1)])
        users += [user] * len(liked)
        items += liked.tolist()
    events = mm.data.Interactions(users, items, n_users=200, n_items=80)
    new = events.item >= 64
    look = rng.normal(scale=0.4, size=(80, 12))
    look[np.arange(80), kinds] += 1.5
    words = rng.normal(scale=0.4, size=(80, 6))
    words[np.arange(80), kinds // 2] += 1.5
    features = mm.data.Features({"look": look, "words": words}, {"words": np.arange(80) % 5 > 0})
    return types.SimpleNamespace(train=events.select(~new), test=events.select(new), features=features, kinds=kinds)
