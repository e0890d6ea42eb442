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


# -- losses on vectors ---------------------------------------------------------------------------------------------
def test_info_nce_by_hand():
    # cosines [[1, 0], [0.6, 0.8]]; with temperature 1 the rows pick their partner with e / (e + 1) and
    # e^0.8 / (e^0.8 + e^0.6), the columns with e / (e + e^0.6) and e^0.8 / (e^0.8 + 1)
    a, b = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    rows = [math.log1p(math.exp(-1)), math.log1p(math.exp(-0.2))]
    columns = [math.log1p(math.exp(-0.4)), math.log1p(math.exp(-0.8))]
    assert losses.info_nce(a, b, 1.0).item() == pytest.approx(sum(rows + columns) / 4)


def test_info_nce_of_vectors_that_say_nothing_is_the_log_of_the_batch():
    same = torch.ones(5, 3)
    assert losses.info_nce(same, same, 0.1).item() == pytest.approx(math.log(5), abs=1e-5)


def test_info_nce_temperature_divides_the_scores():
    a, b = torch.eye(2), torch.eye(2)
    assert losses.info_nce(a, b, 0.5).item() == pytest.approx(math.log1p(math.exp(-2)))


def test_siglip_by_hand():
    # logits 2 - 1 = 1 on the diagonal and -1 elsewhere: four times log(1 + e^-1), divided by two rows
    value = losses.siglip(torch.eye(2), torch.eye(2), scale=2.0, bias=-1.0)
    assert value.item() == pytest.approx(2 * math.log1p(math.exp(-1)))


def test_siglip_counts_every_pair_for_itself():
    # one partner at logit 0, two strangers at logits -1 (row 0) and 1 (row 1)
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.0]])
    parts = [math.log1p(math.exp(-0.0)), math.log1p(math.exp(-1)), math.log1p(math.exp(1)), math.log1p(math.exp(1))]
    assert losses.siglip(a, b, scale=1.0, bias=-1.0).item() == pytest.approx(sum(parts) / 2)


@pytest.mark.parametrize("loss", [losses.info_nce, losses.siglip])
def test_twins_are_no_negatives_of_each_other(loss):
    a, b = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    groups = torch.tensor([0, 0, 1])
    left_out = loss(a, b, 1.0, groups=groups)
    assert left_out < loss(a, b, 1.0)
    # what remains of the first row is its pair and the stranger of the third row
    if loss is losses.info_nce:
        pair, middle = math.log1p(math.exp(-1)), math.log1p(2 * math.exp(-1))
        assert left_out.item() == pytest.approx((2 * pair + middle) / 3)


@pytest.mark.parametrize("loss", [losses.info_nce, losses.siglip])
def test_groups_that_all_differ_change_nothing(loss):
    torch.manual_seed(0)
    a, b = torch.randn(6, 4), torch.randn(6, 4)
    assert loss(a, b, groups=torch.arange(6)).item() == pytest.approx(loss(a, b).item())


@pytest.mark.parametrize("loss", [losses.info_nce, losses.siglip])
def test_a_batch_of_twins_only_has_finite_gradients(loss):
    a = torch.randn(3, 2, requires_grad=True)
    loss(a, a.detach(), groups=torch.zeros(3, dtype=torch.long)).backward()
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("loss", [losses.info_nce, losses.siglip])
def test_vectors_of_different_shapes_are_refused(loss):
    with pytest.raises(ParameterError, match="batch, dim"):
        loss(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ParameterError, match="groups"):
        loss(torch.zeros(3, 2), torch.zeros(3, 2), groups=torch.zeros(3, 4))


@pytest.mark.parametrize("loss", [losses.info_nce, losses.siglip])
def test_which_pairs_are_no_negatives_can_be_said_one_by_one(loss):
    torch.manual_seed(0)
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    groups = torch.tensor([0, 1, 0, 2])
    one_by_one = groups[:, None] == groups
    assert loss(a, b, groups=one_by_one).item() == pytest.approx(loss(a, b, groups=groups).item())
    assert one_by_one.diagonal().all()  # the caller's table stays


def test_in_batch_softmax_by_hand():
    # the second and third pair share an item, so neither is a negative of the other
    scores = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, 0.0, 50.0], [0.0, 50.0, 0.0]])
    value = losses.in_batch_softmax(scores, torch.tensor([7, 3, 3]))
    assert value.item() == pytest.approx((math.log(4 / 2) + math.log(2) + math.log(2)) / 3)


def test_in_batch_softmax_correction_divides_by_the_draw_probability():
    value = losses.in_batch_softmax(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([0.75, 0.25]).log())
    # weights 4/3 and 4: the frequent item counts a third of the rare one
    assert value.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)


def test_in_batch_softmax_checks_shapes():
    with pytest.raises(ParameterError, match="batch, batch"):
        losses.in_batch_softmax(torch.zeros(2, 3), torch.tensor([0, 1]))
