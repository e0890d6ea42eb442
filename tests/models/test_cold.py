"""Models for items that nobody has met: their formulas by hand, and what calibration must and must not do."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmrec_testing import found
from scipy import sparse
from sklearn.linear_model import Ridge

import mmrec_lib as mm
from mmrec_lib.errors import DataError, FeatureError, NotFittedError, ParameterError, UnknownNameError
from mmrec_lib.models import cold
from mmrec_lib.models.multimodal import prepare

EVERYBODY = np.arange(200)
NEW = slice(64, 80)
ALS = {"dim": 6, "l2": 2.0}
NEURAL = {"dim": 8, "epochs": 100, "learning_rate": 0.01, "device": "cpu"}
SMALL = types.MappingProxyType(
    {
        "coldmap": {"base_params": ALS},
        "clcrec": NEURAL | {"epochs": 30, "n_negatives": 8, "batch_size": 256},
        "categorypop": {"n_clusters": 8},
        "dropoutnet": NEURAL | {"base_params": ALS, "hidden": 16},
    }
)
SCALED = ("clcrec", "coldmap", "dropoutnet")


def make(name, **params):
    return mm.models.create(name, **SMALL.get(name, {}) | params)


# -- calibration ---------------------------------------------------------------------------------------------------
def test_same_length_by_hand():
    vectors = np.array([[3, 4], [0, 1], [0.5, 0], [0, 1.5]], np.float32)
    # known: lengths 5 and 1, mean 3; new: 0.5 and 1.5, mean 1
    expected = [[3, 4], [0, 1], [1.5, 0], [0, 4.5]]
    np.testing.assert_allclose(cold.same_length(vectors, np.array([True, True, False, False])), expected)


def test_same_spread_by_hand():
    # user 0 has seen item 0: of the known, 2 and 6 are left, mean 4 and deviation 2; new: mean 1, deviation 0.5
    scores = np.array([[9, 2, 6, 0.5, 1.5], [1, 1, 1, 3, 5]], np.float32)
    seen = sparse.csr_matrix(([1.0], ([0], [0])), shape=(2, 5))
    known = np.array([True, True, True, False, False])
    moved = cold.same_spread(scores, known, seen)
    np.testing.assert_allclose(moved, [[9, 2, 6, 2, 6], [1, 1, 1, 1, 1]])


def test_who_has_seen_everything_keeps_the_scores():
    scores = np.array([[2, 3, 7]], np.float32)
    seen = sparse.csr_matrix(np.array([[1.0, 1, 0]]))
    np.testing.assert_array_equal(cold.same_spread(scores, np.array([True, True, False]), seen), scores)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, (3, 8), elements=st.floats(-4, 4, width=16)), st.integers(1, 7))
def test_spread_keeps_known_scores_and_the_order_of_new_ones(scores, n_known):
    known = np.arange(8) < n_known
    moved = cold.same_spread(scores, known, sparse.csr_matrix((3, 8)))
    np.testing.assert_array_equal(moved[:, known], scores[:, known])
    before, after = scores[:, ~known], moved[:, ~known]
    larger = before[:, :, None] > before[:, None]
    assert (after[:, :, None] >= after[:, None])[larger].all()


@pytest.mark.parametrize("name", SCALED)
def test_calibration_keeps_known_scores_and_the_order_of_new_ones(name, shop):
    scores = {c: make(name, calibration=c).fit(shop.train, shop.features).score(EVERYBODY) for c in cold.CALIBRATIONS}
    plain = scores["none"]
    for scaled in (scores["length"], scores["spread"]):
        np.testing.assert_allclose(scaled[:, :64], plain[:, :64], rtol=1e-5, atol=1e-6)
        moved = np.take_along_axis(scaled[:, NEW], np.argsort(plain[:, NEW], axis=1), axis=1)
        assert (np.diff(moved, axis=1) >= -1e-5).all()
        assert (scaled != plain)[:, NEW].any()


def test_calibration_brings_up_what_regression_holds_back(shop):
    best = {
        c: make("coldmap", calibration=c).fit(shop.train, shop.features).score(EVERYBODY)[:, NEW].max(axis=1).mean()
        for c in cold.CALIBRATIONS
    }
    assert best["length"] > best["none"]
    assert best["spread"] > best["none"]


# -- what every model does with content ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(SMALL))
def test_content_places_items_that_nobody_met(name, shop):
    """Real vectors beat the same number of random ones, and find the kind of an item without a click."""
    noise = mm.evaluation.control_features(shop.features, "noise", seed=0)
    real, random = (found(make(name).fit(shop.train, features=f), shop) for f in (shop.features, noise))
    assert real > 0.6
    assert random < 0.4


@pytest.mark.parametrize("name", SCALED)
def test_without_any_content_the_clicks_remain(name, shop):
    nothing = mm.evaluation.control_features(shop.features, "none")
    scores = make(name).fit(shop.train, features=nothing).score(EVERYBODY)
    assert np.isfinite(scores).all()
    own = shop.kinds[:64] == EVERYBODY[:, None] % 4
    assert scores[:, :64][own].mean() > scores[:, :64].mean()


# -- ColdMap -------------------------------------------------------------------------------------------------------
def test_coldmap_keeps_the_base_for_known_items_and_regresses_the_new(shop):
    base = mm.models.create("als", **ALS).fit(shop.train)
    model = make("coldmap", l2=2.0, components=None).fit(shop.train, features=shop.features)
    np.testing.assert_array_equal(model.user_factors_, base.user_factors_)
    np.testing.assert_array_equal(model.item_factors_[:64], base.item_factors_[:64])
    x = np.concatenate(list(prepare(shop.features, None).values()), axis=1)
    expected = Ridge(alpha=2.0).fit(x[:64], base.item_factors_[:64]).predict(x[64:])
    np.testing.assert_allclose(model.item_factors_[64:], expected, atol=1e-4)


def test_coldmap_recovers_vectors_that_content_holds():
    """Item vectors are a linear function of the content, and the map finds it from a part of the items."""
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(400, 5)).astype(np.float32), rng.normal(size=(3, 5)).astype(np.float32)
    true = rng.normal(size=(5, 2)).astype(np.float32)
    vectors = x @ true
    for how, tolerance in (("ridge", 1e-3), ("mlp", 0.3)):
        mapped = make("coldmap", how=how, l2=1e-4)._map(x, vectors - vectors.mean(axis=0), new) + vectors.mean(axis=0)
        assert mapped.shape == (3, 2)
        assert np.abs(mapped - new @ true).mean() < tolerance


def first_clicks(pairs):
    users, items = zip(*pairs, strict=True)
    return mm.data.Interactions(users, items, n_users=200, n_items=80)


def test_warm_up_solves_for_clicks_around_content(shop):
    """The gradient of what is minimised is zero at the new vector; everything else stays."""
    model = make("coldmap", base_params=ALS | {"alpha": 4.0}).fit(shop.train, features=shop.features)
    clicks = first_clicks([(3, 70), (9, 70), (11, 75), (5, 2)])
    warm = model.warm_up(clicks, strength=3.0)
    people, typical = model.user_factors_.astype(float), model.popularity_[:64].mean()
    for item, clicked in ((70, [3, 9]), (75, [11])):
        w, y = len(clicked) / typical, np.isin(np.arange(200), clicked).astype(float)
        error = (w + 4 * y) * (people @ warm.item_factors_[item] - y)
        gradient = error @ people + 3 * (warm.item_factors_[item] - model.item_factors_[item])
        np.testing.assert_allclose(gradient, 0, atol=1e-4)
    others = np.setdiff1d(np.arange(80), [70, 75])
    np.testing.assert_array_equal(warm.item_factors_[others], model.item_factors_[others])
    assert model.seen_[3, 70] == 0  # a copy
    assert warm.seen_[3, 70] == 1
    assert warm.seen_.max() == 1


def test_warm_up_moves_towards_the_clicks_the_more_there_are(shop):
    model = make("coldmap").fit(shop.train, features=shop.features)
    wrong = np.flatnonzero(np.arange(200) % 4 == (shop.kinds[70] + 1) % 4)  # people of another kind click item 70
    likes = [model.score(wrong)[:, 70].mean()]
    for n in (1, 5, 25):
        likes.append(model.warm_up(first_clicks([(u, 70) for u in wrong[:n]])).score(wrong)[:, 70].mean())
    assert likes == sorted(likes)
    assert likes[-1] > likes[0] + 0.1
    held = model.warm_up(first_clicks([(u, 70) for u in wrong[:5]]), strength=1e6)
    np.testing.assert_allclose(held.item_factors_, model.item_factors_, atol=1e-3)


def test_warm_up_refuses(shop):
    with pytest.raises(NotFittedError):
        make("coldmap").warm_up(first_clicks([(0, 70)]))
    with pytest.raises(ParameterError, match="least squares"):
        make("coldmap", base="biasedmf", base_params=None).fit(shop.train, shop.features).warm_up(shop.train)
    model = make("coldmap").fit(shop.train, shop.features)
    with pytest.raises(DataError, match="one code"):
        model.warm_up(mm.data.Interactions([0], [0]))
    with pytest.raises(ParameterError, match="strength"):
        model.warm_up(shop.train, strength=0)


@pytest.mark.parametrize(
    ("base", "params"),
    [("bpr", {"dim": 8, "epochs": 20, "learning_rate": 0.05, "device": "cpu"}), ("biasedmf", {"dim": 3})],
)
def test_coldmap_takes_other_bases(base, params, shop):
    model = make("coldmap", base=base, base_params=params).fit(shop.train, features=shop.features)
    scores = mm.models.create(base, **params).fit(shop.train).score(EVERYBODY)[:, :64]
    gap = model.score(EVERYBODY)[:, :64] - scores
    np.testing.assert_allclose(gap, gap[:, :1] + np.zeros((1, 64)), atol=1e-4)  # a constant for each user


def test_coldmap_network_finds_the_kind(shop):
    assert found(make("coldmap", how="mlp").fit(shop.train, features=shop.features), shop) > 0.6


def test_coldmap_refuses_what_has_no_vectors(shop):
    with pytest.raises(ParameterError, match="no vectors"):
        make("coldmap", base="ease", base_params=None).fit(shop.train, features=shop.features)
    with pytest.raises(ParameterError, match="from content itself"):
        make("coldmap", base="coldmap", base_params=None)
    with pytest.raises(UnknownNameError):
        make("coldmap", base="magic")
    with pytest.raises(ParameterError, match="no parameter"):
        make("coldmap", base_params={"magic": 1})


# -- CategoryPopularity --------------------------------------------------------------------------------------------
# Items 0 and 1 are animals, 2 a plant, 3 a new animal, 4 a new plant, 5 a new one of neither kind.
KINDS = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [0, 1], [0, 0]])
CLICKS = mm.data.Interactions([0, 0, 1, 2, 3], [0, 1, 0, 0, 2], n_users=5, n_items=6)


def test_categorypop_by_hand():
    model = make("categorypop", smoothing=1.0).fit(CLICKS, features=mm.data.Features({"kind": KINDS}))
    # animals have 3 + 1 clicks, and 2 of the new one; the plant 1, and 1 of the new one
    np.testing.assert_allclose(model.item_factors_[:, 0], [3 / 6, 1 / 6, 0, 2 / 6, 0, 0])
    np.testing.assert_allclose(model.item_factors_[:, 1], [0, 0, 1 / 2, 0, 1 / 2, 0])
    # everybody's taste is 4/5 animals: one such item is added to two animals, to one plant, to nothing
    np.testing.assert_allclose(model.user_factors_[0], [2.8 / 3, 0.2 / 3, 0], atol=1e-6)
    np.testing.assert_allclose(model.user_factors_[3], [0.8 / 2, 1.2 / 2, 0], atol=1e-6)
    np.testing.assert_allclose(model.score([4])[0], [0.4, 0.8 / 6, 0.1, 1.6 / 6, 0.1, 0], atol=1e-6)


def test_categorypop_shares_an_item_of_several_categories():
    both = KINDS.copy()
    both[1] = 1
    model = make("categorypop").fit(CLICKS, features=mm.data.Features({"kind": both}))
    np.testing.assert_allclose(model.categories_[1], [0.5, 0.5, 0])


def test_categorypop_finds_the_categories_among_the_features(shop):
    kinds = np.eye(4)[shop.kinds]
    features = mm.data.Features({"look": shop.features["look"], "kind": kinds})
    model = make("categorypop").fit(shop.train, features=features)
    np.testing.assert_array_equal(model.categories_[:, :4], kinds)
    named = make("categorypop", modality="kind").fit(shop.train, features=features)
    np.testing.assert_array_equal(named.score(EVERYBODY), model.score(EVERYBODY))
    assert found(model, shop) == 1


def test_categorypop_clusters_hold_items_that_are_known(shop):
    model = make("categorypop", n_clusters=30).fit(shop.train, features=shop.features)
    assert (model.categories_[:64, :-1].sum(axis=0) > 0).all()


def test_categorypop_without_any_content_is_popularity(shop):
    model = make("categorypop").fit(shop.train, mm.evaluation.control_features(shop.features, "none"))
    expected = model.popularity_ / model.popularity_[:64].sum()
    np.testing.assert_allclose(model.score([0])[0, :64] / model.score([0])[0, :64].sum(), expected[:64], rtol=1e-5)
    assert np.unique(model.score(EVERYBODY)[:, NEW]).size == 1


def test_categorypop_refuses_other_numbers(shop):
    with pytest.raises(FeatureError, match="ones and zeros"):
        make("categorypop", modality="look").fit(shop.train, features=shop.features)
    with pytest.raises(ParameterError, match="features have look, words"):
        make("categorypop", modality="sound").fit(shop.train, features=shop.features)


# -- DropoutNet ----------------------------------------------------------------------------------------------------
def test_dropoutnet_without_dropout_is_the_base_again(shop):
    model = make("dropoutnet", dropout=0, input_dropout=0).fit(shop.train, features=shop.features)
    base = mm.models.create("als", **ALS).fit(shop.train).score(EVERYBODY)[:, :64]
    assert np.corrcoef(model.score(EVERYBODY)[:, :64].ravel(), base.ravel())[0, 1] > 0.95


def test_dropoutnet_learns_from_content_because_vectors_are_hidden(shop):
    hidden, shown = (make("dropoutnet", dropout=d).fit(shop.train, features=shop.features) for d in (0.5, 0.0))
    assert found(hidden, shop) > found(shown, shop) + 0.05


def test_replacement_by_hand():
    net = cold.Replacement(length=2, width=1, hidden=3, dim=2, dropout=0.0)
    for layer in (net.network[1], net.network[3]):
        torch.nn.init.constant_(layer.weight, 0.5)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.eye_(net.vector.weight)
    made = net.item(torch.tensor([[1.0, 2.0], [0, 0]]), torch.tensor([[1.0], [0]]), torch.tensor([[4.0], [4.0]]))
    with_vector, without = 1.5 * np.tanh(0.5 * (1 + 2 + 1 + 4)), 1.5 * np.tanh(0.5 * 4)
    expected = [[1 + with_vector, 2 + with_vector], [without, without]]
    np.testing.assert_allclose(made.detach().numpy(), expected, rtol=1e-6)


# -- CLCRec --------------------------------------------------------------------------------------------------------
def test_clcrec_scores_known_items_by_embedding_and_new_ones_by_content(shop):
    model = make("clcrec", epochs=1)
    caught = {}
    build = model._build
    model._build = lambda train, features: caught.setdefault("module", build(train, features))
    model.fit(shop.train, features=shop.features)
    module = caught["module"].eval()
    read = module.read().detach().numpy()
    np.testing.assert_allclose(model.item_factors_[:64], module.item.detach().numpy()[:64])
    np.testing.assert_allclose(model.item_factors_[64:], read[64:])
    x = prepare(shop.features, None)
    by_hand = sum(x[m] @ layer.weight.detach().numpy().T for m, layer in zip(x, module.maps, strict=True))
    np.testing.assert_allclose(read, by_hand, atol=1e-5)


def test_clcrec_learns_content_by_agreement_alone_too(shop):
    params = {"mix": 0.0, "content_loss": 1.0}
    taught, untaught = [], []
    for seed in range(6):  # four groups agree with a random map by luck, in one direction or the other
        taught.append(found(make("clcrec", seed=seed, **params).fit(shop.train, shop.features), shop))
        without = make("clcrec", seed=seed, **params | {"content_loss": 0.0})
        untaught.append(found(without.fit(shop.train, shop.features), shop))
    assert np.mean(taught) > 0.5
    assert np.mean(untaught) < 0.45
