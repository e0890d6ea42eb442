import math

import pytest
import torch

from mmrec_lib.errors import ParameterError
from mmrec_lib.training import losses


def test_bpr_by_hand():
    # differences 1 and -2: -log sigmoid(1) = log(1 + e^-1), -log sigmoid(-2) = log(1 + e^2)
    value = losses.bpr(torch.tensor([2.0, 0.0]), torch.tensor([[1.0], [2.0]]))
    assert value.item() == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2)


def test_bpr_compares_each_positive_with_its_own_negatives_only():
    # had the batch been broadcast against itself, the far-away score 100 would meet the wrong user
    value = losses.bpr(torch.tensor([100.0, 0.0]), torch.tensor([[100.0, 100.0], [0.0, 0.0]]))
    assert value.item() == pytest.approx(math.log(2))


def test_bce_by_hand():
    value = losses.bce(torch.tensor([0.0]), torch.tensor([[0.0, math.log(3)]]))
    # sigmoid(0) = 1/2 twice, sigmoid(log 3) = 3/4 where the label is 0
    assert value.item() == pytest.approx((math.log(2) + math.log(2) + math.log(4)) / 3)


def test_sampled_softmax_by_hand():
    value = losses.sampled_softmax(torch.tensor([math.log(2)]), torch.tensor([[0.0, 0.0]]))
    assert value.item() == pytest.approx(math.log(2))  # 2 / (2 + 1 + 1)


def test_sampled_softmax_correction_divides_by_the_draw_probability():
    positive, negative = torch.tensor([0.0]), torch.tensor([[0.0]])
    value = losses.sampled_softmax(positive, negative, torch.tensor([math.log(0.5)]), torch.tensor([[math.log(0.25)]]))
    assert value.item() == pytest.approx(-math.log(2 / (2 + 4)))


def test_sampled_softmax_wants_both_corrections():
    with pytest.raises(ParameterError, match="neither"):
        losses.sampled_softmax(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2))


def test_mse_by_hand():
    assert losses.mse(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 3.0])).item() == pytest.approx(2.5)


@pytest.mark.parametrize("loss", [losses.bpr, losses.bce, losses.sampled_softmax])
@pytest.mark.parametrize("shapes", [((3,), (3,)), ((3, 1), (3, 1)), ((3,), (2, 1))])
def test_shapes_that_would_broadcast_are_refused(loss, shapes):
    with pytest.raises(ParameterError, match="shapes"):
        loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_mse_refuses_broadcasting():
    with pytest.raises(ParameterError, match="agree"):
        losses.mse(torch.zeros(3), torch.zeros(3, 1))
