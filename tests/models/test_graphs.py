import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.models.graphs import Attentive, Propagated, propagate
from mmrec_lib.training.graph import SparseMatrix, normalise

EVENTS = mm.data.Interactions([0, 0, 1, 2, 2], [0, 1, 1, 1, 2], n_users=3, n_items=3)


def one_hot(module):
    """Embeddings 1 to 3 for users and 10, 20, 30 for items, in one dimension."""
    with torch.no_grad():
        module.user.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
        module.item.copy_(torch.tensor([[10.0], [20.0], [30.0]]))
    return module


def test_one_layer_by_hand():
    graph = SparseMatrix(normalise(EVENTS.to_csr()))
    users, items = one_hot(Propagated(3, 3, 1, 1, graph))()
    r2, r3, r6 = 2**0.5, 3**0.5, 6**0.5
    # users have degrees 2, 1, 2; items 1, 3, 1
    user_1 = [10 / r2 + 20 / r6, 20 / r3, 20 / r6 + 30 / r2]
    item_1 = [1 / r2, 1 / r6 + 2 / r3 + 3 / r6, 3 / r2]
    np.testing.assert_allclose(users.detach().ravel(), (np.array([1, 2, 3]) + user_1) / 2, rtol=1e-6)
    np.testing.assert_allclose(items.detach().ravel(), (np.array([10, 20, 30]) + item_1) / 2, rtol=1e-6)


@pytest.mark.parametrize("layers", [1, 3])
def test_propagation_is_the_mean_of_powers_of_the_square_graph(layers):
    from mmrec_lib.training.graph import user_item_graph

    square = normalise(user_item_graph(EVENTS.to_csr())).toarray().astype(np.float64)
    start = np.random.default_rng(0).normal(size=(6, 4))
    expected = sum(np.linalg.matrix_power(square, layer) @ start for layer in range(layers + 1)) / (layers + 1)
    half = torch.from_numpy(square[:3, 3:])
    x = torch.from_numpy(start)
    users, items = propagate(x[:3], x[3:], layers, lambda i: half @ i, lambda u: half.T @ u)
    np.testing.assert_allclose(torch.cat([users, items]).numpy(), expected)


def test_without_attention_lightgat_is_lightgcn():
    torch.manual_seed(0)
    attentive = one_hot(Attentive(EVENTS.to_csr(), 1, 2, 4, torch.device("cpu")))
    plain = one_hot(Propagated(3, 3, 1, 2, SparseMatrix(normalise(EVENTS.to_csr()))))
    for found, expected in zip(attentive(), plain(), strict=True):
        torch.testing.assert_close(found, expected)


def test_attention_by_hand():
    module = one_hot(Attentive(EVENTS.to_csr(), 1, 1, 1, torch.device("cpu")))
    with torch.no_grad():
        module.from_user.weight.fill_(1.0)
        module.from_user.bias.fill_(-21.0)
        module.from_item.weight.fill_(1.0)
        module.vector.fill_(1.0)
    # user 0 (value 1) sees 10 and 20: 1 + 10 - 21 = -10 (leaky: -2) and 1 + 20 - 21 = 0
    to_users, to_items = module.attention()
    weight = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(to_users[:2].detach(), [1 - weight, weight], rtol=1e-5)
    # item 1 (value 20) sees users with 1, 2, 3: scores 0, 1, 2
    among = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(to_items[[1, 2, 3]].detach(), among, rtol=1e-5)


def test_attention_is_learned_and_kept(blocks):
    model = mm.models.create("lightgat", dim=8, epochs=40, learning_rate=0.03, batch_size=128).fit(blocks)
    seen = model.seen_
    users = np.repeat(np.arange(60), np.diff(seen.indptr))
    np.testing.assert_allclose(np.bincount(users, model.user_attention_), np.ones(60), rtol=1e-5)
    item_sums = np.bincount(seen.indices, model.item_attention_, minlength=30)
    np.testing.assert_allclose(item_sums, np.ones(30), rtol=1e-5)
    # six of a user's seven items belong to the group; the stray one deserves less than its equal share
    stray = seen.indices // 10 != users % 3
    assert model.user_attention_[stray].mean() < 1 / 7
    assert model.user_attention_.std() > 0.001


def test_lightgat_can_be_propagated_again(blocks):
    model = mm.models.create("lightgat", dim=4, layers=1, epochs=3, batch_size=128).fit(blocks)
    users, items = np.repeat(np.arange(60), np.diff(model.seen_.indptr)), model.seen_.indices
    degree_u, degree_i = np.bincount(users), np.bincount(items)
    scale = model.user_attention_ * np.sqrt(degree_u[users] / degree_i[items])
    moved = np.zeros((60, 4))
    np.add.at(moved, users, scale[:, None] * model.item_embeddings_[items])
    expected = (model.user_embeddings_ + moved) / 2
    np.testing.assert_allclose(model.user_factors_, expected, rtol=1e-4, atol=1e-6)


def test_the_graph_is_propagated_once_for_a_validation(blocks, monkeypatch):
    calls = []
    original = Propagated.forward
    monkeypatch.setattr(Propagated, "forward", lambda self: calls.append(self.training) or original(self))
    monkeypatch.setattr(mm.ranking, "BLOCK_BYTES", 4 * 30 * 7)  # nine blocks of users
    split = mm.data.split(blocks, seed=0)
    model = mm.models.create("lightgcn", dim=4, epochs=3, eval_every=1, batch_size=10_000)
    model.fit(split.train, valid=split.valid)
    assert calls.count(True) == 3  # one batch in each epoch
    assert calls.count(False) == 3 + 1  # one for each validation, one for the factors that are kept


def test_a_user_without_neighbours_keeps_the_embedding():
    events = mm.data.Interactions([0, 1], [0, 1], n_users=3, n_items=3)
    module = Propagated(3, 3, 2, 2, SparseMatrix(normalise(events.to_csr())))
    users, _ = module()
    torch.testing.assert_close(users[2], module.user[2] / 3)
