import numpy as np
import pytest
import torch

import mmrec_lib as mm


def test_score_is_the_dot_product(blocks):
    model = mm.models.create("bpr", dim=5, epochs=2).fit(blocks)
    assert model.user_factors_.shape == (60, 5)
    assert model.item_factors_.shape == (30, 5)
    scores = model.score([3, 4])
    assert scores.dtype == np.float32
    assert scores[1, 7] == pytest.approx(float(model.user_factors_[4] @ model.item_factors_[7]), rel=1e-5)


def test_observed_items_end_above_unobserved_ones(blocks):
    """What the loss asks for: the area under the curve of the training pairs."""
    model = mm.models.create("bpr", dim=16, epochs=100, learning_rate=0.02, batch_size=128, l2=0.0).fit(blocks)
    scores, seen = model.score(np.arange(60)), blocks.to_csr().toarray() > 0
    above = [(s[m][:, None] > s[~m]).mean() for s, m in zip(scores, seen, strict=True)]
    assert np.mean(above) > 0.95


def test_stronger_penalty_shorter_vectors(blocks):
    lengths = [
        np.linalg.norm(mm.models.create("bpr", dim=8, epochs=40, l2=l2, learning_rate=0.02).fit(blocks).user_factors_)
        for l2 in (0.0, 0.3, 1.0)
    ]
    assert lengths[0] > 1.2 * lengths[1] > 1.2 * 1.2 * lengths[2]


def test_partial_fit_learns_what_is_new_and_keeps_the_rest(blocks):
    # users and items of a block belong together; a newcomer meets four things of the first block
    params = {"dim": 8, "epochs": 60, "learning_rate": 0.02, "batch_size": 128, "l2": 0.001}
    model = mm.models.create("bpr", **params).fit(blocks)
    old_users, old_items, scores = model.user_factors_, model.item_factors_, model.score(np.arange(60))
    state = torch.random.get_rng_state()
    model.partial_fit(mm.data.Interactions([60] * 4, [0, 1, 2, 3], n_items=31), replay=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.user_factors_.shape == (61, 8)
    assert model.item_factors_.shape == (31, 8)
    assert model.popularity_[:4].tolist() == (blocks.item_counts()[:4] + 1).tolist()
    newcomer = model.score([60])[0, :30]
    assert newcomer[:10].mean() > newcomer[10:].mean() + 0.5
    still = (model.user_factors_[:60] == old_users).all(axis=1)
    assert still.sum() >= 40  # five epochs with four replayed pairs each
    assert np.corrcoef(model.score(np.arange(60))[:, :30].ravel(), scores.ravel())[0, 1] > 0.99
    assert np.abs(model.item_factors_[:30] - old_items).max() < 0.2


def test_partial_fit_moves_a_user_towards_new_likes(blocks):
    params = {"dim": 8, "epochs": 60, "learning_rate": 0.02, "batch_size": 128, "l2": 0.001}
    model = mm.models.create("bpr", **params).fit(blocks)
    before = model.score([0])[0, 20:25].mean()
    model.partial_fit(mm.data.Interactions([0] * 5, np.arange(20, 25), n_users=60, n_items=30), epochs=20)
    assert model.score([0])[0, 20:25].mean() > before + 0.5
