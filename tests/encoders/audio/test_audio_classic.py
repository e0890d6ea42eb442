"""Spectra and the encoders without learning: known sounds with known answers."""

import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders.audio import spectra
from mmrec_lib.encoders.audio.classic import MFCC, Chroma, LogMel, Tempo
from mmrec_lib.errors import ParameterError

RATE = 22_050
ALL = [LogMel, MFCC, Chroma, Tempo]


def sine(frequency=440.0, seconds=1.0, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def clicks(beats, seconds=6):
    wave = np.zeros(int(seconds * RATE), np.float32)
    click = np.hanning(300) * np.random.default_rng(0).standard_normal(300)
    for start in np.arange(0.2, seconds - 0.1, 60 / beats):
        wave[int(start * RATE) :][:300] = click
    return wave


# -- spectra -------------------------------------------------------------------------------------------------------
def test_a_sine_at_full_scale_has_power_one_at_its_frequency():
    frequency = 40 * RATE / 1024  # in the middle of bin 40
    power = spectra.spectrogram(sine(frequency))[5]
    assert power.argmax() == 40
    assert power[40] == pytest.approx(1, abs=1e-3)


def test_frames_begin_every_hop_and_nothing_is_cut_off():
    assert spectra.spectrogram(np.ones(1, np.float32)).shape == (1, 513)
    assert len(spectra.spectrogram(np.ones(1024, np.float32))) == 1
    assert len(spectra.spectrogram(np.ones(1025, np.float32))) == 2
    late = np.zeros(2000, np.float32)
    late[-200:] = sine()[:200]
    assert spectra.spectrogram(late)[-1].max() > 1e-4


def test_mel_by_hand():
    assert spectra.to_mel(700) == pytest.approx(2595 * np.log10(2))
    assert spectra.to_mel(1000) == pytest.approx(1000, abs=0.1)
    np.testing.assert_allclose(spectra.to_hertz(spectra.to_mel([0, 440, 8000])), [0, 440, 8000], atol=1e-6)


def test_mel_filters_are_those_of_librosa():
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=64, htk=True, norm="slaney")
    edges = spectra.to_hertz(np.linspace(0, spectra.to_mel(RATE / 2), 66))
    theirs = theirs * ((edges[2:] - edges[:-2]) / 2)[:, None]  # undo its scaling by the width
    np.testing.assert_allclose(spectra.mel_filters(RATE).T, theirs, atol=1e-5)


def test_weights_of_a_frequency_add_up_to_one():
    total = spectra.mel_filters(RATE).sum(axis=1)
    frequency = np.fft.rfftfreq(1024, 1 / RATE)
    inner = (frequency > 40) & (frequency < 10_500)
    np.testing.assert_allclose(total[inner], 1, atol=1e-5)


@given(st.floats(-40, 0), st.floats(200, 8000))
def test_log_mel_shows_decibels_in_the_band_of_the_frequency(db, frequency):
    frames = spectra.log_mel(sine(frequency, 0.2, 10 ** (db / 20)), RATE)
    power = (10 ** (frames[1] / 10)).sum()  # the window spreads a sine over 1.5 bins' worth of power
    assert 10 * np.log10(power / 1.5) == pytest.approx(db, abs=0.2)
    centres = spectra.to_hertz(np.linspace(0, spectra.to_mel(RATE / 2), 66))[1:-1]
    assert abs(centres[frames[1].argmax()] / frequency - 1) < 0.1


def test_the_first_cepstral_coefficient_is_the_level():
    bands = np.full((3, 64), -30.0)
    cepstrum = spectra.cepstrum(bands, 5)
    np.testing.assert_allclose(cepstrum[:, 0], -30 * np.sqrt(64))
    np.testing.assert_allclose(cepstrum[:, 1:], 0, atol=1e-9)


def test_change_is_the_slope():
    np.testing.assert_allclose(spectra.change(np.arange(20.0)[:, None])[5:-5], 1)
    np.testing.assert_allclose(spectra.change(np.full((1, 3), 7.0)), 0, atol=1e-12)


@pytest.mark.parametrize(("frequency", "pitch_class"), [(440, 9), (880, 9), (261.63, 0), (311.13, 3), (987.77, 11)])
def test_pitch_classes(frequency, pitch_class):
    shares = spectra.pitch_classes(sine(frequency), RATE).mean(axis=0)
    assert shares.argmax() == pitch_class
    assert shares[pitch_class] > 0.9


@pytest.mark.parametrize("beats", [80, 120, 160])
def test_tempo_of_a_click_track(beats):
    found, strength = spectra.tempo(spectra.onset_strength(clicks(beats), RATE), RATE / 256)
    assert found == pytest.approx(beats, rel=0.01)
    assert strength > 0.7


def test_noise_has_a_weaker_beat_than_clicks_and_a_short_sound_none():
    noise = np.random.default_rng(0).standard_normal(6 * RATE).astype(np.float32)
    weak = spectra.tempo(spectra.onset_strength(noise, RATE), RATE / 256)[1]
    assert weak < 0.5 * spectra.tempo(spectra.onset_strength(clicks(120), RATE), RATE / 256)[1]
    assert spectra.tempo(np.array([0.0, 1, 0]), RATE / 256) == (0.0, 0.0)
    assert spectra.tempo(np.zeros(500), RATE / 256) == (0.0, 0.0)


# -- encoders ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", ALL)
@given(n=st.integers(1, 3000))
def test_any_length_gives_a_finite_vector_of_the_promised_length(cls, n):
    encoder = cls()
    vector = encoder.describe(sine()[-n:])
    assert vector.shape == (encoder.dim,)
    assert np.isfinite(vector).all()


def test_dimensions_are_those_of_the_catalogue():
    for name, dim in {"log-mel": 128, "mfcc": 80, "chroma": 24, "tempo": 4}.items():
        assert mm.encoders.create(name).dim == dim == mm.encoders.available().loc[name, "dim"]
    assert LogMel(bands=10).dim == 20
    assert MFCC(coefficients=13).dim == 52


def test_log_mel_feels_loudness_and_chroma_does_not():
    quiet, loud = sine(amplitude=0.01), sine(amplitude=0.1)
    band = LogMel().describe(loud)[:64].argmax()
    assert (LogMel().describe(loud) - LogMel().describe(quiet))[band] == pytest.approx(20, abs=0.01)
    np.testing.assert_allclose(Chroma().describe(loud), Chroma().describe(quiet), atol=1e-4)


def test_the_mean_over_time_forgets_order():
    wave = np.concatenate([sine(300, 0.5), sine(3000, 0.5)])
    np.testing.assert_allclose(LogMel().describe(wave), LogMel().describe(wave[::-1].copy()), atol=3)


def test_tempo_of_an_encoder_in_octaves():
    octaves, strength, rate, _ = Tempo().describe(clicks(120))
    assert octaves == pytest.approx(0, abs=0.02)
    assert strength > 0.7
    assert rate == pytest.approx(2, abs=0.3)


def test_files_are_encoded_one_row_each_whatever_the_batch(tmp_path):
    paths = [tmp_path / f"{n}.wav" for n in range(5)]
    for n, path in enumerate(paths):
        soundfile.write(path, 0.5 * sine(200 * (n + 1), 0.1 * (n + 1)), RATE)
    for cls in ALL:
        one, all_ = (cls().encode(paths, batch_size=size) for size in (1, 4))
        assert (one == all_).all()
        np.testing.assert_allclose(one[2], cls().encode([paths[2]])[0])


def test_settings_are_checked():
    for wrong in ({"bands": 0}, {"bands": 1.5}, {"rate": 10}, {"max_seconds": 0}, {"level": "loud"}):
        with pytest.raises(ParameterError):
            LogMel(**wrong)
    with pytest.raises(ParameterError, match="mel bands"):
        MFCC(coefficients=65)


def test_measures_need_neither_librosa_nor_numba():
    code = (
        "import sys, numpy as np\nfrom mmrec_lib.encoders.audio.classic import *\n"
        "for c in (LogMel, MFCC, Chroma, Tempo): c().describe(np.ones(5000, np.float32))\n"
        "assert not {'librosa', 'numba', 'transformers', 'torch'} & set(sys.modules)"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
