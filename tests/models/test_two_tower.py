"""Two towers: the in-batch softmax by hand, and what content does where embeddings cannot."""

import math

import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.models.two_tower import TwoTower, prepare

QUICK = {"dim": 8, "epochs": 15, "batch_size": 64, "learning_rate": 0.03, "device": "cpu"}


@pytest.fixture(scope="module")
def kinds():
    """Vectors of 31 items: the group of the blocks with some noise; item 30, of group 0, was met by nobody."""
    rng = np.random.default_rng(0)
    group = np.append(np.arange(30) // 10, 0)
    return (np.eye(3)[group] + 0.3 * rng.normal(size=(31, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def events(blocks):
    return mm.data.Interactions(blocks.user, blocks.item, n_users=60, n_items=31)


@pytest.fixture(scope="module")
def cold(events, kinds):
    return TwoTower(**QUICK).fit(events, features=mm.data.Features({"image": kinds}))


def features(vectors, mask=None):
    return mm.data.Features({"image": vectors}, None if mask is None else {"image": mask})


# -- by hand -------------------------------------------------------------------------------------------------------
def tiny(**params):
    """A model that has looked at two users and two items, item 0 three times as popular as item 1; not yet trained."""
    train = mm.data.Interactions([0, 1, 2, 0], [0, 0, 0, 1], n_users=3, n_items=2)
    model = TwoTower(dim=1, l2=0, device="cpu", **params)
    model.seen_, model.popularity_ = train.to_csr(), np.array([3, 1], np.float32)
    (model.n_users_, model.n_items_), model._device = train.shape, torch.device("cpu")
    model._prepare(train, None)
    module = model._build(train, None)
    module.user.data[:], module.item.data[:] = torch.ones(3, 1), torch.zeros(2, 1)
    return model, module, (torch.tensor([1, 0]), torch.tensor([0, 1]))


def test_softmax_without_correction_by_hand():
    model, module, batch = tiny(log_q=False)
    assert model._loss(module, batch).item() == pytest.approx(math.log(2))  # all scores are 0, two items in the batch


def test_softmax_with_correction_by_hand():
    # item 0 is in the batch with probability 3/4: its weight is 4/3, that of item 1 is 4, together 16/3
    model, module, batch = tiny()
    assert model._loss(module, batch).item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)


def test_correction_undoes_the_push_against_popular_items():
    """All pairs, as popular as they are, in one batch of equal scores."""
    gradient = {}
    for log_q in (False, True):
        model, module, _ = tiny(log_q=log_q)
        batch = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 1])
        model._loss(module, batch).backward()
        gradient[log_q] = module.item.grad[:, 0]
    assert gradient[True][0] < gradient[False][0]
    assert gradient[True][1] > gradient[False][1]


def test_the_item_of_a_pair_is_left_out_of_the_history(blocks):
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    model = TwoTower(**QUICK, components=None, users="history")
    model.seen_, model.popularity_ = blocks.to_csr(), np.ones(30, np.float32)
    (model.n_users_, model.n_items_), model._device = blocks.shape, torch.device("cpu")
    has = np.arange(30) != model.seen_[[0]].indices[1]  # one item of user 0 has no vector
    model._prepare(blocks, features(vectors, has))
    module = model._build(blocks, None)
    mine = model.seen_[[0]].indices
    rest = [i for i in mine[1:] if has[i]]
    x = torch.from_numpy(prepare(features(vectors, has), None)["image"])
    expected = module.history[0](x[rest].mean(0))
    users, items = torch.tensor([0]), torch.tensor([int(mine[0])])
    torch.testing.assert_close(model._user_vectors(module, users, without=items)[0], expected)


def test_prepared_features():
    vectors = np.array([[1, 2, 3], [3, 2, 1], [5, 9, 2], [7, 7, 7]], np.float32)
    x = prepare(features(vectors, [True, True, True, False]), components=2)["image"]
    assert x.shape == (4, 2)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), [1, 1, 1, 0], rtol=1e-5)


# -- what content does ---------------------------------------------------------------------------------------------
def test_a_cold_item_is_placed_by_its_content(cold, events, kinds):
    scores = cold.score(np.arange(60))[:, 30].reshape(20, 3)  # user u is of group u % 3
    assert (scores[:, 0] > scores[:, 1:].max(axis=1)).mean() > 0.8
    other = kinds.copy()
    other[30] = kinds[10:20].mean(axis=0)  # the same item with a picture of group 1
    moved = TwoTower(**QUICK).fit(events, features=features(other)).score(np.arange(60))[:, 30].reshape(20, 3)
    assert (moved[:, 1] > moved[:, [0, 2]].max(axis=1)).mean() > 0.8


def test_a_cold_item_without_content_scores_nothing(events, kinds):
    model = TwoTower(**QUICK).fit(events, features=features(kinds, np.arange(31) < 30))
    assert not model.item_factors_[30].any()
    assert not TwoTower(**QUICK).fit(events).item_factors_[30].any()


def test_an_item_without_features_is_known_by_its_embedding(events, kinds):
    model = TwoTower(**QUICK).fit(events, features=features(kinds, np.arange(31) != 4))
    scores = model.score(np.arange(60))[:, 4].reshape(20, 3).mean(axis=0)
    assert scores[0] > scores[1:].max()


def test_content_alone_beats_noise(events, kinds):
    """On items of which each group met only a part, real vectors find the rest; random ones cannot."""
    hidden = np.isin(events.item % 10, [8, 9])
    train = events.select(~hidden)
    groups = np.arange(60) % 3

    def share(vectors):
        model = TwoTower(**QUICK, use_ids=False).fit(train, features=features(vectors))
        new = np.flatnonzero(np.isin(np.arange(31) % 10, [8, 9]))
        best = new[model.score(np.arange(60))[:, new].argmax(axis=1)]
        return (best // 10 == groups).mean()

    assert share(kinds) > 0.9
    assert share(np.random.default_rng(1).normal(size=kinds.shape)) < 0.6


def test_ids_alone_need_no_features(events):
    model = TwoTower(**QUICK).fit(events)
    assert model.history_factors_.shape == (0, 31, 8)
    assert model.histories == "fitted"


@pytest.mark.parametrize("params", [{"use_ids": False}, {"users": "history"}])
def test_content_alone_needs_features(events, params):
    with pytest.raises(DataError, match="fit\\(train, features"):
        TwoTower(**QUICK, **params).fit(events)


# -- people who are not among the users ----------------------------------------------------------------------------
def test_new_people_are_scored_by_their_histories(events, kinds, tmp_path):
    model = TwoTower(**QUICK, users="history").fit(events, features=features(kinds, np.arange(31) != 4))
    known = [model.seen_[[u]].indices for u in range(60)]
    np.testing.assert_allclose(model.score_histories(known), model.score(np.arange(60)), rtol=1e-3, atol=1e-4)
    again = mm.models.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score_histories([[1, 4], [4], []]), model.score_histories([[1, 4], [4], []]))
    assert not model.score_histories([[4]]).any()  # nothing is known of this thing


def test_new_people_get_what_their_history_resembles(cold):
    scores = cold.score_histories([[0, 1, 2], [10, 11, 12], [20, 21, 22]])
    for group in range(3):
        assert scores[group].argmax() in [*range(10 * group, 10 * group + 10), *([30] if group == 0 else [])]


def test_new_items_are_placed_where_there_is_content(blocks):
    model = mm.models.create("twotower", dim=4, epochs=1, device="cpu")
    assert not model.fit(blocks).scores_new_items
    features = mm.data.Features({"look": np.eye(30)})
    assert model.fit(blocks, features=features).scores_new_items
    assert not model.fit(blocks).scores_new_items


@pytest.mark.parametrize("fusion", [None, "gate"])
def test_content_alone_makes_the_vectors_of_items_without_embeddings(fusion, blocks, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"image": rng.normal(size=(30, 5)), "text": rng.normal(size=(30, 3))}
    features = mm.data.Features(arrays, mask={"text": np.arange(30) < 25})
    options = {"dim": 8, "epochs": 2, "fusion": fusion, "device": "cpu"}
    mm.models.create("twotower", use_ids=False, **options).fit(blocks, features).save(tmp_path / "m")
    model = mm.models.load(tmp_path / "m")
    content = {m: torch.from_numpy(x) for m, x in prepare(features, 128).items()}
    has = {m: torch.from_numpy(features.mask[m]) for m in content}
    np.testing.assert_allclose(model.item_content(content, has).detach(), model.item_factors_, atol=1e-6)
    text_only = model.item_content(content, has | {"image": torch.zeros(30, dtype=torch.bool)})
    assert (text_only[25:] == 0).all()
    with pytest.raises(ParameterError, match="learned from image, text"):
        model.item_content({"text": content["text"]}, has)
    with pytest.raises(ParameterError, match="no content at all"):
        mm.models.create("twotower", **options).fit(blocks).item_content(content, has)
