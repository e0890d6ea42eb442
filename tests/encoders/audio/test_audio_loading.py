"""Opening sounds of many formats, faults that name the file, and cleaning."""

import warnings

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders.audio import denoise, normalise, open_sound, resample, trim_silence
from mmrec_lib.encoders.audio.augment import decibels
from mmrec_lib.errors import DataError, MediaWarning, ParameterError

RATE = 22_050


def sine(frequency=440.0, seconds=1.0, rate=RATE, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def peak_frequency(wave, rate=RATE):
    return np.abs(np.fft.rfft(wave)).argmax() * rate / len(wave)


def write_with_av(path, wave, rate, codec, picture=False):
    """A file by FFmpeg; with ``picture`` a video that also has a stream of pictures."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        film = container.add_stream("mpeg4", rate=10) if picture else None
        stream = container.add_stream(codec, rate=rate, layout="mono") if codec else None
        if film is not None:
            film.width, film.height, film.pix_fmt = 32, 32, "yuv420p"
            for shade in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * shade, np.uint8), format="rgb24")
                container.mux(film.encode(frame))
            container.mux(film.encode())
        if stream is not None:
            fifo = av.AudioFifo()
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            fifo.write(frame)
            while part := fifo.read(stream.frame_size or 1024, partial=True):
                container.mux(stream.encode(part))
            container.mux(stream.encode())


@pytest.mark.parametrize(("ending", "rate"), [("wav", 8000), ("flac", 44_100), ("ogg", 22_254), ("mp3", 32_000)])
def test_a_sine_stays_a_sine_in_any_format_and_at_any_rate(ending, rate, tmp_path):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, sine(rate=rate), rate)
    wave = open_sound(path)
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert len(wave) / RATE == pytest.approx(1, abs=0.08)  # MP3 adds a little silence
    assert peak_frequency(wave) == pytest.approx(440, abs=3)
    assert np.abs(wave).max() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("name", "picture"), [("a.m4a", False), ("film.mp4", True)])
def test_av_reads_what_libsndfile_cannot(name, picture, tmp_path):
    write_with_av(tmp_path / name, sine(rate=44_100), 44_100, "aac", picture)
    wave = open_sound(tmp_path / name)
    assert peak_frequency(wave) == pytest.approx(440, abs=3)
    assert len(wave) / RATE == pytest.approx(1, abs=0.08)
    assert len(open_sound(tmp_path / name, max_seconds=0.25)) == pytest.approx(0.25 * RATE, abs=2)


def test_a_video_without_sound_says_so(tmp_path):
    write_with_av(tmp_path / "mute.mp4", None, None, None, picture=True)
    with pytest.raises(DataError, match=r"mute\.mp4: there is no sound"):
        open_sound(tmp_path / "mute.mp4")


def test_channels_are_averaged_or_kept(tmp_path):
    path = tmp_path / "two.wav"
    soundfile.write(path, np.stack([sine(), 0.2 * sine()], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(open_sound(path), 0.6 * sine(), atol=1e-6)
    assert open_sound(path, mono=False).shape == (2, RATE)
    assert open_sound(path, rate=11_025, mono=False).shape == (2, 11_025)


def test_only_the_wanted_seconds_are_read(tmp_path):
    path = tmp_path / "steps.wav"
    soundfile.write(path, np.repeat([0.1, 0.2, 0.3], 1000), 1000, subtype="FLOAT")
    np.testing.assert_allclose(open_sound(path, 1000, max_seconds=0.5, offset=1.0), np.full(500, 0.2), atol=1e-6)
    assert len(open_sound(path, 1000, max_seconds=None, offset=2.5)) == 500
    with pytest.raises(DataError, match=r"steps\.wav: shorter than the offset"):
        open_sound(path, offset=4)


def _broken(path, kind):
    if kind == "silent":
        soundfile.write(path, np.zeros(500), RATE)
    elif kind == "empty":
        soundfile.write(path, np.zeros(0), RATE)
    elif kind == "nan":
        soundfile.write(path, np.array([0.1, np.nan]), RATE, subtype="FLOAT")
    elif kind == "text":
        path.write_text("This is no sound. " * 50)
    elif kind == "no bytes":
        path.write_bytes(b"")


FAULTS = {
    "silent": "silent throughout", "empty": "no sound in it", "nan": "no numbers", "text": "not a sound",
    "no bytes": "not a sound", "missing": "no such file",
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_names_the_file_and_the_reason(kind, tmp_path):
    _broken(tmp_path / "bad.wav", kind)
    with pytest.raises(DataError, match=rf"bad\.wav: .*{FAULTS[kind]}"):
        open_sound(tmp_path / "bad.wav")


def test_an_encoder_masks_faults_and_warns_with_one_name_each(tmp_path):
    paths = []
    for kind in FAULTS:
        paths.append(tmp_path / f"{kind.replace(' ', '')}.wav")
        _broken(paths[-1], kind)
    good = tmp_path / "good.wav"
    soundfile.write(good, sine(), RATE)
    with pytest.warns(MediaWarning, match="silent throughout") as caught:
        run = mm.encoders.create("log-mel").run([good, *paths, None])
    assert run.mask.tolist() == [True] + [False] * (len(FAULTS) + 1)
    assert [d.item for d in run.damaged] == list(range(1, len(FAULTS) + 1))
    assert str(caught[0].message).count("silent.wav") == 1


def test_a_truncated_file_gives_what_is_left(tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, sine(seconds=3), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    np.testing.assert_allclose(open_sound(path), sine(seconds=3)[: len(open_sound(path))], atol=1e-4)
    assert len(open_sound(path)) / RATE == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 22_050.5}, {"max_seconds": 0}, {"offset": -1}])
def test_arguments_out_of_range(wrong, tmp_path):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        open_sound(tmp_path / "a.wav", **wrong)


@given(st.integers(1, 400), st.sampled_from([5000, 8000, 11_127, 44_100]))
def test_resampling_keeps_the_length_in_seconds(n, found):
    wave = resample(np.full(n, 0.5, np.float32), found, RATE)
    assert abs(len(wave) - n * RATE / found) <= 1
    assert np.isfinite(wave).all()


# -- cleaning ------------------------------------------------------------------------------------------------------
def test_gating_raises_the_signal_to_noise_ratio():
    rng = np.random.default_rng(0)
    clean = np.zeros(2 * RATE, np.float32)
    clean[RATE : RATE + RATE // 2] = sine(2000, 0.5)
    noise = (0.1 * rng.standard_normal(len(clean))).astype(np.float32)
    for example in (None, noise[:RATE]):
        cleaned = denoise(clean + noise, noise=example)
        assert decibels(clean, cleaned - clean) > decibels(clean, noise) + 4
    np.testing.assert_allclose(denoise(clean + noise, strength=0), clean + noise, atol=5e-3)


def test_without_an_example_a_gate_takes_a_steady_tone_for_noise():
    example = (0.01 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    assert np.abs(denoise(sine())[3000:-3000]).max() < 0.1
    assert np.abs(denoise(sine(), noise=example)[3000:-3000]).max() > 0.45


@pytest.mark.parametrize("n", [1, 10, 1500])
def test_gating_works_on_short_and_silent_waves_without_a_warning(n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert denoise(sine()[:n]).shape == (n,)
        assert not denoise(np.zeros(n, np.float32)).any()


def test_silence_is_trimmed_at_both_ends_and_not_within():
    gap = np.zeros(RATE // 2, np.float32)
    wave = np.concatenate([gap, sine(seconds=0.2), gap, sine(seconds=0.2), gap])
    trimmed = trim_silence(wave)
    assert len(trimmed) / RATE == pytest.approx(0.9, abs=0.06)
    assert len(trim_silence(np.zeros(100, np.float32))) == 100


@given(st.floats(0.001, 2), st.sampled_from(["peak", "loudness"]))
def test_normalising_brings_any_gain_to_one_level(amplitude, how):
    wave = normalise(sine(amplitude=amplitude), how)
    level = np.abs(wave).max() if how == "peak" else np.sqrt((wave**2).mean())
    assert level == pytest.approx(0.95 if how == "peak" else 0.1, rel=1e-3)


def test_normalising_leaves_silence_alone_and_knows_its_ways():
    assert not normalise(np.zeros(5, np.float32), "loudness").any()
    assert normalise(sine(), "none").tolist() == sine().tolist()
    with pytest.raises(ParameterError, match="normalise"):
        normalise(sine(), "lufs")


def test_an_encoder_prepares_sounds_as_asked(tmp_path):
    path = tmp_path / "quiet.wav"
    soundfile.write(path, np.concatenate([np.zeros(RATE), 0.01 * sine()]), RATE, subtype="FLOAT")
    encoder = mm.encoders.create("log-mel", level="loudness", trim=True)
    wave = mm.encoders.audio.loading.SoundEncoder._open(encoder, path)
    assert len(wave) / RATE == pytest.approx(1, abs=0.05)
    assert np.sqrt((wave**2).mean()) == pytest.approx(0.1, rel=1e-3)
