"""Clicks weighed by propensity: what equal weights give, what the formula minimises, and what weights are for."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.data import Interactions


def weighted(value=None):
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers([40, 12], size=(150, 2)), axis=0)
    return Interactions(*pairs.T, value, n_users=40, n_items=12)


def propensity_ease(train, **params):
    return mm.models.create("propensityease", **{"l2": 5.0, **params}).fit(train)


def test_equal_weights_are_ease():
    train = weighted()
    ease = mm.models.create("ease", l2=5.0).fit(train)
    np.testing.assert_allclose(propensity_ease(train, power=0).weights_, ease.weights_, atol=1e-5)
    tripled = Interactions(train.user, train.item, np.full(len(train), 3), None, *train.shape)
    model = propensity_ease(tripled, weights="value")
    np.testing.assert_allclose(model.weights_, 3 * ease.weights_, atol=1e-5)


def test_weights_by_popularity_divide_the_scores():
    train = weighted()
    n = train.item_counts()
    ease, model = mm.models.create("ease", l2=5.0).fit(train), propensity_ease(train, power=0.7, clip=100)
    np.testing.assert_allclose(model.score([3, 4]), ease.score([3, 4]) * (n.max() / n) ** 0.7, atol=1e-5)


def test_weights_minimise_the_loss():
    train = weighted(np.random.default_rng(1).uniform(1, 9, size=len(weighted())))
    model = propensity_ease(train, weights="value", clip=6)
    x, t = train.to_csr().toarray(), np.minimum(train.to_csr(values=True).toarray(), 6)
    b = model.weights_.astype(float)
    gradient = x.T @ (x @ b - t) + 5 * b
    np.fill_diagonal(gradient, 0)  # the diagonal is held at zero
    assert np.abs(gradient).max() < 1e-3
    assert not b.diagonal().any()


def test_by_hand():
    # three people met both items, the clicks on item 1 weigh 2: P = [[4, 3], [3, 4]]^-1 = [[4, -3], [-3, 4]] / 7;
    # C = P X^T T = [[4, -3], [-3, 4]] / 7 @ [[3, 6], [3, 6]] = [[3, 6], [3, 6]] / 7, and B_01 = 6 / 7 + 3 / 4 * 6 / 7
    train = Interactions([0, 0, 1, 1, 2, 2], [0, 1] * 3, [1, 2] * 3)
    model = propensity_ease(train, l2=1.0, weights="value")
    np.testing.assert_allclose(model.weights_, [[0, 3 / 2], [3 / 4, 0]], rtol=1e-6)


@pytest.mark.parametrize("weights", ["value", "popularity"])
def test_a_click_on_what_is_rarely_shown_counts_more(weights):
    """Items 1 and 2 go with item 0 equally well, but item 2 was shown to a third of the people only."""
    rng = np.random.default_rng(2)
    n = 600
    x = rng.random((n, 3)) < 0.5
    x[:, 1:] = x[:, :1] & (rng.random((n, 2)) < 0.8)
    x[:, 2] &= rng.random(n) < 1 / 3
    user, item = np.nonzero(x)
    train = Interactions(user, item, np.where(item == 2, 3.0, 1.0), n_users=n, n_items=3)
    ease = mm.models.create("ease", l2=5.0).fit(train).weights_
    model = propensity_ease(train, weights=weights, power=1.0).weights_
    assert ease[0, 2] < 0.6 * ease[0, 1]
    assert 0.75 < model[0, 2] / model[0, 1] < 1.5
