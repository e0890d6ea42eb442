"""Models that learn from clicks and content: their formulas by hand, and what content must and must not do."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from mmrec_testing import found
from sklearn.linear_model import Ridge

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.models import multimodal
from mmrec_lib.models.content import joined
from mmrec_lib.training.graph import SparseMatrix, mean_of_layers, normalise

NAMES = ("vbpr", "deepstyle", "fm", "mmgcn", "grcn", "lattice", "freedom", "mgcn", "bm3", "slmrec", "mmvae", "diffmm")
SMALL = {"dim": 8, "epochs": 15, "batch_size": 256, "learning_rate": 0.03, "device": "cpu"}
OWN = types.MappingProxyType(
    {
        "bm3": {"epochs": 60},
        "mmvae": {"hidden": 32, "epochs": 60, "batch_size": 64},
        "diffmm": {"hidden": 16, "diffusion_epochs": 3},
        "slmrec": {"epochs": 30},
        "mmgcn": {"epochs": 40},
    }
)


def make(name, **params):
    return mm.models.create(name, **SMALL | OWN.get(name, {}) | params)


# -- vectors and graphs of the content -----------------------------------------------------------------------------
def test_what_is_remembered_depends_on_content_and_settings():
    calls = []

    def work(x, n):
        calls.append(n)
        return x * n

    x = np.arange(3.0)
    assert multimodal.remembered(work, (x,), 2) is multimodal.remembered(work, (x.copy(),), 2)
    multimodal.remembered(work, (x,), 3)
    x[0] = 7
    assert multimodal.remembered(work, (x,), 2)[0] == 14
    assert calls == [2, 3, 2]


def test_few_results_are_kept():
    for n in range(40):
        multimodal.remembered(_double, (np.array([n]),))
    assert len(multimodal._kept) <= 16


def _double(x):
    return 2 * x


def test_item_graph_by_hand():
    """Items 0 and 1 point one way, 2 and 3 another, 4 has no medium: two pairs of neighbours, nothing else."""
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], np.float32)
    graph = multimodal.item_graph(vectors, k=1).toarray()
    expected = np.zeros((5, 5))
    expected[[0, 1, 2, 3], [1, 0, 3, 2]] = 1
    np.testing.assert_allclose(graph, expected)


@pytest.mark.parametrize("n", [1, 3])
def test_item_graph_of_a_tiny_catalogue(n):
    graph = multimodal.item_graph(np.eye(n, 2, dtype=np.float32) + 0.1, k=10)
    assert graph.shape == (n, n)
    assert not graph.diagonal().any()


def test_many_dimensions_are_reduced_as_well_by_chance_directions():
    rng = np.random.default_rng(0)
    wide = (rng.normal(size=(60, 3)) @ rng.normal(size=(3, 1100))).astype(np.float32)
    reduced = mm.models.multimodal.prepare(mm.data.Features({"look": wide}), 3)["look"]
    assert reduced.shape == (60, 3)
    full = mm.models.multimodal.prepare(mm.data.Features({"look": wide}), None)["look"]
    np.testing.assert_allclose(reduced @ reduced.T, full @ full.T, atol=1e-3)


# -- what every model does with content ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_content_places_items_that_nobody_met(name, shop):
    """Real vectors beat the same number of random ones, and find the kind of an item without a click."""
    noise = mm.evaluation.control_features(shop.features, "noise", seed=0)
    real, random = (found(make(name).fit(shop.train, features=f), shop) for f in (shop.features, noise))
    assert real > 0.5
    assert random < 0.33


@pytest.mark.parametrize("name", NAMES)
def test_without_any_content_the_clicks_remain(name, shop):
    nothing = mm.evaluation.control_features(shop.features, "none")
    model = make(name).fit(shop.train, features=nothing)
    scores = model.score(np.arange(200))
    assert np.isfinite(scores).all()
    known = scores[:, :64]
    own = known[shop.kinds[:64] == np.arange(200)[:, None] % 4].mean()
    assert own > known.mean()


@pytest.mark.parametrize("name", NAMES)
def test_content_is_no_parameter_and_not_saved(name, shop):
    model = make(name, epochs=1)
    model._device = torch.device("cpu")
    shop_train = shop.train
    model.n_users_, model.n_items_ = shop_train.shape
    model.seen_ = shop_train.to_csr()
    model.popularity_ = np.bincount(model.seen_.indices, minlength=80).astype(np.float32)
    model._prepare(shop_train, shop.features)
    module = model._build(shop_train, shop.features)
    content = {x.data_ptr() for x in model._content.values()}
    assert not content & {p.data_ptr() for p in [*module.parameters(), *module.buffers()]}
    assert all(len(x.shape) < 2 or x.shape != next(iter(model._content.values())).shape for x in module.parameters())


def test_same_modalities_in_another_order_make_the_same_ranking_quality(shop):
    turned = shop.features.only("words", "look")
    a, b = (found(make("freedom").fit(shop.train, features=f), shop) for f in (shop.features, turned))
    assert abs(a - b) < 0.1


def test_graph_at_test_smooths_the_vectors_once_more(shop):
    plain = make("vbpr").fit(shop.train, features=shop.features)
    smooth = make("vbpr", graph_at_test=2).fit(shop.train, features=shop.features)
    graph = SparseMatrix(normalise(plain.seen_))
    users, items = mean_of_layers(
        torch.from_numpy(plain.user_factors_), torch.from_numpy(plain.item_factors_), graph, 2
    )
    np.testing.assert_allclose(smooth.user_factors_, users.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(smooth.item_factors_, items.numpy(), rtol=1e-4, atol=1e-6)


def test_maps_learn_at_their_own_rate(shop):
    model = prepared("freedom", shop, learning_rate=0.02, map_rate=0.1)
    module = model._build(shop.train, shop.features)
    rates = {id(p): group["lr"] for group in model._optimizer(module).param_groups for p in group["params"]}
    assert rates.keys() == {id(p) for p in module.parameters()}
    assert {rates[id(module.user)], rates[id(module.item)]} == {0.02}
    assert all(rates[id(p)] == pytest.approx(0.002) for p in module.maps.parameters())


def test_modality_dropout_hides_in_training_only(shop):
    model = prepared("vbpr", shop, modality_dropout=0.5)
    module = model._build(shop.train, shop.features)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden = [p.mean() / has.mean() for p, has in zip(module.present(), module.has, strict=True)]
    assert all(0.3 < share < 0.7 for share in hidden)
    module.eval()
    assert all(p is has for p, has in zip(module.present(), module.has, strict=True))


def prepared(name, shop, **params):
    model = make(name, **params)
    model._device = torch.device("cpu")
    model.n_users_, model.n_items_ = shop.train.shape
    model.seen_ = shop.train.to_csr()
    model.popularity_ = np.bincount(model.seen_.indices, minlength=80).astype(np.float32)
    model._prepare(shop.train, shop.features)
    return model


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("vbpr", {"components": 0}),
        ("vbpr", {"modality_dropout": 1.0}),
        ("vbpr", {"map_rate": 0}),
        ("vbpr", {"graph_at_test": -1}),
        ("deepstyle", {"n_categories": 0}),
        ("mmgcn", {"layers": 0}),
        ("grcn", {"routing": -1}),
        ("lattice", {"keep": 1.5}),
        ("freedom", {"edge_dropout": 1.0}),
        ("freedom", {"weights": {"look": -1}}),
        ("mgcn", {"temperature": 0}),
        ("bm3", {"dropout": 1.0}),
        ("slmrec", {"hidden_share": 1.0}),
        ("mmvae", {"beta": -1}),
        ("diffmm", {"noise": 0}),
        ("diffmm", {"steps": 0}),
        ("contentprofile", {"how": "median"}),
        ("contentprofile", {"l2": 0}),
        ("sideease", {"content": -1}),
    ],
)
def test_wrong_values_are_refused(name, params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        mm.models.create(name, **params)


def test_features_are_needed(shop):
    with pytest.raises(DataError, match="features"):
        make("vbpr").fit(shop.train)


# -- formulas ------------------------------------------------------------------------------------------------------
def test_vbpr_is_its_formula(shop):
    model = prepared("vbpr", shop)
    module = model._build(shop.train, shop.features)
    torch.nn.init.normal_(module.bias)
    users, items = module()
    u, i = 3, 7
    content = sum(layer(x[i]) for layer, x in zip(module.maps, model._content.values(), strict=True))
    beta = sum(layer(x[i]) for layer, x in zip(module.content_bias, model._content.values(), strict=True))
    by_hand = module.user[u] @ module.item[i] + module.taste[u] @ content + module.bias[i] + beta
    torch.testing.assert_close(users[u] @ items[i], by_hand[0])


def test_factorisation_machine_is_the_sum_over_all_pairs(shop):
    """Fields: the user (without features of its own), the item, and each dimension of the content."""
    model = prepared("fm", shop)
    module = model._build(shop.train, shop.features)
    torch.nn.init.normal_(module.bias)
    users, items = module()
    u, i = 5, 11
    vectors = [module.user[u], module.item[i]]
    values = [torch.tensor(1.0), torch.tensor(1.0)]
    linear = module.bias[i, 0]
    for layer, flat, x in zip(module.maps, module.content_bias, model._content.values(), strict=True):
        vectors += list(layer.weight.T)
        values += list(x[i])
        linear = linear + (flat.weight[0] * x[i]).sum()
    pairs = sum(values[a] * values[b] * (vectors[a] @ vectors[b]) for a in range(len(values)) for b in range(a))
    torch.testing.assert_close(users[u] @ items[i], linear + pairs, rtol=1e-4, atol=1e-5)


def test_deepstyle_takes_the_category_away(shop):
    onehot = np.eye(4, dtype=np.float32)[shop.kinds]
    features = mm.data.Features({"look": shop.features["look"], "category": onehot}, {"category": np.arange(80) > 0})
    model = make("deepstyle")
    model._device = torch.device("cpu")
    other = types.SimpleNamespace(train=shop.train, features=features)
    model = prepared("deepstyle", other)
    assert list(model._content) == ["look"]
    module = model._build(shop.train, features)
    _, items = module()
    shown = module.maps[0](model._content["look"])
    torch.testing.assert_close(items[6], module.item[6] + shown[6] - module.category[2])
    torch.testing.assert_close(items[0], module.item[0] + shown[0])  # its category is not known


def test_freedom_thins_out_popular_edges_first(shop):
    model = prepared("freedom", shop, edge_dropout=0.5)
    kept = np.zeros(model.seen_.nnz)
    for seed in range(200):
        graph = model._thinned(np.random.default_rng(seed))
        dense = (graph @ torch.eye(80)).numpy() > 0
        assert dense.sum() == round(model.seen_.nnz / 2)
        kept += dense[model.seen_.nonzero()]
    weight = normalise(model.seen_).data
    assert np.corrcoef(kept, weight)[0, 1] > 0.5


def test_freedom_scores_with_all_edges(shop):
    model = make("freedom", epochs=2).fit(shop.train, features=shop.features)
    full = prepared("freedom", shop)
    module = full._build(shop.train, shop.features)
    module.thinned = full._thinned(np.random.default_rng(0))
    training = module()[0]
    module.eval()
    assert (module()[0] - training).abs().max() > 1e-4
    assert model._module is None  # nothing of the training stays


def test_lattice_with_raw_graphs_alone_gathers_over_them(shop):
    model = prepared("lattice", shop, keep=1.0, layers=0)
    module = model._build(shop.train, shop.features)
    _, items = module()
    graphs = [multimodal.item_graph(x, 10).toarray() for x in model._vectors.values()]
    own = module.item.detach().numpy()
    np.testing.assert_allclose(items.detach().numpy(), own + sum(g @ own for g in graphs) / 2, atol=1e-6)


def test_lattice_learns_its_second_graph(shop):
    module = prepared("lattice", shop, keep=0.5)._build(shop.train, shop.features)
    module()[1].square().sum().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in module.maps)


def test_product_of_experts_by_hand(shop):
    """Precisions add up, the standard normal one included; an expert without content is left out."""
    model = prepared("mmvae", shop)
    module = model._build(shop.train, shop.features).eval()
    rows = torch.zeros(1, 80)
    rows[0, 5] = 1  # an item without words: two experts speak
    inputs = [
        torch.nn.functional.normalize(rows),
        *(torch.nn.functional.normalize(rows @ x) for x in module._inputs[0]),
    ]
    outputs = [expert(x).chunk(2, dim=1) for expert, x in zip(module.experts, inputs, strict=True)][:2]
    precision = 1 + sum((-v).exp() for _, v in outputs)
    mean, log_variance = module.posterior(rows)
    torch.testing.assert_close(mean, sum(m * (-v).exp() for m, v in outputs) / precision)
    torch.testing.assert_close(log_variance, -precision.log())


def test_diffusion_keeps_the_variance_it_says(shop):
    from mmrec_lib.models.generative import Restorer

    restorer = Restorer(500, 4, steps=4, noise=0.4)
    assert restorer.shares == pytest.approx([0.1, 0.2, 0.3, 0.4])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noisy, steps = restorer.noisy(torch.zeros(400, 500))
    for step, share in enumerate(restorer.shares):
        assert noisy[steps == step].var().item() == pytest.approx(share, rel=0.05)


def test_ease_with_content_is_ease_on_stacked_rows(shop):
    """Content rows are further users: the closed form must be that of the stacked matrix."""
    model = mm.models.create("sideease", l2=3.0, content=2.0).fit(shop.train, features=shop.features)
    f = joined(shop.features)
    stacked = np.concatenate([model.seen_.toarray(), np.sqrt(2.0) * f.T]).astype(float)
    inverse = np.linalg.inv(stacked.T @ stacked + 3.0 * np.eye(80))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(model.weights_, expected, atol=2e-4)


def test_ease_without_weight_on_content_is_ease(shop):
    a = mm.models.create("sideease", l2=3.0, content=0.0).fit(shop.train, features=shop.features)
    b = mm.models.create("ease", l2=3.0).fit(shop.train)
    np.testing.assert_allclose(a.weights_, b.weights_, atol=1e-6)


def test_ridge_profile_is_a_ridge_regression_for_each_user(shop):
    model = mm.models.create("contentprofile", l2=5.0).fit(shop.train, features=shop.features)
    x = joined(shop.features, unit=False)
    for user in (0, 17):
        ridge = Ridge(alpha=5.0, fit_intercept=False).fit(x, model.seen_[[user]].toarray()[0])
        np.testing.assert_allclose(model.score([user])[0], x @ ridge.coef_, atol=1e-4)


def test_mean_profile_is_a_sum_of_cosines(shop):
    model = mm.models.create("contentprofile", how="mean", weights={"words": 4.0}).fit(
        shop.train, features=shop.features
    )
    user, item = 3, 70
    total = 0.0
    for modality, weight in (("look", 1.0), ("words", 4.0)):
        x = joined(shop.features.only(modality))
        profile = x[model.seen_[[user]].indices].sum(axis=0)
        total += weight**0.5 * float(profile / np.linalg.norm(profile) @ x[item])
    np.testing.assert_allclose(model.score([user])[0, item], total, rtol=1e-4)


@pytest.mark.parametrize("params", [{"l2": 3.0}, {"how": "mean"}])
def test_profiles_place_items_that_nobody_met(params, shop):
    noise = mm.evaluation.control_features(shop.features, "noise", seed=0)
    real, random = (
        found(mm.models.create("contentprofile", **params).fit(shop.train, features=f), shop)
        for f in (shop.features, noise)
    )
    assert real > 0.6
    assert random < 0.4


def test_new_items_are_no_negatives(shop):
    model = prepared("vbpr", shop, n_negatives=3, negatives="popularity")
    drawn = torch.cat([batch[2].flatten() for batch in model._batches(np.random.default_rng(0), 1)])
    assert set(drawn.tolist()) == set(np.flatnonzero(model.popularity_))
    users = torch.cat([batch[0] for batch in model._batches(np.random.default_rng(0), 1)]).numpy()
    assert not model._sampler.is_positive(np.repeat(users, 3), drawn.numpy()).any()  # here nothing is renumbered
    loss = model._rank_loss(torch.zeros(2), torch.zeros(2, 1), torch.tensor([0, 1]), torch.tensor([[2], [3]]))
    assert torch.isfinite(loss)


@pytest.mark.parametrize("operator", ["gate", "scalar", "selfattention"])
def test_two_towers_with_a_fusion_operator(operator, shop):
    params = SMALL | {"use_ids": False, "users": "ids", "fusion": operator, "epochs": 30}
    model = mm.models.create("twotower", **params).fit(shop.train, features=shop.features)
    weights = model.modality_weights_
    assert model.modalities_ == ["look", "words"]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert not weights[~shop.features.mask["words"], 1].any()
    assert found(model, shop) > 0.6


def test_two_towers_name_the_operators_that_there_are():
    with pytest.raises(mm.errors.UnknownNameError, match="gate"):
        mm.models.create("twotower", fusion="gates")
