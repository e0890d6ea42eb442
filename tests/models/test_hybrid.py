"""Hybrids: what is fitted on what, seeds, and that saved parts come back whole."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import ParameterError, UnknownNameError
from mmrec_lib.fusion import late
from mmrec_lib.models.hybrid import Hybrid

EVERYBODY = np.arange(60)
PARTS = {"ease": {"l2": 5}, "near": {"model": "itemknn", "k": 5}}
OPTIONS = {"switch": {"threshold": 7}, "cascade": {"k": 5}, "stacking": {"candidates": 10}}


@pytest.fixture(scope="module")
def two(blocks):
    split = mm.data.split(blocks, fractions=(0.7, 0.3, 0))
    return split.train, split.valid


@pytest.mark.parametrize("how", late.COMBINATIONS)
def test_hybrid_is_its_parts_and_a_combination(two, how, tmp_path):
    train, valid = two
    model = Hybrid(PARTS, how, OPTIONS.get(how)).fit(train, valid=valid)
    parts = {"ease": mm.models.create("ease", l2=5), "near": mm.models.create("itemknn", k=5)}
    for part in parts.values():
        part.fit(train)
    combination = late.create(how, parts, **OPTIONS.get(how, {})).fit(train, valid)
    np.testing.assert_array_equal(model.score(EVERYBODY), combination.score(EVERYBODY))
    again = mm.models.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score(EVERYBODY), model.score(EVERYBODY))
    assert list(again.models_) == ["ease", "near"]
    assert again.models_["near"].k == 5


@pytest.mark.parametrize("learner", ["boosting", "forest"])
def test_trees_survive_saving(two, learner, tmp_path):
    train, valid = two
    options = {"learner": learner, "candidates": 10, "learner_options": {"n_estimators": 5}}
    model = Hybrid(PARTS, "stacking", options).fit(train, valid=valid)
    assert model.combination_.bias_ is not None
    again = mm.models.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score(EVERYBODY), model.score(EVERYBODY))


def test_a_part_may_be_a_network_or_a_hybrid(blocks, tmp_path):
    network = {"model": "bpr", "dim": 4, "epochs": 2, "device": "cpu"}
    parts = {"inner": {"model": "hybrid", "parts": PARTS, "how": "borda"}, "network": network}
    model = Hybrid(parts).fit(blocks)
    assert len(model.models_["network"].history_) == 2
    again = mm.models.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score(EVERYBODY), model.score(EVERYBODY))
    assert len(again.models_["network"].history_) == 2


def test_without_validation_parts_are_fitted_on_everything_in_the_end(blocks):
    model = Hybrid(PARTS).fit(blocks)
    alone = mm.models.create("ease", l2=5).fit(blocks)
    np.testing.assert_array_equal(model.models_["ease"].score(EVERYBODY), alone.score(EVERYBODY))
    inner = mm.data.split(blocks, fractions=(0.9, 0.1, 0), seed=0)
    assert len(inner.valid) == 60
    expected = Hybrid(PARTS).fit(inner.train, valid=inner.valid).combination_.weights_
    np.testing.assert_array_equal(model.combination_.weights_, expected)
    assert model.combination_.parts == model.models_
    assert (model.combination_.seen_ != model.seen_).nnz == 0


def count_fits(monkeypatch):
    cls, fits = mm.models.get_class("ease"), []
    fit = cls._fit
    monkeypatch.setattr(cls, "_fit", lambda self, train, *rest: fits.append(len(train)) or fit(self, train, *rest))
    return fits


def test_parts_are_fitted_twice_only_where_there_is_something_to_learn(blocks, monkeypatch):
    fits = count_fits(monkeypatch)
    Hybrid(PARTS).fit(blocks)
    assert fits == [len(blocks) - 60, len(blocks)]
    for how, options in (("borda", None), ("weighted", {"weights": {"near": 1, "ease": 2}})):
        fits.clear()
        Hybrid(PARTS, how, options).fit(blocks)
        assert fits == [len(blocks)]
    fits.clear()
    Hybrid(PARTS).fit(mm.data.Interactions([0, 0, 1], [1, 2, 0]))  # too little to set something aside
    assert fits == [3]


def test_no_part_sees_what_the_combination_learns_on(blocks, monkeypatch):
    seen = []
    fit = late.WeightedSum.fit
    monkeypatch.setattr(late.WeightedSum, "fit", lambda self, t, v: seen.append((self, t, v)) or fit(self, t, v))
    Hybrid(PARTS).fit(blocks)
    ((_, train, valid),) = seen
    assert not set(train.keys()) & set(valid.keys())
    assert len(train) + len(valid) == len(blocks)


def test_the_better_part_gets_the_weight(blocks):
    model = Hybrid({"random": {}, "ease": {"l2": 5}}).fit(blocks)
    assert model.combination_.weights_[1] > model.combination_.weights_[0]


def test_features_reach_the_parts_that_need_them(blocks):
    assert Hybrid().needs_features
    assert not Hybrid(PARTS).needs_features
    vectors = np.eye(3)[np.arange(30) // 10] + 0.1 * np.random.default_rng(0).normal(size=(30, 3))
    model = Hybrid(how="cascade", options={"k": 10}).fit(blocks, features=mm.data.Features({"look": vectors}))
    assert list(model.models_) == ["ease", "contentknn"]
    assert model.models_["contentknn"].similarity_.nnz


def test_seed_goes_to_the_parts_that_name_none():
    parts = {"a": {"model": "random"}, "b": {"model": "random", "seed": 5}, "ease": {}}
    models = Hybrid(parts, seed=3)._make_parts()
    assert (models["a"].seed, models["b"].seed) == (3, 5)


def test_people_without_history_when_a_part_knows_them():
    events = mm.data.Interactions([0, 0, 1, 1], [0, 1, 1, 2], n_users=3, n_items=4)
    assert not Hybrid(PARTS).scores_new_users
    model = Hybrid({"ease": {}, "random": {}}, "switch", {"threshold": 1}).fit(events)
    np.testing.assert_array_equal(model.score([2]), model.models_["random"].score([2]))


@pytest.mark.parametrize("parts", [{}, ["ease"], {"ease": 3}, {"ease": {"l3": 1}}])
def test_bad_parts(parts):
    with pytest.raises(ParameterError):
        Hybrid(parts)


def test_bad_names():
    with pytest.raises(UnknownNameError, match="model 'mine'"):
        Hybrid({"mine": {}})
    with pytest.raises(UnknownNameError, match="combination"):
        Hybrid(how="shuffle")
    with pytest.raises(ParameterError, match="inner_fraction"):
        Hybrid(inner_fraction=1)


def test_new_items_are_placed_when_a_part_does():
    assert Hybrid({"ease": {}, "contentknn": {}}).scores_new_items
    assert not Hybrid({"ease": {}, "popularity": {}}).scores_new_items
