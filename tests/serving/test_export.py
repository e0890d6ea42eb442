"""Text encoders as ONNX graphs: the same vectors, or nearly; kept in a bundle; nothing else can be exported."""

import string

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import ModelFileError, ParameterError
from mmrec_lib.serving import export_text_encoder

TEXTS = ["a robin", None, "a much longer sentence about a robin", "no", ""]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A small BERT with random weights, in a folder, and its tokenizer of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", *string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    raw = Tokenizer(models.WordPiece({word: code for code, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64)
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes, vocab_size=len(words), max_position_embeddings=64)).save_pretrained(folder)
    return mm.encoders.create(str(folder), modality="text", precision="float32")


def test_the_graph_gives_the_vectors_of_the_network(bert, tmp_path):
    exact = export_text_encoder(bert, tmp_path / "new" / "exact.onnx", quantise=False)
    assert (tmp_path / "new" / "exact.onnx").read_bytes() == exact.graph_.tobytes()
    run = exact.run(TEXTS, device="cpu")
    np.testing.assert_allclose(run.vectors, bert.encode(TEXTS, device="cpu"), atol=1e-5)
    assert run.mask.tolist() == [True, False, True, True, True]
    alone = [exact.encode([text], device="cpu")[0] for text in ("a robin", "no")]  # padding changes nothing
    np.testing.assert_allclose(run.vectors[[0, 3]], alone, atol=1e-5)


def test_eight_bits(bert, tmp_path):
    exact = export_text_encoder(bert, tmp_path / "exact.onnx", quantise=False)
    small = export_text_encoder(bert, tmp_path / "small.onnx")
    wanted, got = exact.encode(TEXTS, device="cpu"), small.encode(TEXTS, device="cpu")
    cosine = (wanted * got).sum(axis=1)[[0, 2, 3, 4]]
    assert cosine.min() > 0.98
    assert np.abs(wanted - got).max() > 1e-5  # it is another network
    assert len({bert.fingerprint, exact.fingerprint, small.fingerprint}) == 3
    assert (small.name, small.modality, small.dim) == ("onnx-text", "text", 32)


def test_a_bundle_carries_it(bert, shop, tmp_path):
    encoder = export_text_encoder(bert, tmp_path / "small.onnx")
    features = mm.encoders.encode(shop, {"text": encoder}, cache=None)
    model = mm.models.create("contentknn", k=3).fit(shop.interactions, features=features)
    saved = mm.serving.Bundle.of(model, shop, features, {"text": encoder}).save(tmp_path / "bundle", media=False)
    (tmp_path / "small.onnx").unlink()
    again = mm.serving.load_bundle(saved).encoders["text"]
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(["robin"], device="cpu"), encoder.encode(["robin"], device="cpu"))


def test_what_cannot_be_exported(bert, tmp_path, monkeypatch):
    with pytest.raises(ParameterError, match="TransformerText"):
        export_text_encoder(mm.encoders.create("tfidf"), tmp_path / "x.onnx")
    first = lambda self, network, ids, mask: network(input_ids=ids).last_hidden_state[:, 0]  # noqa: E731
    monkeypatch.setattr(type(bert), "_vectors", first)  # the graph takes the mean, as the settings say
    with pytest.raises(ModelFileError, match="other vectors"):
        export_text_encoder(bert, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
