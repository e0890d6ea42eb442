import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.models.neural import NeuMFNetwork


@pytest.mark.parametrize("layers", [[6], [6, 4, 3]])
def test_scoring_all_items_agrees_with_scoring_pairs(layers):
    torch.manual_seed(0)
    network = NeuMFNetwork(40, 11, 5, layers, dropout=0.5).eval()
    with torch.no_grad():
        users = network.user[:37]  # more than one block of users
        pairs = network(users[:, None].expand(37, 11, 10), network.item.expand(37, 11, 10))
        torch.testing.assert_close(network.all_items(users), pairs)


def test_score_by_hand():
    network = NeuMFNetwork(1, 1, 1, [1], dropout=0.0).eval()
    with torch.no_grad():
        network.user.copy_(torch.tensor([[2.0, 3.0]]))  # product part, perceptron part
        network.item.copy_(torch.tensor([[5.0, 7.0]]))
        network.from_user.weight.fill_(1.0)
        network.from_user.bias.fill_(-4.0)
        network.from_item.weight.fill_(0.5)
        network.last.weight.copy_(torch.tensor([[10.0, 2.0]]))
        network.last.bias.fill_(1.0)
        # product 10; perceptron max(3 - 4 + 3.5, 0) = 2.5; 10 * 10 + 2 * 2.5 + 1
        assert network(network.user, network.item).item() == pytest.approx(106.0)


def test_weights_are_accessible_by_name(blocks):
    model = mm.models.create("neumf", dim=3, layers=(4,), epochs=1).fit(blocks)
    assert model.weights_user_.shape == (60, 6)
    assert model.weights_item_.shape == (30, 6)
    assert model.weights_last_weight_.dtype == np.float32
