"""What every encoder must do, whatever it reads: one suite, run over all registered names by the real code path.

Models of the hub are tiny ones with random weights in a folder (``tiny_model``), loaded as real ones are.
"""

from __future__ import annotations

import copy
import inspect
import json
import warnings

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import MediaWarning, ModelFileError, NotFittedError, ParameterError

NAMES = list(mm.encoders.available().index)
TABLE = mm.encoders.available()
KINDS = {  # what a tiny model of the right kind is
    "multilingual-minilm": "bert", "bert": "bert", "bert-chinese": "bert", "gpt2": "gpt2", "clip-text": "clip",
    "siglip-text": "siglip", "clap-text": "clap", "vit": "vit", "clip": "clip", "siglip": "siglip", "ast": "ast",
    "wav2vec2": "wav2vec2", "clap": "clap", "videomae": "videomae",
}  # fmt: skip
TORCHVISION = ("resnet50", "vgg16", "inception-v3", "vit-b16")
#: Settings with which an encoder that learns is quick.
QUICK = {
    "word2vec": {"dim": 8, "epochs": 2},
    "lstm": {"dim": 8, "epochs": 1},
    "sift": {"dim": 8},
    "cnn": {"dim": 8, "epochs": 1},
    "audio-cnn": {"dim": 8, "epochs": 1},
    "audio-gru": {"dim": 8, "epochs": 1},
    "cnn3d": {"dim": 8, "epochs": 1},
    "geohash": {"dim": 8},
    "trajectory": {"dim": 8, "epochs": 1},
    "frames": {"image": "colour-histogram"},
    "user-text": {"text": "minilm"},
    "history-attention": {"epochs": 1},
}
#: Read nothing that could be damaged: any value has a vector.
NEVER_DAMAGED = ("metadata", "user", "place", "time")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ten pictures, ten sounds, six films, each a little different."""
    import av
    import soundfile
    from PIL import Image

    root = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    made = {"image": [], "audio": [], "video": []}
    for n in range(10):
        picture = np.kron(rng.integers(0, 255, (8, 8, 3), np.uint8), np.ones((12, 12, 1), np.uint8))
        made["image"].append(root / f"{n}.png")
        Image.fromarray(picture).save(made["image"][-1])
        wave = np.sin(2 * np.pi * (220 + 60 * n) * np.arange(16_000) / 16_000) + 0.05 * rng.normal(size=16_000)
        made["audio"].append(root / f"{n}.wav")
        soundfile.write(made["audio"][-1], 0.4 * wave, 16_000)
    for n in range(6):
        made["video"].append(root / f"{n}.mp4")
        with av.open(str(made["video"][-1]), "w") as film:
            stream = film.add_stream("mpeg4", rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for k in range(10):
                image = np.full((48, 64, 3), 30 * n, np.uint8)
                image[10:30, 4 * k : 4 * k + 10] = 250 - 30 * n
                for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                    film.mux(packet)
            for packet in stream.encode():
                film.mux(packet)
    return made


@pytest.fixture(scope="module")
def items(files):
    """Modality to items of the kind that its encoders read; by name where encoders of one modality differ."""
    rng = np.random.default_rng(1)
    words = ["red", "blue", "small", "large", "bird", "boat", "apple", "drum", "sings", "sleeps"]
    texts = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(20)] + ["Ein Vogel", "一只红色的鸟"]
    rows = [{"price": float(n), "kind": "ab"[n % 2], "year": 1990 + n} for n in range(12)]
    ways = [[(50 + 0.01 * k * (n % 3), 8 + 0.02 * k) for k in range(3 + n % 4)] for n in range(10)]
    people = [{"age": 20 + n, "sex": "FM"[n % 2], "occupation": ["artist", "doctor"][n % 2]} for n in range(12)]
    histories = [[n % 6, (n + 1) % 6, (n + 3) % 6][: 1 + n % 3] for n in range(12)]
    return {
        "text": texts,
        **files,
        "time": [1_700_000_000 + 86_400 * n for n in range(8)],
        "metadata": rows,
        "geohash": [(50 + n % 4, 8 + n) for n in range(12)],
        "trajectory": ways,
        "demographics": people,
        "history-mean": histories,
        "history-attention": histories,
        "user-text": [["a red bird", "two boats"], ["an apple"], ["a drum sings", "a drum", "birds"]],
    }


@pytest.fixture(scope="module")
def make(tiny_model, tmp_path_factory):
    """``make(name)``: an encoder that is quick, not fitted."""
    states = tmp_path_factory.mktemp("torchvision")

    def get(name: str):
        if name in KINDS:
            return mm.encoders.create(name, model=tiny_model(KINDS[name]), precision="float32")
        if name in TORCHVISION:
            weights = _random_state(mm.encoders.create(name).model, states)
            return mm.encoders.create(name, weights=weights, precision="float32")
        if name == "glove":
            path = states / "glove.txt"
            path.write_text("red 1 0 0\nbird 0 1 0\nboat 0 0 1\napple 1 1 0\n")
            return mm.encoders.create(name, path=str(path))
        encoder = mm.encoders.create(name, **_exact(name), **QUICK.get(name, {}))
        if name in ("history-mean", "history-attention"):
            encoder.with_items(np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32))
        return encoder

    return get


def _exact(name: str) -> dict:
    """Full precision, whatever this machine's processor would choose: half of it notices how items are batched."""
    params = inspect.signature(mm.encoders.get_class(name).__init__).parameters
    return {"precision": "float32"} if "precision" in params else {}


def _random_state(model: str, folder):
    import torch
    import torchvision

    path = folder / f"{model}.pth"
    if not path.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            torch.save(torchvision.models.get_model(model, weights=None, **_init(model)).state_dict(), path)
    return str(path)


def _init(model: str) -> dict:
    return {"init_weights": False} if model == "inception_v3" else {}


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def wanted(name, items):
    return items.get(name) or items[TABLE.loc[name, "modality"]]


@pytest.fixture(scope="module")
def encoder(name, make, wanted):
    """Fitted once for all tests that only look."""
    return fitted(make(name), wanted)


def fitted(encoder, wanted):
    labels = [float(n % 2) for n in range(len(wanted))] if encoder.modality in ("metadata", "place") else None
    return encoder.fit(wanted, labels=labels)


@pytest.fixture(scope="module")
def vectors(encoder, wanted):
    return encoder.encode(wanted)


def test_says_what_it_is(name, encoder):
    assert encoder.name == name
    assert encoder.modality == TABLE.loc[name, "modality"]
    assert encoder.needs_fit == TABLE.loc[name, "needs_fit"]
    assert len(TABLE.loc[name, "about"]) > 10


def test_settings(name, encoder):
    params = encoder.get_params()
    json.dumps(params)  # so that they can be saved
    for param in params:
        assert param in (inspect.getdoc(type(encoder)) or ""), f"{type(encoder).__name__}: {param} is not documented"
    with pytest.raises(ParameterError, match="no setting 'colour_'"):
        mm.encoders.create(name, colour_=1)


def test_vectors_are_finite_float32(encoder, vectors, wanted):
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(wanted), encoder.dim)
    assert np.isfinite(vectors).all()
    assert vectors.any()


def test_different_items_have_different_vectors(name, vectors):
    if name == "tempo":
        pytest.skip("a steady tone has no tempo")
    assert len(np.unique(vectors.round(6), axis=0)) > 1


def test_missing_items_have_masked_rows(encoder, wanted, vectors):
    result = encoder.run([None, *wanted[:2], None])
    assert result.mask.tolist() == [False, True, True, False]
    assert not result.vectors[[0, 3]].any()
    np.testing.assert_allclose(result.vectors[1:3], vectors[:2], rtol=1e-3, atol=1e-4)


def test_nothing_at_all(encoder):
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.encode([None]).shape == (1, encoder.dim)


def test_batches_do_not_change_vectors(encoder, wanted, vectors):
    np.testing.assert_allclose(encoder.encode(wanted, batch_size=3), vectors, rtol=1e-3, atol=1e-4)


def test_half_precision_says_nearly_the_same(name, wanted, vectors):
    if name not in ("minilm", "efficientnet-lite0"):
        pytest.skip("no pretrained weights here")
    half = mm.encoders.create(name, precision="bfloat16").encode(wanted)
    there = vectors.any(axis=1)
    lengths = np.linalg.norm(half, axis=1) * np.linalg.norm(vectors, axis=1)
    assert ((half * vectors).sum(axis=1)[there] / lengths[there]).min() > 0.995


def test_same_seed_same_result(name, make, wanted, vectors):
    np.random.default_rng().normal(size=3)
    np.random.seed(7)  # noqa: NPY002  a global state that must not matter
    again = fitted(make(name), wanted)
    np.testing.assert_array_equal(again.encode(wanted), vectors)


def test_global_random_state_is_left_alone(name, make, wanted):
    import torch

    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    fitted(make(name), wanted).encode(wanted[:2])
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert (torch.get_rng_state() == before[1]).all()


def test_must_learn_first(name, make, wanted):
    encoder = make(name)
    if not encoder.needs_fit:
        pytest.skip("nothing to learn")
    with pytest.raises(NotFittedError, match=name):
        encoder.encode(wanted)


def test_fingerprint(name, make, encoder, wanted):
    assert fitted(make(name), wanted).fingerprint == encoder.fingerprint
    if encoder.needs_fit:
        assert fitted(make(name), wanted[1:]).fingerprint != encoder.fingerprint


def test_second_run_comes_from_the_cache(encoder, wanted, vectors, tmp_path):
    first = encoder.run(wanted, cache=tmp_path)
    assert first.n_encoded > 0
    np.testing.assert_allclose(first.vectors, vectors, rtol=1e-3, atol=1e-4)
    second = encoder.run(wanted, cache=tmp_path)
    assert second.n_encoded == 0
    np.testing.assert_array_equal(second.vectors, first.vectors)


def test_damaged_items_are_named_and_stop_nothing(encoder, wanted, tmp_path):
    if encoder.modality in NEVER_DAMAGED:
        pytest.skip("no files")
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(b"nothing that can be decoded")
    bad = damaged if encoder.reads_files else 7
    with pytest.warns(MediaWarning, match=encoder.name):
        result = encoder.run([wanted[0], bad, wanted[1]])
    assert result.mask.tolist() == [True, False, True]
    assert [d.item for d in result.damaged] == [1]
    if encoder.reads_files:
        assert "damaged.bin" in result.damaged[0].name


def test_save_and_load(encoder, wanted, vectors, tmp_path):
    path = encoder.save(tmp_path / "encoder")
    assert sorted(file.name for file in path.iterdir()) == ["encoder.json", "encoder.safetensors"]
    again = mm.encoders.load(path)
    assert type(again) is type(encoder)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_allclose(again.encode(wanted), vectors, rtol=1e-5, atol=1e-6)


def test_default_construction(name):
    """With defaults alone, but for what only the caller can name; nothing is loaded or fetched."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = mm.encoders.create(name, **({"path": "vectors.txt"} if name == "glove" else {}))
    assert copy.deepcopy(encoder).get_params() == encoder.get_params()


def test_table_gives_the_dimension_of_the_defaults(name, make, wanted):
    dim = TABLE.loc[name, "dim"]
    if pd.isna(dim) or not TABLE.loc[name, "offline"] or TABLE.loc[name, "needs_fit"]:
        pytest.skip("known only with data or a network")
    assert mm.encoders.create(name).dim == dim


def test_saved_encoder_that_is_damaged(tmp_path):
    mm.encoders.create("colour-histogram").save(tmp_path / "encoder")
    (tmp_path / "encoder" / "encoder.json").write_text("{")
    with pytest.raises(ModelFileError, match="damaged"):
        mm.encoders.load(tmp_path / "encoder")
    with pytest.raises(ModelFileError, match="no saved encoder"):
        mm.encoders.load(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(ModelFileError, match="name a new folder"):
        mm.encoders.create("colour-histogram").save(tmp_path / "other")
