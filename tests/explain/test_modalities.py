"""Shapley values of modalities, weights, and gradients."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.explain.modalities import shapley
from mmrec_lib.models.multimodal import prepare

WORTHS = st.integers(1, 4).flatmap(lambda m: st.lists(st.integers(-9, 9), min_size=2**m, max_size=2**m))


@settings(max_examples=50, deadline=None)
@given(WORTHS)
def test_shapley_values_are_means_over_orders(worth):
    m = len(worth).bit_length() - 1
    sums, orders = np.zeros(m), list(itertools.permutations(range(m)))
    for order in orders:
        there = 0
        for player in order:
            sums[player] += worth[there | 1 << player] - worth[there]
            there |= 1 << player
    values = shapley(np.array(worth))
    np.testing.assert_allclose(values, sums / len(orders), atol=1e-9)
    assert values.sum() == pytest.approx(worth[-1] - worth[0])  # efficiency
    np.testing.assert_allclose(shapley(np.array([worth, worth]).T), np.array([values, values]).T, atol=1e-9)


def test_content_neighbours_by_hand():
    """Unscaled unit vectors: item 0 and 1 look the same and read at 0.6; item 2 looks like neither."""
    arrays = {"image": [[1.0, 0], [1, 0], [0, 1]], "text": [[1.0, 0], [0.6, 0.8], [0, 1]]}
    features = mm.data.Features(arrays)
    model = mm.models.create("contentknn", scale="none", weights={"text": 2.0})
    model.fit(mm.data.Interactions([0, 1], [1, 2], n_items=3), features)
    told = mm.explain.explain(model, 0, 0, features=features, how="modalities")
    assert told.contributions["name"].tolist() == ["text", "image"]
    np.testing.assert_allclose(told.contributions["value"], [1.2, 1.0], rtol=1e-6)
    assert told.sentence() == "What content says for item 0 comes from its text and image, in this order."
    assert told.sentence("zh") == "支持推荐物品0的内容依次是：文本和图像。"
    assert told.sentence(n=1) == "What content says for item 0 comes from its text alone."


@pytest.mark.parametrize(
    ("name", "how"), [("contentknn", None), ("contentprofile", "ridge"), ("contentprofile", "mean")]
)
@pytest.mark.parametrize("item", [3, 27])
def test_values_sum_to_the_score_of_content_models(name, how, item, fitted, features):
    model = fitted(name) if how is None else fitted(name, how=how)
    told = mm.explain.explain(model, 4, item, features=features, how="modalities")
    assert set(told.contributions["kind"]) == {"modality"}
    assert told.contributions["value"].sum() == pytest.approx(told.score, rel=1e-4, abs=1e-5)
    if item == 27:  # without a text
        assert told.contributions.set_index("name").loc["text", "value"] == pytest.approx(0, abs=1e-9)


def score_with(model, features, user, item, kept):
    """The score of the item with these modalities alone."""
    inputs = {m: torch.from_numpy(x[[item]]) for m, x in prepare(features, model.components).items()}

    def content(names):
        has = {m: torch.tensor([bool(m in names and features.mask[m][item])]) for m in inputs}
        return model.item_content(inputs, has).detach().numpy()[0]

    vector = model.item_factors_[item] - content(list(features)) + content(kept)
    return float(model.user_factors_[user] @ vector)


@pytest.mark.parametrize("fusion", [None, "gate", "tensor"])
def test_two_tower(fusion, fitted, features):
    model = fitted("twotower", fusion=fusion, use_ids=fusion != "gate")
    for item in (3, 27):
        told = mm.explain.explain(model, 4, item, features=features, how="modalities")
        values = told.contributions.set_index("name")["value"]
        worth = {s: score_with(model, features, 4, item, s) for s in [(), ("image",), ("text",), ("image", "text")]}
        image = (worth["image",] - worth[()] + worth["image", "text"] - worth["text",]) / 2
        assert values["image"] == pytest.approx(image, abs=1e-5)
        assert values["image"] + values["text"] == pytest.approx(worth["image", "text"] - worth[()], abs=1e-5)
        assert values.sum() == pytest.approx(told.score, abs=1e-5)
        assert ("the rest" in values) == (fusion != "gate")


def test_modalities_are_those_of_training(fitted, features):
    with pytest.raises(DataError, match="learned from image, text"):
        mm.explain.explain(fitted("twotower"), 4, 3, features=features.only("text"), how="modalities")
    with pytest.raises(ParameterError, match="give features"):
        mm.explain.explain(fitted("contentknn"), 4, 3, how="modalities")
    with pytest.raises(ParameterError, match="fitted anew"):
        mm.explain.explain(fitted("vbpr"), 4, 3, features=features, how="modalities")
    other = mm.data.Features({m: x[::-1].copy() for m, x in features.items()})
    with pytest.raises(DataError, match="not the item vectors"):
        mm.explain.explain(fitted("contentknn"), 4, 3, features=other, how="modalities")
    many = mm.data.Features({f"m{i}": np.ones((30, 1)) for i in range(13)})
    with pytest.raises(DataError, match="at most 12"):
        mm.explain.explain(fitted("contentknn"), 4, 3, features=many, how="modalities")


def test_weights_are_called_weights(fitted, features):
    model = fitted("twotower", fusion="gate", use_ids=False)
    told = mm.explain.explain(model, 4, 3, how="weights")
    weights = dict(zip(model.modalities_, model.modality_weights_[3], strict=True))
    assert told.contributions.set_index("name")["value"].to_dict() == pytest.approx(weights)
    assert set(told.contributions["kind"]) == {"weight"}
    assert not told.additive
    assert "weights, not causes" in told.sentence()
    with pytest.raises(ParameterError, match="no weights"):
        mm.explain.explain(fitted("twotower"), 4, 3, how="weights")


def test_gradients_of_a_linear_tower_are_its_terms(fitted, features):
    model = fitted("twotower")
    told = mm.explain.explain(model, 4, 3, features=features, how="gradients", modality="image", steps=1)
    x = prepare(features, model.components)["image"][3]
    terms = x * (model.user_factors_[4] @ model.tower_content_0_weight_)
    values = told.contributions.set_index("name")["value"]
    np.testing.assert_allclose([values[f"image {i}"] for i in range(5)], terms, atol=1e-6)
    assert told.sentence("zh").startswith("在物品3的图像向量中，图像")


@pytest.mark.parametrize("fusion", ["gate", "tensor"])
def test_gradients_are_complete(fusion, fitted, features):
    model = fitted("twotower", fusion=fusion, use_ids=fusion != "gate")
    told = mm.explain.explain(model, 4, 3, features=features, how="gradients", modality="text", steps=200)
    assert told.details["change"] != 0
    assert told.contributions["value"].sum() == pytest.approx(told.details["change"], rel=1e-2, abs=1e-5)
    with pytest.raises(ParameterError, match="modality='text'"):  # which item 27 lacks
        mm.explain.explain(model, 4, 27, features=features, how="gradients", modality="text")


@pytest.mark.parametrize("name", ["contentknn", "contentprofile", "twotower"])
def test_noise_is_worth_less_than_what_shows_the_group(name, blocks):
    rng = np.random.default_rng(0)
    look = np.eye(3)[np.arange(30) // 10] + rng.normal(scale=0.1, size=(30, 3))
    features = mm.data.Features({"look": look, "noise": rng.normal(size=(30, 6))})
    quick = {"dim": 8, "epochs": 10, "batch_size": 64, "learning_rate": 0.05, "use_ids": False, "device": "cpu"}
    model = mm.models.create(name, **(quick if name == "twotower" else {})).fit(blocks, features)
    sums = {"look": 0.0, "noise": 0.0}
    for user, item in model.recommend(np.arange(60), 1)[["user", "item"]].to_numpy():
        told = mm.explain.explain(model, user, int(item), features=features, how="modalities")
        for row in told.contributions.itertuples():
            sums[row.name] = sums.get(row.name, 0.0) + row.value
    assert sums["look"] > 2 * sums["noise"]
