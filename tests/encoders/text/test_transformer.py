"""Pretrained text models: the real loading code on tiny models from a folder, and the real MiniLM."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.encoders.text import transformer
from mmrec_lib.errors import DownloadError, ParameterError

SENTENCES = ["a red bird", "a bird that is red", "the annual report of a bank", "zebra " * 100, "", "ünïcode 鸟"]


@pytest.fixture(scope="module")
def minilm():
    return mm.encoders.create("minilm", precision="float32")


def test_minilm_is_the_model_of_its_authors(minilm):
    """Against transformers, called text by text as the model's card says: mean of the tokens, length 1."""
    from transformers import AutoModel, AutoTokenizer

    folder = minilm._source()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    wanted = []
    for sentence in SENTENCES:
        with torch.no_grad():
            inputs = tokenizer([sentence], truncation=True, max_length=256, return_tensors="pt")
            states = model(**inputs).last_hidden_state[0]
        wanted.append((states.mean(dim=0) / states.mean(dim=0).norm()).numpy())
    np.testing.assert_allclose(minilm.encode(SENTENCES), np.array(wanted), atol=1e-5)


def test_minilm_knows_what_is_alike(minilm):
    bird, paraphrase, bank = minilm.encode(SENTENCES[:3])
    assert bird @ paraphrase > 0.8 > 0.3 > bird @ bank


def test_default_precision_is_nearly_exact(minilm):
    default = mm.encoders.create("minilm").encode(SENTENCES)
    assert (default * minilm.encode(SENTENCES)).sum(axis=1).min() > 0.999


def test_batches_hold_texts_of_like_length_and_lose_none(minilm):
    texts = [("word " * n).strip() for n in [1, 90, 3, 2, 88, 1, 200, 40]]
    batches = minilm.plan(texts, batch_size=8)
    assert sorted(row for batch in batches for row in batch) == list(range(8))
    assert [1, 4] in batches  # 92 and 90 tokens
    assert [6] in batches
    assert max(map(len, minilm.plan(["word"] * 100, batch_size=8))) == 8


@pytest.mark.parametrize("pooling", transformer.POOLINGS)
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_vectors_do_not_depend_on_the_batch(tiny_model, kind, pooling):
    encoder = mm.encoders.create("bert", model=tiny_model(kind), pooling=pooling, precision="float32")
    together = encoder.encode(SENTENCES, batch_size=6)
    alone = np.concatenate([encoder.encode([sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (6, encoder.dim) == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_padding_is_never_seen(tiny_model):
    """In one padded batch, forced: the network's own call must leave padded places out."""
    encoder = mm.encoders.create("bert", model=tiny_model("bert"), precision="float32")
    padded = encoder._encode(["a", "a b c d e f g h"], torch.device("cpu"))
    np.testing.assert_allclose(padded[:1], encoder._encode(["a"], torch.device("cpu")), atol=1e-5)


def test_pool_by_hand():
    states = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert transformer.pool(states, mask, "mean").tolist() == [[2.0, 1.0]]
    assert transformer.pool(states, mask, "cls").tolist() == [[1.0, 0.0]]
    assert transformer.pool(states, mask, "last").tolist() == [[3.0, 2.0]]


def test_prefix_and_limit_change_the_text(tiny_model):
    def vectors(**options):
        return mm.encoders.create("bert", model=tiny_model("bert"), **options).encode(["abc def ghi jkl"])

    assert not np.allclose(vectors(), vectors(prefix="query: "))
    assert not np.allclose(vectors(), vectors(max_tokens=5))
    assert np.linalg.norm(vectors(normalise=False)) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("kind", "dim"), [("clip", 12), ("siglip", 16), ("clap", 12)])
def test_text_halves_of_joint_models(tiny_model, kind, dim):
    encoder = mm.encoders.create(f"{kind}-text", model=tiny_model(kind), precision="float32")
    together = encoder.encode(SENTENCES)
    assert together.shape == (6, dim) == (6, encoder.dim)
    np.testing.assert_allclose(together[:1], encoder.encode(SENTENCES[:1]), atol=1e-5)
    assert not np.allclose(together[0], together[2])


def test_model_that_cannot_be_had(monkeypatch, tmp_path):
    # the hub's package has read its environment by now, and would ask the network for most of a minute
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"'nobody/nothing' could not be obtained.*give the folder"):
        mm.encoders.create("nobody/nothing", modality="text").encode(["a"])
    with pytest.raises(DownloadError, match="holds no model"):
        mm.encoders.create(str(tmp_path), modality="text").encode(["a"])


def test_any_model_by_folder(tiny_model):
    data = mm.data.Dataset.from_frame(
        __import__("pandas").DataFrame({"user": [0, 0], "item": [0, 1]}), media={"text": ["a bird", None]}
    )
    features = mm.encoders.encode(data, {"text": tiny_model("bert")}, cache=None)
    assert features["text"].shape == (2, 16)
    assert features.mask["text"].tolist() == [True, False]


@pytest.mark.parametrize("options", [{"pooling": "max"}, {"max_tokens": 1}, {"precision": "int8"}])
def test_settings_are_checked(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        mm.encoders.create("bert", **options)


def test_fingerprint_follows_weights_and_settings(tiny_model, tmp_path):
    import shutil

    def encoder(folder, **options):
        return mm.encoders.create("bert", model=str(folder), **options)

    copy = tmp_path / "copy"
    shutil.copytree(tiny_model("bert"), copy)
    first = encoder(copy)
    assert first.fingerprint == encoder(copy).fingerprint
    assert first.fingerprint != encoder(copy, pooling="cls").fingerprint
    before = first.fingerprint
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert encoder(copy).fingerprint != before
