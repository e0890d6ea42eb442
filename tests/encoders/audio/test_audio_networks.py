"""The CNN and the GRU: they learn with and without labels, the same each time, and a batch changes nothing."""

import numpy as np
import pytest
import soundfile
import torch

import mmrec_lib as mm
from mmrec_lib.encoders.audio.networks import AudioCNN, AudioGRU, _mask
from mmrec_lib.errors import DataError, MediaWarning, NotFittedError, ParameterError

RATE = 8000
BOTH = [AudioCNN, AudioGRU]
SMALL = {
    "dim": 16,
    "bands": 16,
    "epochs": 12,
    "batch_size": 8,
    "crop_seconds": 0.3,
    "rate": RATE,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twelve rising and twelve falling chirps of 0.05 to 0.6 seconds, each at a level and a place of its own."""
    folder, rng = tmp_path_factory.mktemp("chirps"), np.random.default_rng(0)
    paths, labels = [], []
    for n in range(24):
        time = np.arange(int(rng.uniform(0.05, 0.6) * RATE)) / RATE
        start, end = 400 * rng.uniform(0.9, 1.1), 2500 * rng.uniform(0.9, 1.1)
        frequency = np.linspace(start, end, len(time))[:: 1 if n % 2 else -1]
        wave = rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
        paths.append(folder / f"{n}.wav")
        labels.append("rises" if n % 2 else "falls")
        soundfile.write(paths[-1], wave + 0.003 * rng.standard_normal(len(wave)), RATE)
    return paths, labels


@pytest.mark.parametrize("cls", BOTH)
def test_it_learns_with_labels(cls, corpus):
    paths, labels = corpus
    encoder = cls(**SMALL | {"epochs": 20}).fit(paths, labels=labels, device="cpu")
    assert encoder.loss_[-1] < 0.6 * encoder.loss_[0]
    vectors = encoder.encode(paths, device="cpu")
    assert mm.evaluation.neighbour_accuracy(vectors, labels)["accuracy"] > 0.8


@pytest.mark.parametrize("cls", BOTH)
def test_it_learns_without_labels_to_tell_sounds_apart(cls, corpus):
    encoder = cls(**SMALL).fit(corpus[0], device="cpu")
    assert encoder.loss_[-1] < 0.75 * np.log(8)  # chance among the eight of a batch


@pytest.mark.parametrize("cls", BOTH)
def test_a_sound_has_the_same_vector_in_any_batch(cls, corpus):
    encoder = cls(**SMALL | {"epochs": 2}).fit(corpus[0], device="cpu")
    alone, together = (encoder.encode(corpus[0], batch_size=size, device="cpu") for size in (1, 24))
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("cls", BOTH)
def test_the_same_seed_gives_the_same_vectors_and_the_callers_generators_stay(cls, corpus):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    settings = SMALL | {"epochs": 2, "copies": 1}
    first, second, other = (
        cls(**settings | {"seed": seed}).fit(corpus[0], device="cpu").encode(corpus[0], device="cpu")
        for seed in (3, 3, 4)
    )
    assert (torch.random.get_rng_state() == before).all()
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("name", ["audio-cnn", "audio-gru"])
def test_kept_and_read_again(name, corpus, tmp_path):
    encoder = mm.encoders.create(name, **SMALL | {"epochs": 2}).fit(*corpus, device="cpu")
    encoder.save(tmp_path / "kept")
    again = mm.encoders.load(tmp_path / "kept")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(corpus[0], device="cpu"), encoder.encode(corpus[0], device="cpu"))


def test_one_label_for_all_is_no_label(corpus):
    encoder = AudioGRU(**SMALL | {"epochs": 1}).fit(corpus[0], labels=["bird"] * 24, device="cpu")
    without = AudioGRU(**SMALL | {"epochs": 1}).fit(corpus[0], device="cpu")
    assert encoder.loss_ == without.loss_


def test_faults_are_left_out_of_learning_and_named_in_encoding(corpus, tmp_path):
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(100), RATE)
    encoder = AudioGRU(**SMALL | {"epochs": 1}).fit([*corpus[0], silent, None], device="cpu")
    with pytest.warns(MediaWarning, match="silent"):
        run = encoder.run([corpus[0][0], silent, None], device="cpu")
    assert run.mask.tolist() == [True, False, False]
    with pytest.raises(DataError, match="1 of 2 sounds"):
        AudioGRU(**SMALL).fit([corpus[0][0], silent], device="cpu")


def test_before_learning_and_wrong_settings(corpus):
    with pytest.raises(NotFittedError):
        AudioCNN(**SMALL).encode(corpus[0])
    for wrong in ({"dim": 15}, {"dim": 0}, {"epochs": 0}, {"copies": -1}, {"crop_seconds": 0}, {"weight_decay": -1}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            AudioCNN(**wrong)


def test_mask_by_hand():
    assert _mask(torch.tensor([1, 3]), 3, "cpu").tolist() == [[1, 0, 0], [1, 1, 1]]
