"""Taking modalities away, and filling them in: what is known stays, and what is filled comes close to the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.data import Features
from mmrec_lib.errors import FeatureError, NotFittedError, ParameterError, UnknownNameError
from mmrec_lib.fusion import missing, missing_networks
from mmrec_lib.fusion.missing import available_imputers, drop_modality, impute, reconstruction

QUICK = {"autoencoder": {"epochs": 3}, "gan": {"epochs": 3}}


def linear(n: int = 300, noise: float = 0.2, seed: int = 0) -> Features:
    """B is a linear function of A plus noise; the best possible R^2 is about 1 / (1 + noise^2)."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, 10))
    b = a @ rng.normal(size=(10, 6)) / np.sqrt(10) + noise * rng.normal(size=(n, 6))
    return Features({"A": 3 * a + 2, "B": 5 * b + 1})


def gappy(n: int = 40) -> Features:
    """Three modalities; item 0 has none, item 1 has all."""
    rng = np.random.default_rng(1)
    mask = {m: rng.random(n) < 0.6 for m in "ABC"}
    for has in mask.values():
        has[0], has[1] = False, True
    return Features({m: rng.normal(size=(n, d)) for m, d in zip("ABC", (3, 5, 2), strict=True)}, mask)


# -- removal -------------------------------------------------------------------------------------------------------


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5), st.booleans())
@settings(max_examples=30, deadline=None)
def test_removals_are_nested_and_of_the_right_size(first, second, seed, joint):
    features, (small, large) = gappy(), sorted((first, second))
    less, more = (drop_modality(features, share, seed=seed, joint=joint) for share in (small, large))
    for m in features:
        assert not (more.mask[m] & ~less.mask[m]).any()  # what is left at the larger share is left at the smaller
        assert not (less.mask[m] & ~features.mask[m]).any()
        if not joint:
            assert less.mask[m].sum() == features.mask[m].sum() - round(small * features.mask[m].sum())
        np.testing.assert_array_equal(less[m][less.mask[m]], features[m][less.mask[m]])


def test_one_modality_loses_the_same_whatever_else_does():
    features = gappy()
    alone, both = drop_modality(features, 0.5, "A"), drop_modality(features, 0.5, ["B", "A"])
    assert (alone.mask["A"] == both.mask["A"]).all()
    assert (alone.mask["B"] == features.mask["B"]).all()
    assert (drop_modality(features, 0.5, "A", seed=1).mask["A"] != alone.mask["A"]).any()


def test_joint_removal_takes_all_from_the_same_items():
    left = drop_modality(linear(40), 0.25, joint=True)
    assert (left.mask["A"] == left.mask["B"]).all()
    assert left.mask["A"].sum() == 30
    apart = drop_modality(linear(40), 0.25)
    assert (apart.mask["A"] != apart.mask["B"]).any()


# -- filling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", available_imputers())
def test_present_rows_are_unchanged_and_empty_items_stay_masked(how):
    features = gappy()
    filled = impute(features, how, **QUICK.get(how, {}))
    anything = np.any(list(features.mask.values()), axis=0)
    assert not anything[0]
    assert list(filled) == list(features)
    for m in features:
        assert (filled.mask[m] == anything).all()
        known = features.mask[m]
        assert filled[m][known].tobytes() == features[m][known].tobytes()
        assert not filled[m][0].any()
    again = impute(features, how, **QUICK.get(how, {}))
    assert all(filled[m].tobytes() == again[m].tobytes() for m in features)


@pytest.mark.parametrize("how", ["autoencoder", "gan"])
def test_seeds_matter_and_the_callers_generators_do_not(how):
    import torch

    features = gappy()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = impute(features, how, **QUICK[how])
    assert torch.equal(before, torch.random.get_rng_state())
    other = impute(features, how, seed=1, **QUICK[how])
    assert not np.array_equal(first["A"], other["A"])


def test_linear_relation_is_found_by_those_that_learn():
    features = linear()
    r2 = {how: reconstruction(features, how).loc[("B", how), "r2"] for how in available_imputers()}
    assert abs(r2["mean"]) < 0.1
    assert 0.2 < r2["knn"] < min(r2["ridge"], r2["autoencoder"], r2["gan"]) - 0.05
    assert min(r2["ridge"], r2["autoencoder"], r2["gan"]) > 0.75


def test_nothing_is_found_where_nothing_is():
    rng = np.random.default_rng(0)
    features = Features({"A": rng.normal(size=(200, 5)), "B": rng.normal(size=(200, 5))})
    for how in ("ridge", "autoencoder"):
        assert reconstruction(features, how)["r2"].max() < 0.1


def test_mean_and_ridge_by_hand():
    a = np.array([[0.0], [1], [2], [3], [9]])
    features = Features({"A": a, "B": 2 * a + 1}, {"B": [True, True, True, True, False]})
    assert impute(features, "mean")["B"][4] == pytest.approx([4])
    assert impute(features, "ridge", alpha=1e-9)["B"][4] == pytest.approx([19], abs=1e-3)


def test_every_combination_is_served_by_one_map():
    """C = A + B: with one of the two missing, the best guess is the other plus the mean of what is missing."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 1, size=(2, 4000, 1))
    mask = {"A": np.arange(4000) % 4 != 1, "B": np.arange(4000) % 4 != 2, "C": np.arange(4000) >= 40}
    filled = impute(Features({"A": a, "B": b, "C": a + b}, mask), "ridge")["C"]
    both = filled[:40][(mask["A"] & mask["B"])[:40]]
    np.testing.assert_allclose(both, (a + b)[:40][(mask["A"] & mask["B"])[:40]], atol=1.0)
    only_a = np.flatnonzero(~mask["B"])[:10]
    assert np.corrcoef(filled[only_a, 0], a[only_a, 0])[0, 1] > 0.95
    assert abs((filled[only_a] - a[only_a]).mean() - 3) < 0.5


def test_knn_is_that_of_data_impute():
    features = gappy()
    ours, theirs = impute(features, "knn", neighbours=3), mm.data.impute(features, "knn", 3)
    for m in features:  # an item with nothing to be filled from has the mean there, and stays masked here
        np.testing.assert_array_equal(ours[m][ours.mask[m]], theirs[m][ours.mask[m]])
        assert not ours[m][~ours.mask[m]].any()


@pytest.mark.parametrize("name", available_imputers())
def test_what_was_learned_fills_other_items(name):
    cls = missing._class(name)
    model = cls(**QUICK.get(name, {}))
    with pytest.raises(NotFittedError):
        model.transform(linear(5))
    assert model.fit(linear(60)) is model
    new = Features({"A": np.ones((3, 10)), "B": np.ones((3, 6))}, {"B": [True, False, True], "A": [True, True, False]})
    filled = model.transform(new)
    assert filled.mask["B"].all()
    assert filled.mask["A"].all()
    assert filled["B"][0].tolist() == [1] * 6
    full = linear(4)
    assert model.transform(full) is full
    with pytest.raises(FeatureError, match="learned from"):
        model.transform(full.only("A"))


def test_components_and_the_way_back():
    x = linear(50)["A"]
    np.testing.assert_allclose(missing.Code(x).decode(missing.Code(x).encode(x)), x, atol=1e-4)
    code = missing.Code(x, components=64)
    assert code.size == 10
    np.testing.assert_allclose(code.decode(code.encode(x)), x, atol=1e-4)
    assert (code.encode(x) ** 2).mean() == pytest.approx(1, rel=1e-4)
    flat = missing.Code(np.full((5, 3), 0.1), components=2)
    np.testing.assert_allclose(flat.decode(flat.encode(np.full((2, 3), 0.1))), 0.1, atol=1e-6)


def test_reconstruction_says_what_it_measured():
    table = reconstruction(linear(100), ["knn", "ridge"], share=0.3)
    assert table.index.tolist() == [(m, how) for m in "AB" for how in ("mean", "knn", "ridge")]
    hidden = drop_modality(linear(100), 0.3)
    assert (table.loc["A", "n_items"] == (~hidden.mask["A"] & hidden.mask["B"]).sum()).all()
    assert (table["cosine"].between(-1, 1)).all()
    same = reconstruction(linear(100), "knn", share=0.3, options={"knn": {"neighbours": 1}})
    assert (same.xs("knn", level="how")["cosine"] != table.xs("knn", level="how")["cosine"]).all()
    with pytest.raises(UnknownNameError, match="ridge"):
        reconstruction(linear(100), "knn", options={"ridge": {"alpha": 1}})


def test_one_modality_alone_and_nothing_missing():
    alone = drop_modality(linear(20).only("A"), 0.5)
    for how in available_imputers():
        assert impute(alone, how) is alone
    full = linear(30)
    assert impute(full, "ridge") is full


def test_errors():
    features = gappy()
    with pytest.raises(UnknownNameError, match="imputer"):
        impute(features, "magic")
    with pytest.raises(ParameterError, match="no option 'depth'"):
        impute(features, "ridge", depth=3)
    with pytest.raises(ParameterError, match="no option"):
        impute(features, "mean", self=3)
    for bad in ({"share": 1.2}, {"share": float("nan")}, {"share": 0.5, "seed": -1}):
        with pytest.raises(ParameterError):
            drop_modality(features, **bad)
    with pytest.raises(UnknownNameError):
        drop_modality(features, 0.5, "smell")
    with pytest.raises(FeatureError, match="no item has a vector"):
        impute(drop_modality(features, 1, "A"), "mean")
    apart = Features({"A": np.ones((4, 2)), "B": np.ones((4, 2))}, {"A": [1, 1, 0, 0], "B": [0, 0, 1, 1]})
    for how in ("knn", "ridge", "autoencoder", "gan"):
        with pytest.raises(FeatureError, match="two modalities"):
            impute(apart, how)
    for cls, options in (
        (missing.KNNImputer, {"neighbours": 0}),
        (missing.RidgeImputer, {"alpha": 0}),
        (missing_networks.AutoencoderImputer, {"components": 0}),
        (missing_networks.GANImputer, {"hint": 2}),
        (missing_networks.GANImputer, {"alpha": -1}),
    ):
        with pytest.raises(ParameterError):
            cls(**options)
