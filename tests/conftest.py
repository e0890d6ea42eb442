"""Fixtures that several rooms share."""

import numpy as np
import pytest

import mmrec_lib as mm


@pytest.fixture(scope="session")
def blocks():
    """Interactions with an obvious structure: 60 users in 3 groups, each of which likes its own 10 of 30 items.

    Every user met a random 6 of the 10 items of the group and one item from elsewhere.
    """
    rng = np.random.default_rng(0)
    users, items = [], []
    for user in range(60):
        own = np.arange(10) + 10 * (user % 3)
        other = np.setdiff1d(np.arange(30), own)
        liked = np.concatenate([rng.choice(own, 6, replace=False), rng.choice(other, 1)])
        users += [user] * len(liked)
        items += liked.tolist()
    return mm.data.Interactions(users, items, time=np.arange(len(users)), n_users=60, n_items=30)
