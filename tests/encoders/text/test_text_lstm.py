"""The recurrent encoder."""

import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.encoders.text.lstm_network import Reader
from mmrec_lib.errors import DataError, ParameterError

SMALL = {"dim": 12, "embedding_dim": 8, "epochs": 12, "dropout": 0.0, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def ordered():
    """The label is which of two words comes first: counts of words cannot tell it."""
    rng = np.random.default_rng(0)
    texts, labels = [], []
    for _ in range(200):
        first = int(rng.integers(2))
        a, b = ("cat", "dog")[first], ("dog", "cat")[first]
        filling = rng.choice(["red", "big", "old"], int(rng.integers(1, 4))).tolist()
        texts.append(" ".join([a, *filling, b]))
        labels.append(a)
    return texts, labels


def test_it_reads_the_order_of_words(ordered):
    texts, labels = ordered
    encoder = mm.encoders.create("lstm", **SMALL).fit(texts, labels)
    assert encoder.labels_ == ["cat", "dog"]
    assert max(encoder.history_["metric"]) == 1.0
    accuracy = mm.evaluation.linear_probe(encoder.encode(texts), labels)["accuracy"]
    counted = mm.encoders.create("bow").fit(texts).encode(texts)
    assert accuracy > 0.98
    assert mm.evaluation.linear_probe(counted, labels)["accuracy"] < 0.65


def test_without_labels_it_learns_to_go_on(ordered):
    texts, _ = ordered
    encoder = mm.encoders.create("lstm", **SMALL).fit(texts)
    assert encoder.labels_ is None
    assert encoder.history_["metric"][-1] > encoder.history_["metric"][0] + 0.3
    assert encoder.encode(texts).std() > 0


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_a_vector_does_not_depend_on_its_batch(ordered, pooling):
    texts, labels = ordered
    encoder = mm.encoders.create("lstm", **SMALL | {"pooling": pooling, "epochs": 1}).fit(texts[:40], labels[:40])
    some = ["cat", "dog red big old cat", "", None, "old"]
    alone = np.concatenate([encoder.encode([text]) for text in some])
    np.testing.assert_allclose(encoder.encode(some), alone, atol=1e-6)
    assert not alone[2:4].any()


def test_pooling_by_hand():
    torch.manual_seed(0)
    network = Reader(6, 2, 4, 3, 0.0, "mean").eval()
    codes, lengths = torch.tensor([[4, 5, 4], [5, 0, 0]]), torch.tensor([3, 1])
    with torch.no_grad():
        states = network.states(codes, lengths)
        assert not states[1, 1:].any()
        long, short = states[0], states[1, 0]
        for pooling, expected in [("mean", long.mean(0)), ("max", long.amax(0)), ("last", long[2])]:
            network.pooling = pooling
            pooled = network.pooled(codes, lengths)
            torch.testing.assert_close(pooled[0], expected)
            torch.testing.assert_close(pooled[1], short)  # one word: all three are its state


def test_same_seed_same_vectors_and_the_caller_s_generator_stays(ordered):
    texts, labels = (part[:40] for part in ordered)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = mm.encoders.create("lstm", **SMALL | {"epochs": 2}).fit(texts, labels).encode(texts)
    assert torch.equal(torch.rand(1), expected)
    second = mm.encoders.create("lstm", **SMALL | {"epochs": 2}).fit(texts, labels).encode(texts)
    assert np.array_equal(first, second)
    other = mm.encoders.create("lstm", **SMALL | {"epochs": 2, "seed": 1}).fit(texts, labels).encode(texts)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("labelled", [True, False])
def test_saving(ordered, labelled, tmp_path):
    texts, labels = (part[:40] for part in ordered)
    encoder = mm.encoders.create("lstm", **SMALL | {"epochs": 1}).fit(texts, labels if labelled else None)
    encoder.save(tmp_path / "kept")
    kept = mm.encoders.load(tmp_path / "kept")
    assert np.array_equal(kept.encode(texts), encoder.encode(texts))
    assert kept.history_ == encoder.history_
    assert kept.fingerprint == encoder.fingerprint


def test_a_few_texts_are_enough():
    vectors = mm.encoders.create("lstm", **SMALL | {"epochs": 1}).fit(["red", "a blue bus", "!"]).encode(["blue", "?"])
    assert vectors.shape == (2, 12)
    assert np.isfinite(vectors).all()


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(DataError, match="all labels are the same"):
        mm.encoders.create("lstm", **SMALL).fit(["red", "blue"], ["x", "x"])
    with pytest.raises(DataError, match="no word is left"):
        mm.encoders.create("lstm", **SMALL).fit(["", "?"])
    for option in ({"pooling": "sum"}, {"dropout": 1}, {"held_out": -0.1}, {"epochs": 0}, {"learning_rate": 0}):
        with pytest.raises(ParameterError):
            mm.encoders.create("lstm", **option)
