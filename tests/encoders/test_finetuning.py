import copy

import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.encoders.finetuning import LoRAText, _co_chosen, _same_label, finetune_text
from mmrec_lib.errors import DataError, ModelFileError, NotFittedError, ParameterError

TEXTS = ["cat sat", "big dog", "red fox", "old owl", "tin can", "gas jar", "ice cup", "hot pan"]
KIND = ["animal"] * 4 + ["thing"] * 4


@pytest.fixture
def bert(tiny_model):
    return tiny_model("bert")


@pytest.fixture(scope="module")
def clicks():
    """Two kinds of people: some choose items 0 to 3, the others items 4 to 7."""
    users = np.repeat(np.arange(12), 4)
    return mm.data.Interactions(users, (np.tile(np.arange(4), 12) + 4 * (users % 2)), n_users=12, n_items=8)


def separation(vectors):
    """Mean cosine within the two kinds, minus that between them."""
    cosine = vectors @ vectors.T
    same = np.equal.outer(KIND, KIND)
    return cosine[same & ~np.eye(8, dtype=bool)].mean() - cosine[~same].mean()


# -- learning ------------------------------------------------------------------------------------------------------
def test_items_of_the_same_people_come_close(bert):
    """Four kinds of people, each with two things of its own."""
    own = mm.data.Interactions(np.repeat(np.arange(8), 2), np.arange(16) % 8, n_users=8, n_items=8)
    before = mm.encoders.create("org/x", "text", model=bert).encode(TEXTS)
    after = finetune_text(TEXTS, own, bert, epochs=40, learning_rate=0.02, batch_size=8).encode(TEXTS)

    def advantage(vectors):
        cosine = vectors @ vectors.T
        partner = cosine[np.arange(8), np.arange(8) ^ 1].mean()
        return partner - (cosine.sum() - 8 - 8 * partner) / 48

    assert advantage(after) > advantage(before) + 0.3


def test_texts_of_one_label_come_close(bert):
    encoder = LoRAText(bert, epochs=40, learning_rate=0.02, batch_size=8)
    before = separation(mm.encoders.create("org/x", "text", model=bert).encode(TEXTS))
    assert separation(encoder.fit(TEXTS, KIND).encode(TEXTS)) > before + 0.3


def test_without_labels_each_text_is_told_from_the_others(bert):
    encoder = LoRAText(bert, epochs=40, learning_rate=0.02, batch_size=8).fit(TEXTS)
    assert encoder.history_["loss"][-1] < encoder.history_["loss"][0]


def test_adapters_that_have_learned_nothing_change_nothing(bert):
    """B starts at zero, so a step of length zero leaves the model as it was."""
    encoder = LoRAText(bert, learning_rate=1e-12, precision="float32").fit(TEXTS)
    plain = mm.encoders.create("org/x", "text", model=bert, precision="float32").encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS), plain, atol=1e-5)


def test_only_the_adapters_are_learned_and_kept(bert):
    encoder = LoRAText(bert, rank=3).fit(TEXTS)
    # queries and values of two layers, each with A (3, 16) and B (16, 3)
    assert [shape for _, shape in encoder.layout_] == [[3, 16], [16, 3]] * 4
    assert encoder.adapter_.shape == (4 * 2 * 3 * 16,)


def test_layers_adapts_the_top_only(bert):
    encoder = LoRAText(bert, rank=2, layers=1).fit(TEXTS)
    assert {name.split("layer.")[1][0] for name, _ in encoder.layout_} == {"1"}


def test_targets_name_other_layers(bert):
    encoder = LoRAText(bert, rank=2, targets=["key"]).fit(TEXTS)
    assert all(".key." in name for name, _ in encoder.layout_)
    with pytest.raises(ParameterError, match="targets"):
        LoRAText(bert, targets=["no_such_layer"]).fit(TEXTS)


def test_gpt_like_models_can_be_adapted(tiny_model):
    encoder = LoRAText(tiny_model("gpt2"), rank=2, pooling="last").fit(TEXTS)
    assert encoder.encode(TEXTS).shape == (8, 16)


def test_same_seed_same_vectors_and_the_callers_generators_stay(bert, clicks):
    state = torch.random.get_rng_state()
    a = finetune_text(TEXTS, clicks, bert, epochs=2)
    a_vectors = a.encode(TEXTS)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(77)
    b = finetune_text(TEXTS, clicks, bert, epochs=2)
    c = finetune_text(TEXTS, clicks, bert, epochs=2, seed=1)
    np.testing.assert_array_equal(a_vectors, b.encode(TEXTS))
    assert a.fingerprint == b.fingerprint != c.fingerprint


# -- what belongs together -----------------------------------------------------------------------------------------
def test_partners_are_the_items_that_most_often_have_the_same_people():
    # items 0 and 1 share three people, 0 and 2 one, 0 and 3 none
    users, items = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5], [0, 1, 0, 1, 0, 1, 0, 2, 3, 3]
    few = mm.data.Interactions(users, items, n_users=6, n_items=4)
    for seed in range(10):
        anchors, partners = _co_chosen(few, np.ones(4, bool), 1)(np.random.default_rng(seed))
        assert dict(zip(anchors.tolist(), partners.tolist(), strict=True)) == {0: 1, 1: 0, 2: 0}
    drawn = [_co_chosen(few, np.ones(4, bool), 3)(np.random.default_rng(seed)) for seed in range(40)]
    assert {int(p[a == 0][0]) for a, p in drawn} == {1, 2}  # both, but never 3 or 0 itself


def test_neighbours_do_not_depend_on_blocks(clicks, monkeypatch):
    whole = _co_chosen(clicks, np.ones(8, bool), 2)(np.random.default_rng(0))
    monkeypatch.setattr("mmrec_lib.ranking.BLOCK_BYTES", 4 * 8 * 3)
    parts = _co_chosen(clicks, np.ones(8, bool), 2)(np.random.default_rng(0))
    np.testing.assert_array_equal(whole, parts)


def test_items_without_text_are_never_partners(clicks):
    there = np.array([True, True, False, True, True, True, True, True])
    drawn = np.concatenate([np.concatenate(_co_chosen(clicks, there, 3)(np.random.default_rng(s))) for s in range(20)])
    assert 2 not in drawn


def test_people_with_one_item_join_nothing():
    alone = mm.data.Interactions([0, 1, 2], [0, 1, 2], n_users=3, n_items=3)
    with pytest.raises(DataError, match="same person"):
        _co_chosen(alone, np.ones(3, bool), 10)


def test_partners_have_the_same_label_and_are_other_texts():
    labels = ["a", "b", "a", "c", "b", "a", None]
    counted = {(0, 2): 0, (0, 5): 0}
    pairs = _same_label(labels)
    for seed in range(300):
        anchors, partners = pairs(np.random.default_rng(seed))
        assert sorted(anchors.tolist()) == [0, 1, 2, 4, 5]  # "c" has one text only
        assert all(labels[a] == labels[p] and a != p for a, p in zip(anchors, partners, strict=True))
        counted[0, int(partners[anchors.tolist().index(0)])] += 1
    assert abs(counted[0, 2] - 150) < 45  # both others of label a are as likely
    with pytest.raises(DataError, match="no label has two"):
        _same_label(["a", "b"])


# -- the protocol --------------------------------------------------------------------------------------------------
def test_saved_and_loaded_gives_the_same_vectors(bert, clicks, tmp_path):
    encoder = finetune_text(TEXTS, clicks, bert, epochs=2, rank=4)
    again = mm.encoders.load(encoder.save(tmp_path / "adapted"))
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    size = sum(file.stat().st_size for file in (tmp_path / "adapted").iterdir())
    assert size < 20_000  # the adapters, not the model
    (tmp_path / "adapted" / "encoder.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelFileError, match="damaged"):
        mm.encoders.load(tmp_path / "adapted")


def test_a_copy_keeps_what_was_learned(bert, clicks):
    encoder = finetune_text(TEXTS, clicks, bert)
    twin = copy.deepcopy(encoder)
    np.testing.assert_array_equal(twin.encode(TEXTS), encoder.encode(TEXTS))


def test_the_fingerprint_knows_what_was_learned(bert, clicks):
    other = clicks.select(np.arange(len(clicks)) % 3 > 0)
    prints = {finetune_text(TEXTS, given, bert).fingerprint for given in (clicks, other)}
    prints |= {LoRAText(bert).fit(TEXTS).fingerprint, LoRAText(bert).fit(TEXTS, KIND).fingerprint}
    prints |= {LoRAText(bert, rank=4).fit(TEXTS).fingerprint}
    assert len(prints) == 5


def test_it_works_in_the_pipeline(bert, clicks, tmp_path):
    import pandas as pd

    data = mm.data.Dataset(
        clicks, pd.DataFrame(index=range(12)), pd.DataFrame(index=range(8)), mm.data.Media({"text": [*TEXTS[:7], None]})
    )
    encoder = finetune_text(data.media["text"], clicks, bert)
    features = mm.encoders.encode(data, {"text": encoder}, cache=tmp_path)
    assert features.mask["text"].tolist() == [True] * 7 + [False]
    again = mm.encoders.encode_all(data, {"text": encoder}, cache=tmp_path)["text"]
    assert again.n_cached == 7
    np.testing.assert_array_equal(again.vectors, features["text"])


def test_no_trace_of_adapters_remains_in_the_merged_model(bert):
    encoder = LoRAText(bert).fit(TEXTS)
    encoder.encode(TEXTS[:1])
    assert type(encoder._loaded).__name__ == "BertModel"
    assert not [name for name, _ in encoder._loaded.named_parameters() if "lora" in name]


def test_what_does_not_fit_is_refused(bert, clicks):
    with pytest.raises(DataError, match="one each"):
        finetune_text(TEXTS[:3], clicks, bert)
    with pytest.raises(NotFittedError, match="fit"):
        LoRAText(bert).encode(TEXTS)
    for option in ({"rank": 0}, {"batch_size": 1}, {"layers": 0}, {"temperature": 0}, {"adapter_dropout": 1.0}):
        with pytest.raises(ParameterError, match=next(iter(option))):
            LoRAText(bert, **option)
