"""Small pieces that tests of several rooms share."""

from __future__ import annotations

import numpy as np

from mmrec_lib.data import Interactions


class Table:
    """A model that knows its scores by heart."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=np.float32)

    def score(self, users):
        return self.scores[users]


def events(pairs, n_users, n_items):
    """Interactions from pairs of codes."""
    users, items = zip(*pairs, strict=True)
    return Interactions(users, items, n_users=n_users, n_items=n_items)


def found(model, shop):
    """Share of the own kind among the three best of the 16 new items of ``shop``; a quarter by chance."""
    best = 64 + np.argsort(-model.score(np.arange(200))[:, 64:], axis=1)[:, :3]
    return (shop.kinds[best] == np.arange(200)[:, None] % 4).mean()
