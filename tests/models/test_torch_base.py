"""What all recommenders trained by gradient descent share; BPR stands for those that score by a dot product."""

import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError

SMALL = {
    "bpr": {"dim": 8, "epochs": 6, "batch_size": 128},
    "lightgcn": {"dim": 8, "epochs": 6, "batch_size": 128},
    "lightgat": {"dim": 8, "epochs": 6, "batch_size": 128},
    "multvae": {"dim": 8, "hidden": 16, "epochs": 6, "batch_size": 16},
    "neumf": {"dim": 8, "layers": (8, 4), "epochs": 6, "batch_size": 128},
}
every_model = pytest.mark.parametrize("name", SMALL)
USERS = np.arange(60)


# enough to learn the groups, with a penalty that keeps 420 pairs from being learned by heart
THOROUGH = {
    "bpr": {"epochs": 40, "l2": 0.2},
    "lightgcn": {"epochs": 40},
    "lightgat": {"epochs": 30, "l2": 0.1},
    "multvae": {"epochs": 100, "learning_rate": 0.02},
    "neumf": {"epochs": 40, "l2": 0.1},
}


def make(name, **params):
    return mm.models.create(name, **{**SMALL[name], "device": "cpu", **params})


@every_model
def test_same_seed_same_scores_to_the_last_bit(blocks, name):
    first, second = (make(name).fit(blocks).score(USERS) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != make(name, seed=1).fit(blocks).score(USERS)).any()


@every_model
def test_the_loss_falls(blocks, name):
    history = make(name, epochs=12, learning_rate=0.02).fit(blocks).history_
    assert history["loss"].iloc[-3:].mean() < 0.97 * history["loss"].iloc[:3].mean()


@every_model
def test_finds_the_groups(blocks, name):
    """Of the ten items of a user's group, four are unseen: these belong on top."""
    model = make(name, **{"learning_rate": 0.03, **THOROUGH[name]}).fit(blocks)
    lists = model.recommend(USERS, k=4)
    right = (lists["item"] // 10 == lists["user"] % 3).mean()
    assert right > 0.85  # by chance: 0.17


@every_model
def test_saved_and_loaded(blocks, name, tmp_path):
    model = make(name).fit(blocks, valid=blocks)
    again = mm.models.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(model.score(USERS), again.score(USERS))
    pd.testing.assert_frame_equal(model.history_, again.history_)
    assert again.best_epoch_ == model.best_epoch_


@every_model
def test_a_fit_resumed_from_a_checkpoint_equals_an_uninterrupted_one(blocks, name, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    whole = make(name).fit(blocks)
    make(name, epochs=3).fit_resumable(blocks, file)
    resumed = make(name).fit_resumable(blocks, file)
    assert len(resumed.history_) == 6
    np.testing.assert_array_equal(whole.score(USERS), resumed.score(USERS))


@every_model
def test_early_stopping_keeps_the_best_epoch(blocks, name):
    split = mm.data.split(blocks, seed=1)
    model = make(name, epochs=40, eval_every=1, patience=3, learning_rate=0.05, metric="recall@5")
    model.fit(split.train, valid=split.valid)
    validator = mm.training.validation.Validator(split.train.to_csr(), split.valid, "recall@5")
    assert validator(model.score) == pytest.approx(model.history_["metric"].max())
    assert model.history_["metric"].idxmax() + 1 == model.best_epoch_
    # trained that long without validation, it is the same model
    retrained = make(name, epochs=model.best_epoch_, learning_rate=0.05).fit(split.train)
    np.testing.assert_allclose(retrained.score(USERS), model.score(USERS), rtol=1e-5, atol=1e-6)


@every_model
def test_scores_do_not_depend_on_who_else_is_asked(blocks, name):
    model = make(name).fit(blocks)
    np.testing.assert_allclose(model.score([7]), model.score(USERS)[[7]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["bpr", "lightgcn", "lightgat", "neumf"])
def test_a_user_who_met_everything_is_left_out_of_training(name):
    events = mm.data.Interactions([0, 0, 0, 1], [0, 1, 2, 0], n_users=2, n_items=3)
    assert np.isfinite(make(name).fit(events).score([0, 1])).all()
    with pytest.raises(DataError, match="every user has met every item"):
        make(name).fit(mm.data.Interactions([0, 0, 0], [0, 1, 2]))


@pytest.mark.parametrize(
    "params",
    [
        {"negatives": "hard", "n_negatives": 3},
        {"negatives": "popularity"},
        {"loss": "softmax", "n_negatives": 4},
        {"loss": "softmax", "n_negatives": 4, "negatives": "popularity"},
        {"loss": "bce", "l2": 0.05},
    ],
    ids=str,
)
def test_options_learn(blocks, params):
    model = make("bpr", **{"epochs": 40, "learning_rate": 0.03, "l2": 0.2, **params}).fit(blocks)
    lists = model.recommend(USERS, k=4)
    assert (lists["item"] // 10 == lists["user"] % 3).mean() > 0.85


def test_penalty_by_hand(blocks):
    model = make("bpr", l2=0.5)
    module = model._build(blocks, None)
    with torch.no_grad():
        module.user.fill_(1.0)
        module.item.fill_(2.0)
    batch = (torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([[2, 3], [4, 5]]))
    # all items score the same: log 2. A pair costs 0.5 / 2 * 8 dimensions * (1 + 4 + 4 + 4).
    assert model._loss(module, batch).item() == pytest.approx(np.log(2) + 0.25 * 8 * 13)


def test_the_penalty_of_a_graph_is_on_the_embeddings_not_on_what_is_propagated(blocks):
    model = make("lightgcn", l2=0.5)
    model.fit(blocks)
    module = model._build(blocks, None)
    with torch.no_grad():
        module.user.fill_(1.0)
        module.item.fill_(2.0)
    batch = (torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([[2], [3]]))
    with_penalty = model._loss(module, batch).item()
    model.l2 = 0.0
    assert with_penalty - model._loss(module, batch).item() == pytest.approx(0.25 * 8 * (1 + 4 + 4), rel=1e-5)


def test_hard_negatives_are_the_highest_scored():
    model = make("bpr", negatives="hard", l2=0.5)
    module = model._build(mm.data.Interactions([0], [0], n_users=1, n_items=3), None)
    with torch.no_grad():
        module.user.fill_(1.0)
        module.item.copy_(torch.tensor([0.0, -1.0, 0.5])[:, None].expand(3, 8))
    loss = model._loss(module, (torch.tensor([0]), torch.tensor([0]), torch.tensor([[1, 2]])))
    # candidate 2 scores 4, candidate 1 scores -8; only the chosen one is in the penalty: 0.5 / 2 * (8 + 0 + 8 / 4)
    assert loss.item() == pytest.approx(np.log1p(np.exp(4)) + 0.25 * 10)


def test_the_callers_torch_seed_is_left_alone(blocks):
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    make("bpr", epochs=1).fit(blocks)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("bpr", {"dim": 0}),
        ("bpr", {"epochs": -1}),
        ("bpr", {"batch_size": 2.5}),
        ("bpr", {"learning_rate": 0}),
        ("bpr", {"l2": float("nan")}),
        ("bpr", {"l2": -1}),
        ("bpr", {"negatives": "random"}),
        ("bpr", {"loss": "hinge"}),
        ("bpr", {"device": "abacus"}),
        ("lightgcn", {"layers": 0}),
        ("lightgat", {"attention_dim": None}),
        ("multvae", {"dropout": 1.0}),
        ("multvae", {"beta": "much"}),
        ("neumf", {"layers": ()}),
        ("neumf", {"layers": (8, 0)}),
    ],
    ids=str,
)
def test_bad_parameters_are_named(blocks, name, params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        make(name, **params).fit(blocks)
