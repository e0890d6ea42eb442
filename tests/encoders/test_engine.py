"""Running an encoder: rows, damage, memory, order; with a small encoder whose vectors are worked out by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders import Encoder, base, engine
from mmrec_lib.encoders.precision import placed
from mmrec_lib.errors import DataError, MediaWarning, NotFittedError, ParameterError


class Lengths(Encoder):
    """Vector of a text: its length and its number of blanks."""

    name, modality, dim = "lengths", "text", 2

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.batches: list[list[str]] = []

    def _cost(self, item):
        return len(item)

    def _open(self, item):
        if item == "damaged":
            raise ValueError("not a text")
        return item

    def _encode(self, batch, device):
        self.batches.append(list(batch))
        with np.errstate(invalid="ignore"):
            return self.factor * np.array([[len(text), text.count(" ")] for text in batch], float)


class Vocabulary(Encoder):
    """Learns a word list; the vector says which words occur."""

    name, modality, needs_fit = "vocabulary", "text", True

    def __init__(self) -> None:
        self.fits = 0

    @property
    def dim(self):
        return len(self.words_)

    def _fit(self, items, labels, device):
        self.fits += 1
        self.words_ = sorted({word for item in items for word in item.split()})

    def _encode(self, batch, device):
        return np.array([[word in text.split() for word in self.words_] for text in batch], float)


def test_rows_are_in_the_order_of_the_items():
    encoder = Lengths()
    vectors = encoder.encode(["abc", None, "a b", "", "x" * 9], batch_size=2)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[3, 0], [0, 0], [3, 1], [0, 0], [9, 0]]
    assert encoder.batches[0] == ["x" * 9, "abc"]  # the costly first
    assert sorted(map(len, encoder.batches)) == [2, 2]


@given(st.lists(st.none() | st.text(max_size=8), max_size=12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_batch_size_never_changes_the_vectors(items, batch_size):
    expected = [[0, 0] if text is None or text == "damaged" else [len(text), text.count(" ")] for text in items]
    assert Lengths().encode(items, batch_size=batch_size).tolist() == expected


def test_nothing_to_encode():
    for items in ([], [None, None]):
        result = Lengths().run(items)
        assert result.vectors.shape == (len(items), 2)
        assert not result.mask.any()


def test_damage_is_named_counted_and_masked_and_stops_nothing():
    with pytest.warns(MediaWarning, match=r"2 of 4 items could not be read.*damaged \(ValueError: not a text\)"):
        result = Lengths().run(["ab", "damaged", None, "c", "damaged"], batch_size=2)
    assert result.mask.tolist() == [True, False, False, True, False]
    assert result.vectors.tolist() == [[2, 0], [0, 0], [0, 0], [1, 0], [0, 0]]
    assert [(d.item, d.name, d.reason) for d in result.damaged] == [
        (1, "damaged", "ValueError: not a text"),
        (4, "damaged", "ValueError: not a text"),
    ]


def test_everything_damaged():
    with pytest.warns(MediaWarning, match="2 of 2"):
        assert not Lengths().run(["damaged", "damaged"]).mask.any()


def test_file_that_does_not_exist(tmp_path):
    class Bytes(Lengths):
        reads_files = True

        def _cost(self, item):
            return 0

        def _open(self, item):
            return item.read_text()

    (tmp_path / "a.txt").write_text("four")
    with pytest.warns(MediaWarning, match=r"nowhere\.txt"):
        result = Bytes().run([str(tmp_path / "a.txt"), tmp_path / "nowhere.txt"], cache=tmp_path / "cache")
    assert result.vectors.tolist() == [[4, 0], [0, 0]]
    assert result.mask.tolist() == [True, False]


def test_vector_that_is_not_finite_is_damage():
    with pytest.warns(MediaWarning, match="not finite"):
        result = Lengths(factor=np.inf).run(["ab c", ""])  # inf * 0 is not a number
    assert result.mask.tolist() == [False, False]
    assert np.isfinite(result.vectors).all()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_batch_is_halved_when_memory_runs_out(error):
    class Hungry(Lengths):
        def _encode(self, batch, device):
            if len(batch) > 3:
                raise error
            return super()._encode(batch, device)

    encoder = Hungry()
    texts = ["x" * n for n in range(10)]
    np.testing.assert_array_equal(encoder.encode(texts, batch_size=10)[:, 0], range(10))
    assert max(map(len, encoder.batches)) <= 3


def test_single_item_that_does_not_fit():
    class Hungry(Lengths):
        def _encode(self, batch, device):
            raise MemoryError

    with pytest.raises(MemoryError, match="a single item does not fit"):
        Hungry().encode(["a", "b"])


def test_other_errors_of_a_network_are_not_swallowed():
    class Broken(Lengths):
        def _encode(self, batch, device):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Broken().encode(["a"])


def test_batches_are_worked_on_side_by_side():
    class Slow(Lengths):
        together = most = 0
        lock = threading.Lock()

        def _encode(self, batch, device):
            with Slow.lock:
                Slow.together += 1
                Slow.most = max(Slow.most, Slow.together)
            time.sleep(0.05)
            assert torch.get_num_threads() == 1 or Slow.most == 1  # the first batch runs alone
            with Slow.lock:
                Slow.together -= 1
            return super()._encode(batch, device)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        vectors = Slow().encode(["x" * n for n in range(9)], batch_size=1, device="cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert Slow.most == 2
    assert vectors[:, 0].tolist() == list(range(9))


def test_encoder_must_learn_first():
    with pytest.raises(NotFittedError, match="'vocabulary' has not learned"):
        Vocabulary().encode(["a"])
    with pytest.raises(DataError, match="no item to learn from"):
        Vocabulary().fit([None])
    with pytest.raises(DataError, match="1 labels for 2 items"):
        Vocabulary().fit(["a", "b"], labels=["x"])


def test_learning_is_put_off_until_something_must_be_encoded(tmp_path):
    texts = ["red bird", "blue bird", None]
    first = Vocabulary().fit_when_needed(texts)
    assert first.fits == 0
    vectors = first.run(texts, cache=tmp_path).vectors
    assert first.fits == 1
    assert vectors.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]] or vectors.shape == (3, 3)
    again = Vocabulary().fit_when_needed(texts)
    np.testing.assert_array_equal(again.run(texts, cache=tmp_path).vectors, vectors)
    assert again.fits == 0  # all vectors were there
    assert again.encode(["bird"]).shape == (1, 3)
    assert again.fits == 1


def test_fingerprint():
    assert Lengths().fingerprint == Lengths().fingerprint != Lengths(factor=2).fingerprint
    assert Vocabulary().fit(["a"]).fingerprint == Vocabulary().fit(["a"]).fingerprint
    assert Vocabulary().fit(["a"]).fingerprint != Vocabulary().fit(["b"]).fingerprint
    assert Vocabulary().fit(["a"]).fingerprint != Vocabulary().fit(["a"], labels=[1]).fingerprint


def test_same_content_same_key(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"picture")
    (tmp_path / "c.png").write_bytes(b"another")
    a, b, c = (base.content_key(tmp_path / f"{name}.png") for name in "abc")
    assert a == b != c
    assert base.content_key("picture") != a  # a text is not a file
    assert base.content_key(np.zeros(2)) != base.content_key(np.zeros(2, np.float32))
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "1.png").write_bytes(b"one")
    before = base.content_key(frames)
    (frames / "2.png").write_bytes(b"two")
    assert base.content_key(frames) != before


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": 2.5}, {"items": "a text"}, {"items": Path("a.png")}]
)
def test_wrong_arguments(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Lengths().encode(**{"items": ["a"], **wrong})


def test_vectors_of_the_wrong_shape():
    class Wrong(Lengths):
        dim = 3

    with pytest.raises(ParameterError, match=r"\(1, 2\) for 1 items of 3 dimensions"):
        Wrong().encode(["a"])


def test_work_ahead_keeps_the_order_and_stops_when_left():
    jobs = engine._ahead(iter([[n] for n in range(20)]), lambda batch: batch[0] ** 2, workers=3)
    assert [next(jobs) for _ in range(3)] == [([0], 0), ([1], 1), ([2], 4)]
    jobs.close()


def dataset(**media):
    import pandas as pd

    n = len(next(iter(media.values())))
    return mm.data.Dataset.from_frame(pd.DataFrame({"user": [0] * n, "item": range(n)}), media=media)


def test_encode_a_data_set():
    data = dataset(text=["a b", None, "c"], text_zh=["鸟", None, None])
    spec = {"text": Lengths(), "words": ("text", Vocabulary()), "text_zh": Lengths(factor=2)}
    features = mm.encoders.encode(data, spec, cache=None)
    assert features.dims == {"text": 2, "words": 3, "text_zh": 2}
    assert features["text_zh"].tolist() == [[2, 0], [0, 0], [0, 0]]
    assert features.mask["text_zh"].tolist() == [True, False, False]
    assert features["words"].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        ({}, "empty"),
        ({"image": "hog"}, "unknown medium of the data set 'image'"),
        ({"text": "minlm"}, "Did you mean 'minilm'"),
        ({"text": 7}, "give the name of an encoder"),
        ({"text": "history-mean"}, "vectors of users"),
    ],
)
def test_wrong_encoders(encoders, message):
    with pytest.raises(mm.errors.MMRecError, match=message):
        mm.encoders.encode(dataset(text=["a"]), encoders)


def test_create_by_name():
    with pytest.raises(ParameterError, match="no setting 'size'"):
        mm.encoders.create("minilm", size=3)
    with pytest.raises(ParameterError, match="reads text, not image"):
        mm.encoders.create("minilm", modality="image")
    assert mm.encoders.create("MiniLM").name == "minilm"


def test_available():
    table = mm.encoders.available()
    assert {"modality", "dim", "download_mb", "licence", "offline", "needs_fit", "about"} <= set(table)
    assert table.index.is_unique
    assert (table["offline"] == (table["download_mb"] == 0)).all()
    assert (mm.encoders.available("audio")["modality"] == "audio").all()
    with pytest.raises(mm.errors.UnknownNameError):
        mm.encoders.available("smell")


def test_threads_that_share_a_recurrent_network_leave_it_in_place():
    """Moving it, even to where it is, takes its list of weights apart while another thread computes."""
    network = torch.nn.GRU(3, 2)
    placed(network, "cpu")
    before = network._flat_weight_refs
    assert placed(network, torch.device("cpu")) is network
    assert network._flat_weight_refs is before
    assert not network.training
