"""Meta-learning: the steps of a person by hand, and what a start that was learned is worth."""

import numpy as np
import pytest
import torch
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.models import meta

QUICK = {"hidden": 8, "epochs": 15, "batch_size": 32, "learning_rate": 0.02, "device": "cpu"}


def test_rows_are_divided_in_support_and_query():
    rows = sparse.csr_matrix(np.tril(np.ones((200, 12), np.float32))[np.arange(200) % 12])
    support, query = meta.divided(rows, np.random.default_rng(0))
    np.testing.assert_array_equal((support + query).toarray(), rows.toarray())
    assert query.sum(axis=1).min() >= 1
    assert support.sum(axis=1).min() == 0
    long = np.arange(200) % 12 == 11
    assert len(set(np.asarray(support.sum(axis=1)).ravel()[long])) > 4  # sizes of the support vary


def test_losses_of_people_with_and_without_choices():
    scores = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    chosen = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(meta.softmax_loss(scores, chosen), [np.log(3), 0], rtol=1e-6)
    # a third each, minus a half for what was chosen
    np.testing.assert_allclose(meta.error(scores, meta.as_shares(chosen))[0], [-1 / 6, -1 / 6, 1 / 3], rtol=1e-6)
    assert not meta.error(scores, meta.as_shares(chosen))[1].any()


def test_gradients_are_those_of_autograd():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, generator=generator)
    own = [torch.randn(2, *shape, generator=generator, requires_grad=True) for shape in ((4, 3), (3,), (3,))]
    popular = torch.randn(6, generator=generator)
    chosen = torch.tensor([[1.0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]])
    loss = meta.softmax_loss(meta.forward(x, own)[1] + popular, chosen).sum()
    wanted = torch.autograd.grad(loss, own)
    for mine, theirs in zip(meta.gradients(x, own, popular, meta.as_shares(chosen)), wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_one_step_of_the_head_by_hand():
    """Two items with units (1, 0) and (0, 1), equal popularity, a head at zero: the step of rate 2 is +-1/2 of it."""
    model = mm.models.create("melu", hidden=2, steps=1, local_rate=2.0, device="cpu")
    model._device = torch.device("cpu")
    model.content_, model.log_popularity_ = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    start = meta.Start(2, 2)
    with torch.no_grad():
        start.layer.weight.copy_(torch.eye(2))
        start.layer.bias.zero_()
        start.head.zero_()
        told = model._adapted(start, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(told, [[1.0, -1.0], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("name", ["melu", "fomaml"])
class TestShop:
    def test_two_clicks_lead_to_the_kind(self, name, shop):
        """Strangers with two clicks of a kind: unseen items of it, known and new, come first; a start adapted on no
        clicks knows nothing of kinds."""
        model = mm.models.create(name, **QUICK).fit(shop.train, features=shop.features)
        kinds = np.arange(4)
        scores = model.score_histories(np.stack([kinds, kinds + 4], axis=1))
        for items in (np.arange(8, 64), np.arange(64, 80)):  # known, new
            best = items[np.argsort(-scores[:, items], axis=1)[:, :4]]
            assert (best % 4 == kinds[:, None]).mean() > 0.8
        shuffled = mm.data.Features(
            {m: shop.features[m][np.random.default_rng(0).permutation(80)] for m in shop.features}
        )
        blind = mm.models.create(name, **QUICK).fit(shop.train, features=shuffled)
        new = 64 + np.argsort(-blind.score_histories(np.stack([kinds, kinds + 4], axis=1))[:, 64:], axis=1)[:, :4]
        assert (new % 4 == kinds[:, None]).mean() < 0.6

    def test_early_stopping(self, name, shop):
        split = mm.data.split(shop.train, "random", seed=0)
        model = mm.models.create(name, **QUICK | {"eval_every": 5}).fit(split.train, shop.features, split.valid)
        assert model.history_["metric"].notna().sum() == 3
        assert model.best_epoch_ in (5, 10, 15)

    def test_new_items_count_as_average(self, name, shop):
        model = mm.models.create(name, **QUICK | {"epochs": 1}).fit(shop.train, shop.features)
        popular = np.exp(model.log_popularity_)
        assert popular[64:] == pytest.approx(popular[:64][model.popularity_[:64] > 0].mean(), rel=1e-5)
