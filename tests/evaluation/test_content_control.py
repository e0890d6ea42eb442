"""Controls tell a model that uses content from one that does not, and curves follow what is missing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrec_testing import Table

import mmrec_lib as mm
from mmrec_lib.data import Features
from mmrec_lib.errors import DataError, FeatureError, ParameterError, UnknownItemError, UnknownNameError
from mmrec_lib.evaluation import (
    compare,
    content_control,
    content_controls,
    control_features,
    evaluate,
    holm,
    missing_modality_curve,
)
from mmrec_lib.evaluation.content import Drawn

COMPARED = ["difference", "difference_low", "difference_high", "p", "p_holm"]


@pytest.fixture(scope="module")
def split(blocks):
    return mm.data.split(blocks, seed=0)


@pytest.fixture(scope="module")
def telling():
    """Vectors that show which of the three groups of ten an item belongs to."""
    rng = np.random.default_rng(0)
    x = 2 * rng.normal(size=(3, 6))[np.arange(30) // 10] + 0.5 * rng.normal(size=(30, 6))
    return Features({"image": x, "text": x @ rng.normal(size=(6, 4))})


@pytest.fixture(scope="module")
def silent():
    return Features({"image": np.random.default_rng(1).normal(size=(30, 6))})


def content_model():
    return mm.models.create("contentknn", k=8)


def towers():
    return mm.models.create("twotower", dim=8, epochs=15, use_ids=False, users="history")


class Clicks:
    """Knows the training items' popularity, whatever the vectors; counts how often it was trained."""

    fits = 0

    def fit(self, train, features=None, valid=None):
        type(self).fits += 1
        self.counts = train.item_counts().astype(np.float32)
        return self

    def score(self, users):
        return np.tile(self.counts, (len(users), 1))


class Fooled(mm.models.get_class("contentknn")):
    """Recommends what looks least like the user's items: with telling vectors worse than with any others."""

    def _score(self, users):
        return -super()._score(users)


# -- the controls --------------------------------------------------------------------------------------------------


@given(st.integers(0, 100), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_shuffling_moves_whole_items_among_those_with_the_same_modalities(seed, n):
    rng = np.random.default_rng(seed)
    code = np.arange(1.0, n + 1)[:, None]
    features = Features({"a": code, "b": 10 * code}, {"a": rng.random(n) < 0.7, "b": rng.random(n) < 0.7})
    mixed = control_features(features, "shuffled", seed)
    both = features.mask["a"] & features.mask["b"]
    np.testing.assert_array_equal(mixed["b"][both], 10 * mixed["a"][both])  # of one item still
    for m in features:
        assert (mixed.mask[m] == features.mask[m]).all()
        for group in (both, features.mask[m] & ~both):
            assert sorted(mixed[m][group, 0]) == sorted(features[m][group, 0])


def test_noise_keeps_mean_and_deviation_of_each_dimension():
    rng = np.random.default_rng(0)
    real = Features({"a": rng.normal([5, -2], [1, 30], size=(4000, 2))}, {"a": np.arange(4000) % 5 > 0})
    noise = control_features(real, "noise")
    has = real.mask["a"]
    assert (noise.mask["a"] == has).all()
    assert not noise["a"][~has].any()
    np.testing.assert_allclose(noise["a"][has].std(axis=0), real["a"][has].std(axis=0), rtol=0.05)
    np.testing.assert_allclose(noise["a"][has].mean(axis=0), real["a"][has].mean(axis=0), atol=2)
    assert abs(np.corrcoef(noise["a"][has, 1], real["a"][has, 1])[0, 1]) < 0.05


def test_none_real_and_seeds(telling):
    assert control_features(telling, "real") is telling
    assert not any(mask.any() for mask in control_features(telling, "none").mask.values())
    for variant in ("shuffled", "noise"):
        same = [control_features(telling, variant, seed)["image"].tobytes() for seed in (3, 3, 4)]
        assert same[0] == same[1] != same[2]
    with pytest.raises(UnknownNameError, match="variant"):
        control_features(telling, "pink")


# -- one model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [content_model, towers])
def test_real_beats_the_controls_where_vectors_tell(make, split, telling):
    model = make()
    table = content_control(model, split, telling, metric="ndcg@5")
    assert table.index.tolist() == ["real", "shuffled", "noise", "none"]
    assert (table.loc[["shuffled", "noise"], "p_holm"] < 0.05).all()
    assert (table.loc[["shuffled", "noise"], "difference_low"] > 0).all()
    assert table.loc["real", COMPARED].isna().all()
    assert (table["note"] == "").all()
    assert (table["fit_seconds"] > 0).all()
    assert not hasattr(model, "seen_")  # as it was: not fitted
    again = content_control(make(), split, telling, metric="ndcg@5")
    pd.testing.assert_frame_equal(table.drop(columns="fit_seconds"), again.drop(columns="fit_seconds"))


def test_figures_are_those_of_evaluate_and_compare(split, telling):
    table = content_control(content_model(), split, telling, metric="recall", ks=5, variants=("noise", "real"), seed=3)
    assert table.index.tolist() == ["real", "noise"]
    real, noise = (
        evaluate(
            content_model().fit(split.train, features=control_features(telling, variant, 3)),
            split.test,
            split.train,
            metrics="recall@5",
            seed=3,
        )
        for variant in ("real", "noise")
    )
    assert table.loc["real", "mean"] == real["recall@5"]
    assert table.loc["noise", ["mean", "ci_low", "ci_high"]].tolist() == noise.summary.iloc[0].tolist()
    expected = compare(real, noise, "recall@5", "t", n_boot=1000, seed=3).iloc[0]
    names = ["difference", "ci_low", "ci_high", "p_t"]
    assert table.loc["noise", COMPARED[:4]].tolist() == pytest.approx(expected[names].tolist())
    pd.testing.assert_frame_equal(table.attrs["reports"]["real"].per_user, real.per_user)
    assert len(pd.concat([table, table])) == 4  # reports do not get in the way of pandas
    assert content_control(content_model(), split, telling, metric="ndcg@5").p_holm.iloc[1:].tolist() == pytest.approx(
        holm(content_control(content_model(), split, telling, metric="ndcg@5").p.iloc[1:]).tolist()
    )


def test_a_fitted_model_keeps_what_it_learned(split, telling):
    model = content_model().fit(split.train, features=telling)
    before, similarity = model.score([0, 1]), model.similarity_
    content_control(model, split, telling, metric="ndcg@5", variants=("real", "none"))
    assert model.similarity_ is similarity
    np.testing.assert_array_equal(model.score([0, 1]), before)


def test_a_model_without_parameters_is_copied(split, telling):
    model = Clicks()
    table = content_control(model, split, telling, metric="ndcg@5")
    assert not hasattr(model, "counts")
    assert (table["difference"].iloc[1:] == 0).all()
    assert (table["p_holm"].iloc[1:] == 1).all()


def test_no_evidence_where_vectors_are_silent(split, silent):
    table = content_control(content_model(), split, silent, metric="ndcg@5")
    assert (table["p_holm"].iloc[1:] > 0.05).all()


def test_repeats_average_over_controls_and_seeds(split, telling):
    seeds = []

    class Seeded(Clicks):
        def __init__(self, seed=7):
            self.seed = seed

        def get_params(self):
            return {"seed": self.seed}

        def fit(self, train, features=None, valid=None):
            seeds.append(self.seed)
            return super().fit(train)

    content_control(Seeded(), split, telling, metric="ndcg@5", variants=("real", "none"), repeats=3)
    assert seeds == [7, 8, 9] * 2
    single = [
        content_control(content_model(), split, telling, metric="ndcg@5", seed=s).attrs["reports"]["noise"].per_user
        for s in (0, 1)
    ]
    both = content_control(content_model(), split, telling, metric="ndcg@5", repeats=2)
    report = both.attrs["reports"]["noise"]
    pd.testing.assert_frame_equal(report.per_user, (single[0] + single[1]) / 2)
    assert both.loc["noise", "mean"] == pytest.approx(report.per_user["ndcg@5"].mean())


def test_a_model_that_needs_vectors_gets_a_note(split, telling):
    class Needs(Clicks):
        def fit(self, train, features=None, valid=None):
            if not any(mask.any() for mask in features.mask.values()):
                raise FeatureError("no vector at all")
            return super().fit(train)

    table = content_control(Needs(), split, telling, metric="ndcg@5")
    assert table.loc["none", "mean":"fit_seconds"].isna().all()
    assert "FeatureError: no vector at all" in table.loc["none", "note"]
    assert table.loc["noise", "p_holm"] == 1
    with pytest.raises(FeatureError):  # without vectors on purpose is one thing, a fault of the real ones another
        content_control(Needs(), split, control_features(telling, "none"), metric="ndcg@5")


def test_restricted_to_some_items(split, telling):
    items = np.arange(10)
    table = content_control(content_model(), split, telling, metric="recall@5", restrict=items)
    test = split.test.select(split.test.item < 10)
    assert set(table.attrs["reports"]["real"].per_user.index) == set(test.user)
    other = split.test.select(split.test.item >= 10)
    model = content_model().fit(split.train, features=telling)
    expected = evaluate(model, test, split.train, metrics="recall@5", exclude=other)
    assert table.loc["real", "mean"] == expected["recall@5"]
    some = content_control(content_model(), split, telling, metric="ndcg@5", users=[0, 3, 6])
    assert some.attrs["reports"]["real"].per_user.index.tolist() == [0, 3, 6]


# -- many models ---------------------------------------------------------------------------------------------------


def test_verdicts(split, telling, silent):
    models = {"content": content_model(), "clicks": Clicks(), "fooled": Fooled()}
    table = content_controls(models, split, telling, metric="ndcg@5")
    assert table["verdict"].to_dict() == {"content": "uses content", "clicks": "no evidence", "fooled": "hurts"}
    one = table.attrs["tables"]["fooled"]
    best = table.loc["fooled", "best_control"]
    assert one.loc[best, "mean"] == one["mean"].drop("real").max()
    assert table.loc["fooled", "difference"] == one.loc[best, "difference"] < 0
    assert table.loc["fooled", "p"] == pytest.approx(3 * one.loc[best, "p"])
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]).tolist())
    assert content_controls({"content": content_model()}, split, silent, metric="ndcg@5").verdict[0:1].tolist() == [
        "no evidence"
    ]


# -- missing modalities --------------------------------------------------------------------------------------------


def test_curve_goes_from_all_to_nothing(split, telling):
    table = missing_modality_curve(content_model(), split, telling, metric="ndcg@5", joint=True, shares=(0, 0.5, 1))
    assert table.columns.tolist() == ["fill", "share", "mean", "ci_low", "ci_high"]
    assert table["share"].tolist() == [0, 0.5, 1] * 3
    masked = table[table["fill"] == "mask"]["mean"].tolist()
    assert masked[0] > masked[1] > masked[2]
    control = content_control(content_model(), split, telling, metric="ndcg@5")
    assert masked[0] == control.loc["real", "mean"]
    assert masked[2] == control.loc["none", "mean"]
    assert (table.pivot_table(index="share", columns="fill", values="mean").std(axis=1) == 0).all()  # nothing to fill
    again = missing_modality_curve(content_model(), split, telling, metric="ndcg@5", joint=True, shares=(0, 0.5, 1))
    pd.testing.assert_frame_equal(table, again)


def test_what_is_filled_is_trained_and_what_is_not_is_not(split, telling):
    Clicks.fits = 0
    fills = ("mask", "mean", "ridge")
    table = missing_modality_curve(
        Clicks(), split, telling, modalities="text", fill=fills, shares=(0, 0.5, 1), metric="ndcg@5"
    )
    assert Clicks.fits == 5  # three shares masked, and 0.5 filled twice; at 0 and 1 there is nothing to fill (from)
    assert len(table) == 9
    assert set(table.attrs["reports"]) == {(how, share) for how in fills for share in (0, 0.5, 1)}


def test_fill_gives_the_imputed_vectors(split, telling):
    from mmrec_lib.fusion.missing import drop_modality, impute

    table = missing_modality_curve(
        content_model(), split, telling, modalities="image", shares=[0.5], fill="ridge", metric="ndcg@5",
        options={"ridge": {"alpha": 0.5}},
    )  # fmt: skip
    filled = impute(drop_modality(telling, 0.5, "image"), "ridge", alpha=0.5)
    model = content_model().fit(split.train, features=filled)
    assert table.loc[0, "mean"] == evaluate(model, split.test, split.train, metrics="ndcg@5")["ndcg@5"]


# -- errors --------------------------------------------------------------------------------------------------------


def test_errors_come_before_training(split, telling):
    class Never:
        def fit(self, *args, **options):
            raise AssertionError("trained")

    empty = dataclasses.replace(split, test=split.test.select([]))
    with pytest.raises(DataError, match='part="valid"'):
        content_control(Never(), empty, telling, metric="ndcg@5")
    for change, error in (
        ({"part": "train"}, ParameterError),
        ({"metric": "coverage"}, ParameterError),
        ({"metric": "ndgc@5"}, UnknownNameError),
        ({"metric": "ndcg@31"}, ParameterError),
        ({"variants": ("shuffled", "noise")}, ParameterError),
        ({"variants": ("real",)}, ParameterError),
        ({"variants": ("real", "pink")}, UnknownNameError),
        ({"repeats": 0}, ParameterError),
        ({"restrict": [30]}, UnknownItemError),
        ({"restrict": []}, DataError),
        ({"candidates": [30]}, UnknownItemError),
        ({"confidence": 2}, ParameterError),
    ):
        with pytest.raises(error):
            content_control(Never(), split, telling, **({"metric": "ndcg@5"} | change))
    with pytest.raises(FeatureError):
        content_control(Never(), split, Features({"a": np.ones((5, 2))}), metric="ndcg@5")
    with pytest.raises(ParameterError, match="features"):
        content_control(Never(), split, None, metric="ndcg@5")
    with pytest.raises(ParameterError, match="fit and score"):
        content_control(object(), split, telling, metric="ndcg@5")
    with pytest.raises(ParameterError, match="dict"):
        content_controls([Never()], split, telling)
    for change, error in (
        ({"fill": "magic"}, UnknownNameError),
        ({"options": {"magic": {}}}, UnknownNameError),
        ({"modalities": "smell"}, UnknownNameError),
        ({"shares": [2]}, ParameterError),
    ):
        with pytest.raises(error):
            missing_modality_curve(Never(), split, telling, **({"metric": "ndcg@5"} | change))


def test_validation_part_where_there_is_no_test(split, telling):
    empty = dataclasses.replace(split, test=split.test.select([]))
    table = content_control(content_model(), empty, telling, metric="ndcg@5", part="valid", variants=("real", "none"))
    assert table["mean"].notna().all()


def test_only_candidates_compete(split, telling):
    items = np.unique(split.test.item)[:6]
    table = content_control(
        content_model(), split, telling, metric="recall@2", candidates=items, variants=("real", "none")
    )
    fitted = content_model().fit(split.train, features=telling)
    own = evaluate(fitted, split.test, split.train, ks=2, metrics="recall", candidates=items)
    assert table.loc["real", "mean"] == pytest.approx(own["recall@2"])
    gaps = missing_modality_curve(
        content_model(), split, telling, shares=[0], fill="mask", metric="recall@2", candidates=items
    )
    assert gaps.loc[0, "mean"] == pytest.approx(own["recall@2"])
    with pytest.raises(DataError, match="candidates leave no relevant item"):
        content_control(Clicks(), split, telling, candidates=np.setdiff1d(np.arange(30), split.test.item)[:0])


def test_candidates_that_are_scored_alike_are_drawn():
    scores = np.array([[5.0, 1, 1, 1], [5, 1, 2, 1]])
    drawn = Drawn(Table(scores), seed=0, competes=np.array([False, True, True, True])).score(np.arange(2))
    assert len(set(drawn[0, 1:])) == 3
    np.testing.assert_array_equal(drawn[1], scores[1])


class Constant(Clicks):
    """Scores every item alike, but for the first, which is out of the question."""

    def score(self, users):
        scores = np.zeros((len(users), 30), np.float32)
        scores[:, 0] = -np.inf
        return scores


def test_equal_scores_are_put_in_an_order_by_chance(split, telling):
    drawn = Drawn(Constant(), seed=0)
    scores = drawn.score(np.arange(40))
    assert np.isneginf(scores[:, 0]).all()
    assert np.isfinite(scores[:, 1:]).all()
    assert len(set(scores.argmax(axis=1))) > 10  # not the same item for everybody
    np.testing.assert_array_equal(drawn.score(np.array([7]))[0], scores[7])  # alone or among others
    scored = telling["image"][:, 0] * np.ones((3, 1))
    model = Clicks()
    model.score = lambda users: scored
    np.testing.assert_array_equal(Drawn(model, seed=0).score(np.arange(3)), scored)  # others stay as they are
