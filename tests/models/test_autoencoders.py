import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.models.autoencoders import VAE, kl_divergence, multinomial_loss


def test_multinomial_loss_by_hand():
    # softmax of (log 1, log 2, log 1) is 1/4, 1/2, 1/4; the row holds the first two items
    scores = torch.log(torch.tensor([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]]))
    rows = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert multinomial_loss(scores, rows).item() == pytest.approx((np.log(4) + np.log(2) + np.log(2)) / 2)


def test_kl_divergence_by_hand():
    # N(1, 1) against N(0, 1): 1/2; N(0, 4): (4 - 1 - log 4) / 2
    mean = torch.tensor([[1.0, 0.0]])
    log_variance = torch.tensor([[0.0, np.log(4.0)]], dtype=torch.float32)
    assert kl_divergence(mean, log_variance).item() == pytest.approx(0.5 + (3 - np.log(4)) / 2)
    assert kl_divergence(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0


def test_kl_divergence_agrees_with_torch():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_the_latent_vector_is_drawn_in_training_only():
    module, rows = VAE(6, 4, 2, dropout=0.0), torch.ones(1, 6)
    torch.manual_seed(0)
    assert not torch.equal(module(rows)[0], module(rows)[0])
    module.eval()
    assert torch.equal(module(rows)[0], module(rows)[0])


def test_a_row_counts_by_direction_not_by_length():
    module = VAE(6, 4, 2, dropout=0.0).eval()
    rows = torch.tensor([[1.0, 1.0, 0, 0, 0, 0]])
    torch.testing.assert_close(module(rows)[0], module(5 * rows)[0])


def test_beta_grows_to_its_value(blocks):
    model = mm.models.create("multvae", beta=0.4, annealing_epochs=4, batch_size=60, hidden=4, dim=2, epochs=1)
    model.fit(blocks)
    weights = [next(iter(model._batches(np.random.default_rng(0), epoch)))[1] for epoch in (1, 2, 4, 9)]
    np.testing.assert_allclose(weights, [0.1, 0.2, 0.4, 0.4])


def test_users_without_interactions_are_no_batch_rows():
    events = mm.data.Interactions([0, 2], [0, 1], n_users=4, n_items=3)
    model = mm.models.create("multvae", hidden=4, dim=2, epochs=1).fit(events)
    ((rows, _),) = model._batches(np.random.default_rng(0), 1)
    assert rows.sum(1).tolist() == [1, 1]


def test_it_scores_rows_not_identities(blocks):
    """Two users with the same row get the same scores."""
    twice = mm.data.Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], n_users=3, n_items=4)
    scores = mm.models.create("multvae", hidden=4, dim=2, epochs=3).fit(twice).score([0, 1, 2])
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
    assert not np.allclose(scores[0], scores[2])
