import json

import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib import ranking
from mmrec_lib.encoders.alignment import Alignment, label_vectors, search, zero_shot
from mmrec_lib.errors import (
    DataError,
    FeatureError,
    ModelFileError,
    NotFittedError,
    ParameterError,
    UnknownNameError,
)
from mmrec_lib.evaluation import retrieval_metrics

N, HELD = 160, np.arange(120, 160)
QUICK = {"dim": 8, "epochs": 60, "dropout": 0.1, "batch_size": 64, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def features() -> mm.data.Features:
    """Two views of the same five hidden numbers, 7 and 11 long; a third view of a quarter of the items."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(N, 5))
    views = {m: hidden @ rng.normal(size=(5, d)) + 3 for m, d in (("text", 7), ("image", 11), ("audio", 6))}
    views = {m: v + 0.05 * rng.normal(size=v.shape) for m, v in views.items()}
    return mm.data.Features(views, {"audio": np.arange(N) % 4 == 0})


@pytest.fixture(scope="module")
def aligned(features):
    return Alignment(**QUICK).fit(features, valid_rows=np.arange(100, 120), rows=np.arange(100))


def found(alignment, features, a, b, rows=HELD):
    joint = alignment.transform(features)
    mask = np.isin(np.arange(N), rows) & features.mask[a] & features.mask[b]
    return retrieval_metrics(joint[a], joint[b], mask=mask, n_boot=10)


# -- learning ------------------------------------------------------------------------------------------------------
def test_unseen_items_find_their_other_medium(aligned, features):
    assert found(aligned, features, "text", "image")["recall@1"] > 0.8  # chance: 1 in 40
    assert found(aligned, features, "image", "text")["recall@1"] > 0.8


def test_a_medium_that_most_items_lack_is_aligned_too(aligned, features):
    assert found(aligned, features, "audio", "image")["recall@1"] >= 0.5  # chance: 1 in 10


@pytest.mark.parametrize("options", [{"loss": "siglip"}, {"hidden": 32}, {"batch_size": 1000}])
def test_other_settings_learn_as_well(features, options):
    alignment = Alignment(**QUICK | {"seed": 3} | options).fit(features.only("text", "image"), rows=np.arange(120))
    assert found(alignment, features.only("text", "image"), "text", "image")["recall@1"] > 0.5


def test_siglip_learns_its_scale_and_bias(features):
    alignment = Alignment(**QUICK | {"loss": "siglip", "epochs": 5}).fit(features)
    learned = {k: v.item() for k, v in alignment.network_.scale_and_bias.items()}
    assert learned["log_scale"] != pytest.approx(np.log(10), abs=1e-4)
    assert learned["bias"] != pytest.approx(-10.0, abs=1e-4)


def test_pairs_through_a_hub_bind_media_that_never_met(features):
    hub = Alignment(**QUICK, pairs=[("text", "image"), ("audio", "image")]).fit(features, rows=np.arange(120))
    assert found(hub, features, "audio", "text")["mrr"] > 0.5  # chance in ten: 0.29


def test_same_seed_same_vectors_and_the_callers_generators_stay(features):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a = Alignment(**QUICK | {"epochs": 3}).fit(features)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    b = Alignment(**QUICK | {"epochs": 3}).fit(features)
    c = Alignment(**QUICK | {"epochs": 3, "seed": 1}).fit(features)
    np.testing.assert_array_equal(a.map("text", features["text"]), b.map("text", features["text"]))
    assert not np.allclose(a.map("text", features["text"]), c.map("text", features["text"]))


def test_masked_rows_are_not_learned_from(features):
    """Items without a sound, and items outside ``rows``, may hold anything."""
    rows = np.arange(60)
    changed = {m: features[m].copy() for m in features}
    changed["text"][60:], changed["image"][60:] = 100.0, -100.0
    kept = mm.data.Features(changed, features.mask)
    a, b = (Alignment(**QUICK | {"epochs": 4}).fit(f, rows=rows) for f in (features, kept))
    np.testing.assert_array_equal(a.map("audio", features["audio"]), b.map("audio", features["audio"]))


def test_early_stopping_keeps_the_best_epoch(aligned):
    looks = {e: m for e, m in zip(aligned.history_["epoch"], aligned.history_["metric"], strict=True) if m == m}
    assert aligned.best_epoch_ == max(looks, key=looks.get)
    assert all(epoch % 5 == 0 for epoch in looks)


def test_validation_rows_are_left_out_by_default(features):
    a = Alignment(**QUICK | {"epochs": 5}).fit(features, valid_rows=np.arange(100, N))
    b = Alignment(**QUICK | {"epochs": 5}).fit(features, rows=np.arange(100))
    np.testing.assert_array_equal(a.map("text", features["text"]), b.map("text", features["text"]))


def test_rows_may_be_a_mask(features):
    a = Alignment(**QUICK | {"epochs": 2}).fit(features, rows=np.arange(N) < 100)
    b = Alignment(**QUICK | {"epochs": 2}).fit(features, rows=np.arange(100))
    np.testing.assert_array_equal(a.map("text", features["text"]), b.map("text", features["text"]))


def test_groups_keep_twins_from_being_pushed_apart():
    """Ten kinds of things, each with the same sentence eight times: telling them apart is asking the impossible."""
    rng = np.random.default_rng(1)
    kind = np.repeat(np.arange(10), 8)
    text = np.eye(10)[kind]
    image = np.eye(10)[kind] @ rng.normal(size=(10, 20)) + 0.1 * rng.normal(size=(80, 20))
    both = mm.data.Features({"text": text, "image": image})
    with_groups = Alignment(**QUICK).fit(both, groups=[f"kind {k}" for k in kind])
    without = Alignment(**QUICK).fit(both)
    assert with_groups.history_["loss"][-1] < 0.1
    assert without.history_["loss"][-1] > 1.0  # of eight twins none is likelier than one in eight

    def own_kind(alignment):
        joint = alignment.transform(both)
        return (joint["text"] * joint["image"]).sum(axis=1).mean()

    assert own_kind(with_groups) >= own_kind(without) - 0.05


def test_missing_groups_are_each_their_own(features):
    a = Alignment(**QUICK | {"epochs": 2}).fit(features, groups=[None] * N)
    b = Alignment(**QUICK | {"epochs": 2}).fit(features)
    np.testing.assert_allclose(a.map("text", features["text"]), b.map("text", features["text"]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rows": [0, 1, 2], "valid_rows": [2, 3]}, ParameterError, "cannot validate"),
        ({"rows": [0, N]}, ParameterError, "row numbers"),
        ({"rows": [0.5]}, ParameterError, "row numbers"),
        ({"rows": [1, 2, 3, 5]}, DataError, "audio"),  # none of them has a sound
        ({"groups": [1, 2]}, ParameterError, "one each"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(features, options, error, match):
    with pytest.raises(error, match=match):
        Alignment(epochs=1).fit(features, **options)


def test_one_modality_is_not_enough(features):
    with pytest.raises(DataError, match="two modalities"):
        Alignment().fit(features.only("text"))
    with pytest.raises(UnknownNameError, match="video"):
        Alignment(pairs=[("text", "video")]).fit(features)


@pytest.mark.parametrize(
    "options",
    [{"loss": "triplet"}, {"dim": 0}, {"hidden": -1}, {"batch_size": 1}, {"temperature": 0}, {"dropout": 1.0}],
)
def test_settings_are_checked(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        Alignment(**options)


# -- using ---------------------------------------------------------------------------------------------------------
def test_transform_gives_unit_rows_and_keeps_the_masks(aligned, features):
    joint = aligned.transform(features)
    assert joint.dims == {"text": 8, "image": 8, "audio": 8}
    for modality in features:
        np.testing.assert_array_equal(joint.mask[modality], features.mask[modality])
        lengths = np.linalg.norm(joint[modality], axis=1)
        np.testing.assert_allclose(lengths[features.mask[modality]], 1, atol=1e-5)
        assert not lengths[~features.mask[modality]].any()


def test_queries_alone_can_be_mapped(aligned, features):
    query = mm.data.Features({"text": features["text"][:3]})
    np.testing.assert_allclose(aligned.transform(query)["text"], aligned.transform(features)["text"][:3], atol=1e-6)


def test_map_works_in_blocks(aligned, features, monkeypatch):
    whole = aligned.map("image", features["image"])
    monkeypatch.setattr("mmrec_lib.encoders.alignment.contrastive._BLOCK", 7)
    np.testing.assert_allclose(aligned.map("image", features["image"]), whole, atol=1e-6)


def test_map_refuses_what_it_did_not_learn(aligned, features):
    with pytest.raises(UnknownNameError, match="video"):
        aligned.map("video", features["text"])
    with pytest.raises(FeatureError, match="7 dimensions"):
        aligned.map("text", features["image"])
    with pytest.raises(NotFittedError, match="fit"):
        Alignment().map("text", features["text"])


# -- keeping -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("loss", ["infonce", "siglip"])
def test_saved_and_loaded_gives_the_same_vectors(features, tmp_path, loss):
    alignment = Alignment(**QUICK | {"epochs": 3, "loss": loss, "pairs": [("text", "image"), ("image", "audio")]})
    alignment.fit(features, rows=np.arange(100), valid_rows=np.arange(100, 120))
    again = Alignment.load(alignment.save(tmp_path / "kept"))
    assert again.get_params() == alignment.get_params()
    assert again.history_["loss"] == alignment.history_["loss"]
    for modality in features:
        np.testing.assert_array_equal(
            again.map(modality, features[modality]), alignment.map(modality, features[modality])
        )
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == ["encoder.json", "encoder.safetensors"]


def test_load_says_what_is_wrong(tmp_path, features):
    with pytest.raises(NotFittedError, match="fit"):
        Alignment().save(tmp_path / "kept")
    with pytest.raises(ModelFileError, match="missing"):
        Alignment.load(tmp_path)
    path = Alignment(**QUICK | {"epochs": 1}).fit(features).save(tmp_path / "kept")
    header = json.loads((path / "encoder.json").read_text())
    (path / "encoder.json").write_text(json.dumps(header | {"encoder": "tfidf"}))
    with pytest.raises(ModelFileError, match="tfidf"):
        Alignment.load(path)


# -- search and labels ---------------------------------------------------------------------------------------------
def test_search_by_hand():
    items = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    found, cosines = search(np.array([[5.0, 0.0], [0.0, 1.0]]), items, k=2)
    assert found.tolist() == [[0, 2], [1, 2]]
    np.testing.assert_allclose(cosines, [[1, np.sqrt(0.5)], [1, np.sqrt(0.5)]], atol=1e-6)


def test_search_leaves_out_what_has_no_medium():
    items = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found, cosines = search(np.array([[1.0, 0.0]]), items, mask=[False, True, True], k=3)
    assert found.tolist() == [[2, 1, -1]]
    assert np.isneginf(cosines[0, 2])


def test_search_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    queries, items = rng.normal(size=(25, 4)), rng.normal(size=(30, 4))
    whole = search(queries, items, k=5)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 4 * 30 * 3)
    parts = search(queries, items, k=5)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1], atol=1e-6)


def test_search_refuses_two_spaces():
    with pytest.raises(FeatureError, match="not of one space"):
        search(np.ones((1, 384)), np.ones((5, 1280)))
    with pytest.raises(ParameterError, match="mask"):
        search(np.ones((1, 2)), np.ones((5, 2)), mask=[True])
    with pytest.raises(FeatureError, match="shape"):
        search(np.ones(2), np.ones((5, 2)))


def test_a_labels_vector_is_the_mean_of_its_sentences():
    space = {"cat": [1.0, 0.0], "a cat!": [0.0, 3.0], "dog": [0.0, 1.0], "a dog!": [0.0, 1.0]}
    vectors = label_vectors(lambda texts: np.array([space[t] for t in texts]), ["cat", "dog"], ["{}", "a {}!"])
    np.testing.assert_allclose(vectors, [[np.sqrt(0.5), np.sqrt(0.5)], [0, 1]], atol=1e-6)
    with pytest.raises(ParameterError, match="templates"):
        label_vectors(lambda texts: np.ones((len(texts), 2)), ["cat"], ["a picture"])


def test_zero_shot_takes_the_nearest_label():
    labels = np.eye(3)
    items = np.array([[0.1, 0.9, 0.0], [0.0, 0.2, 0.8], [1.0, 0.0, 0.0]])
    assert zero_shot(items, labels).tolist() == [1, 2, 0]
    assert zero_shot(items, labels, mask=[True, False, True]).tolist() == [1, -1, 0]
