import numpy as np
import pytest

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
