"""Variants of sounds: the ratio that was asked for, echoes, lengths and pitches worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec_lib.encoders.audio import augment
from mmrec_lib.errors import ParameterError

RATE = 22_050


def sine(frequency=440.0, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def peak_frequency(wave):
    return np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave)


@given(st.floats(-20, 40), st.integers(0, 99), st.booleans())
def test_noise_has_the_ratio_that_was_asked_for(snr, seed, recorded):
    noise = np.random.default_rng(1).uniform(-1, 1, 300) if recorded else None
    noisy = augment.add_noise(sine(seconds=0.2), snr, seed, noise)
    assert augment.decibels(sine(seconds=0.2), noisy - sine(seconds=0.2)) == pytest.approx(snr, abs=0.05)


def test_decibels_by_hand():
    assert augment.decibels(np.full(4, 10.0), np.full(4, 1.0)) == pytest.approx(20)
    assert augment.decibels(sine(), sine()) == pytest.approx(0)


def test_an_echo_of_an_impulse():
    impulse = np.zeros(10, np.float32)
    impulse[0] = 1
    out = augment.echo(impulse, rate=10, delay=0.3, decay=0.5, times=2)
    assert len(out) == 16
    assert out[[0, 3, 6]].tolist() == [1, 0.5, 0.25]
    assert out.sum() == pytest.approx(1.75)


def test_speed_makes_shorter_and_higher():
    fast = augment.speed(sine(), 1.25)
    assert len(fast) == pytest.approx(RATE / 1.25, abs=2)
    assert peak_frequency(fast) == pytest.approx(550, abs=3)
    assert augment.speed(sine()[:1], 3).tolist() == sine()[:1].tolist()


def test_pitch_makes_higher_and_keeps_the_length():
    octave = augment.pitch(sine(), semitones=12)
    assert len(octave) == RATE
    assert peak_frequency(octave) == pytest.approx(880, abs=10)
    assert augment.pitch(sine()[:40], semitones=2).shape == (40,)


@given(st.floats(-30, 20))
def test_gain_in_decibels(db):
    assert augment.decibels(augment.gain(sine(), db), sine()) == pytest.approx(db, abs=0.01)


@given(st.integers(1, 3000), st.integers(0, 50))
def test_a_variant_is_seeded_finite_and_of_like_length(n, seed):
    wave = sine()[-n:]
    one = augment.variant(wave, RATE, seed)
    assert (one == augment.variant(wave, RATE, seed)).all()
    assert np.isfinite(one).all()
    assert 0.85 * n - 2 <= len(one) <= 1.12 * n + 0.4 * RATE + 2
    assert augment.variant(wave, RATE, seed, strength=0) is wave


def test_no_variant_touches_the_original():
    wave = sine()
    before = wave.copy()
    for change in (lambda w: augment.add_noise(w, 5), augment.echo, lambda w: augment.gain(w, 3), augment.variant):
        change(wave)
    assert (wave == before).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ParameterError, match="silent"):
        augment.add_noise(sine(), 10, noise=np.zeros(5))
    with pytest.raises(ParameterError, match="delay"):
        augment.echo(sine(), delay=0)
    with pytest.raises(ParameterError, match="factor"):
        augment.speed(sine(), 0)
