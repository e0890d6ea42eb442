import doctest

import av
import numpy as np
import pytest
from PIL import Image

import mmrec_lib as mm
from mmrec_lib.encoders.base import Encoder
from mmrec_lib.encoders.video import FramePooling, SmallCNN3D, frames, sample_frames
from mmrec_lib.errors import DataError, DownloadError, MediaWarning, ParameterError, UnknownNameError


def write_film(path, pictures, rate=10, codec="libx264", key_every=12, turn=0):
    """A film of arrays (height, width, 3), as good as lossless."""
    with av.open(str(path), "w") as container:
        options = {"crf": "1", "g": str(key_every), "sc_threshold": "0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = {"libx264": "yuv420p", "mjpeg": "yuvj420p", "gif": "rgb8"}[codec]
        if turn:
            stream.set_display_rotation(turn)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def greys(*values, shape=(32, 48)):
    """A picture of one grey for each value."""
    return [np.full((*shape, 3), value, np.uint8) for value in values]


def seen(pictures):
    return [round(float(np.asarray(picture).mean())) for picture in pictures]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Picture k is grey 10 k: 20 pictures, two seconds."""
    return write_film(tmp_path_factory.mktemp("film") / "grey.mp4", greys(*range(0, 200, 10)))


# -- sampling ------------------------------------------------------------------------------------------------------
def test_doctests():
    assert doctest.testmod(frames).failed == 0


def test_the_middle_of_each_part_is_taken(film):
    pictures = sample_frames(film, 4)  # parts of five pictures: 2, 7, 12, 17
    assert [p.size for p in pictures] == [(48, 32)] * 4
    assert all(p.mode == "RGB" for p in pictures)
    np.testing.assert_allclose(seen(pictures), [20, 70, 120, 170], atol=3)
    np.testing.assert_allclose(seen(sample_frames(film, 1)), [100], atol=3)
    np.testing.assert_allclose(seen(sample_frames(film, 20)), range(0, 200, 10), atol=3)


def test_a_short_film_repeats_its_pictures(tmp_path):
    short = write_film(tmp_path / "short.mp4", greys(40, 200))
    np.testing.assert_allclose(seen(sample_frames(short, 4)), [40, 40, 200, 200], atol=3)


def test_key_frames(film):
    # key frames are 0 and 12: of the middles 2, 7, 12, 17 each gets the one before it
    np.testing.assert_allclose(seen(sample_frames(film, 4, how="keyframes")), [0, 0, 120, 120], atol=3)


def test_long_films_are_sought(tmp_path, monkeypatch):
    long = write_film(tmp_path / "long.mp4", greys(*(k % 25 * 10 for k in range(300)), shape=(16, 16)), rate=2)
    everywhere = seen(sample_frames(long, 3))  # 150 s, so parts of 50 s: pictures 50, 150, 250
    np.testing.assert_allclose(everywhere, [0, 0, 0], atol=3)
    decoded = []
    real = frames._time
    monkeypatch.setattr(frames, "_time", lambda frame: decoded.append(frame) or real(frame))
    assert seen(sample_frames(long, 3)) == everywhere
    assert len(decoded) < 60
    monkeypatch.setattr(frames, "_SEEK_FROM", 1e9)
    assert seen(sample_frames(long, 3)) == everywhere


@pytest.mark.parametrize("ending", ["mkv", "avi", "h264"])
def test_other_containers_too(tmp_path, ending):
    codec = "mjpeg" if ending == "avi" else "libx264"
    path = write_film(tmp_path / f"film.{ending}", greys(*range(0, 200, 10)), codec=codec)
    # a bare stream says neither how long it is nor when its pictures are shown
    np.testing.assert_allclose(seen(sample_frames(path, 4)), [20, 70, 120, 170], atol=3)


def test_a_turned_film_is_turned_back(tmp_path):
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:8] = 255  # light on top
    for turn, light in ((90, np.s_[:, :8]), (180, np.s_[-8:]), (-90, np.s_[:, -8:])):
        film = write_film(tmp_path / f"turned{turn}.mp4", [picture] * 3, turn=turn)
        got = np.asarray(sample_frames(film, 1)[0])
        assert got.shape[:2] == ((32, 48) if turn == 180 else (48, 32))
        assert got[light].mean() > 240
        assert got.mean() == pytest.approx(255 / 4, abs=5)


def test_gif_and_folder(tmp_path):
    pictures = [Image.fromarray(p) for p in greys(*range(0, 120, 10))]
    pictures[0].save(tmp_path / "moving.gif", save_all=True, append_images=pictures[1:])
    folder = tmp_path / "shots"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    for number, picture in enumerate(pictures, start=1):
        picture.save(folder / f"shot{number}.png")  # shot10 comes after shot9
    for path in (tmp_path / "moving.gif", folder):
        np.testing.assert_allclose(seen(sample_frames(path, 4)), [10, 40, 70, 100], atol=3)


def test_transparent_is_white(tmp_path):
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "1.png")
    assert seen(sample_frames(tmp_path, 2)) == [255, 255]


def test_smaller(film):
    assert [p.size for p in sample_frames(film, 2, size=16)] == [(24, 16)] * 2
    assert sample_frames(film, 1, size=500)[0].size == (48, 32)


def test_broken_films_are_named(tmp_path, film):
    empty, noise, cut, sound = (tmp_path / name for name in ("empty.mp4", "noise.mp4", "cut.mp4", "sound.wav"))
    empty.touch()
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    cut.write_bytes(film.read_bytes()[:300])
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        wave.rate = 8000
        container.mux(stream.encode(wave))
    folder = tmp_path / "folder"
    folder.mkdir()
    bad = folder / "1.png"
    messages = {
        empty: "empty.mp4: the file is empty", noise: "noise.mp4: not a film", cut: "cut.mp4: not a film",
        sound: "sound.wav: the file holds no pictures", tmp_path / "gone.mp4": "gone.mp4: no such file",
        folder: "folder: no pictures",
    }  # fmt: skip
    for path, message in messages.items():
        with pytest.raises(DataError, match=message):
            sample_frames(path)
    for path in (bad, tmp_path / "bad.gif"):
        path.write_bytes(b"no picture")
        with pytest.raises(DataError, match="that can be read"):
            sample_frames(folder if path is bad else path)


def test_settings_of_sampling(film):
    for options in ({"n": 0}, {"n": 2.5}, {"how": "all"}):
        with pytest.raises(ParameterError):
            sample_frames(film, **options)


# -- pooling -------------------------------------------------------------------------------------------------------
class MeanColour(Encoder):
    """The mean of red, green and blue: an image encoder that can be checked by hand."""

    name, modality, dim, reads_files = "colour-histogram", "image", 3, True

    def __init__(self):
        pass

    def _open(self, item):
        return np.asarray(item, float)

    def _encode(self, batch, device):
        return np.stack([picture.mean(axis=(0, 1)) for picture in batch])


def test_pooling_by_hand(film):
    values = np.array([20, 70, 120, 170.0])
    for pooling, wanted in (
        ("mean", [values.mean()] * 3),
        ("max", [170] * 3),
        ("mean+std", [values.mean()] * 3 + [values.std()] * 3),
    ):
        encoder = FramePooling(MeanColour(), pooling, frames=4)
        assert encoder.dim == len(wanted)
        run = encoder.run([film, None])
        np.testing.assert_allclose(run.vectors, [wanted, [0] * len(wanted)], atol=3)
        assert run.mask.tolist() == [True, False]


def test_the_order_of_frames_makes_no_difference(tmp_path):
    values = [10, 60, 200, 250]
    there, back = (write_film(tmp_path / f"{name}.mp4", greys(*v)) for name, v in (("a", values), ("b", values[::-1])))
    for pooling in ("mean", "max", "mean+std"):
        a, b = FramePooling(MeanColour(), pooling, frames=4).encode([there, str(back)], device="cpu")
        np.testing.assert_allclose(a, b, atol=3)


def test_a_registered_image_encoder_and_a_saved_one(film, tmp_path):
    encoder = mm.encoders.create("frames", image="colour-histogram", frames=2)
    vectors = encoder.encode([film])
    assert vectors.shape == (1, encoder.dim)
    given = FramePooling(mm.encoders.create("colour-histogram"), frames=2)
    assert given.fingerprint == encoder.fingerprint
    encoder.save(tmp_path / "pooled")
    np.testing.assert_array_equal(mm.encoders.load(tmp_path / "pooled").encode([film]), vectors)
    encoder.image_encoder.save(tmp_path / "single")
    from_folder = FramePooling(str(tmp_path / "single"), frames=2)
    np.testing.assert_array_equal(from_folder.encode([film]), vectors)


def test_an_image_encoder_that_must_learn_comes_from_a_folder(film, tmp_path):
    with pytest.raises(ParameterError, match="save"):
        _ = FramePooling("cnn").dim
    with pytest.raises(ParameterError, match="reads text"):
        FramePooling(mm.encoders.create("tfidf"))
    with pytest.raises(UnknownNameError, match="image encoder"):
        FramePooling("log-mel")


def test_settings_of_pooling():
    for options in (
        {"pooling": "sum"},
        {"frames": 0},
        {"how": "all"},
        {"image": MeanColour(), "image_options": {"a": 1}},
    ):
        with pytest.raises(ParameterError):
            FramePooling(**options)


def test_a_broken_film_is_masked(film, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film")
    with pytest.warns(MediaWarning, match=r"broken\.mp4"):
        run = FramePooling(MeanColour(), frames=2).run([film, broken])
    assert run.mask.tolist() == [True, False]


# -- the small 3D network ------------------------------------------------------------------------------------------
def moving(folder, n=48, seed=0):
    """Noise that moves to the left or to the right: no single picture tells which."""
    rng = np.random.default_rng(seed)
    paths, left = [], rng.random(n) < 0.5
    for number, to_left in enumerate(left):
        wide = Image.fromarray(rng.integers(0, 255, (4, 12, 3), dtype=np.uint8)).resize((96, 32))
        views = [np.asarray(wide)[:, at : at + 32] for at in range(0, 64, 8)]
        paths.append(write_film(folder / f"{number}.mp4", views if to_left else views[::-1]))
    return paths, left


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return moving(tmp_path_factory.mktemp("moving"))


def test_the_network_sees_motion(films):
    paths, left = films
    import torch

    before = torch.get_rng_state()
    encoder = SmallCNN3D(dim=16, size=16, epochs=12, batch_size=8).fit(paths[:32], left[:32])
    assert torch.equal(torch.get_rng_state(), before)
    vectors = encoder.encode(paths)
    middles = np.stack([vectors[:32][left[:32] == side].mean(axis=0) for side in (False, True)])
    nearer = np.linalg.norm(vectors[32:, None] - middles, axis=2).argmin(axis=1)
    assert (nearer == left[32:]).mean() >= 7 / 8
    np.testing.assert_allclose(encoder.encode(paths, batch_size=5), vectors, atol=1e-4)


@pytest.mark.parametrize("task", ["order", "arrow"])
def test_it_learns_without_labels_too(films, task, tmp_path):
    paths, _ = films
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film")
    options = {"dim": 8, "size": 16, "epochs": 2, "task": task}
    first, second = (SmallCNN3D(**options).fit([*paths[:6], broken, None]) for _ in range(2))
    vectors = first.encode(paths[:6])
    np.testing.assert_array_equal(vectors, second.encode(paths[:6]))
    first.save(tmp_path / task)
    np.testing.assert_allclose(mm.encoders.load(tmp_path / task).encode(paths[:6]), vectors, atol=1e-6)


def test_questions_without_labels():
    from mmrec_lib.encoders.video.networks import _asked, _mixed

    rng = np.random.default_rng(0)
    clips = np.arange(2 * 5).reshape(2, 5, 1, 1, 1)
    asked, answers = _asked(clips, "arrow", rng)
    assert asked[2, :, 0, 0, 0].tolist() == [4, 3, 2, 1, 0]
    assert answers.tolist() == [0, 0, 1, 1]
    orders = [_mixed(4, rng).tolist() for _ in range(100)]
    assert [0, 1, 2, 3] not in orders
    assert [3, 2, 1, 0] not in orders


def test_what_it_cannot_learn_from(films, tmp_path):
    paths, _ = films
    with pytest.raises(DataError, match="at least 2"):
        SmallCNN3D(size=16).fit([paths[0], tmp_path / "gone.mp4"])
    with pytest.raises(DataError, match="labels"):
        SmallCNN3D(size=16).fit(paths[:2], ["a", "a"])
    for options in ({"dim": 0}, {"frames": 3}, {"task": "speed"}, {"learning_rate": 0}, {"epochs": True}):
        with pytest.raises(ParameterError):
            SmallCNN3D(**options)


# -- pretrained transformers ---------------------------------------------------------------------------------------
def test_videomae(films, tiny_model):
    paths, _ = films
    encoder = mm.encoders.create("videomae", model=tiny_model("videomae"), precision="float32")
    assert encoder.dim == 16
    vectors = encoder.encode([paths[0], paths[1], None], device="cpu")
    assert np.isfinite(vectors).all()
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert not vectors[2].any()
    by_name = mm.encoders.create(tiny_model("videomae"), modality="video", precision="float32")
    np.testing.assert_allclose(by_name.encode([paths[0]], batch_size=1), vectors[:1], atol=1e-5)


def test_videomae_is_the_mean_of_its_states(films, tiny_model):
    import torch
    from transformers import VideoMAEModel

    paths, _ = films
    encoder = mm.encoders.create("videomae", model=tiny_model("videomae"), precision="float32")
    pixels = encoder._open(paths[0])
    assert tuple(pixels.shape) == (4, 3, 32, 32)
    with torch.inference_mode():
        states = VideoMAEModel.from_pretrained(tiny_model("videomae")).eval()(pixels[None]).last_hidden_state
    np.testing.assert_allclose(encoder.encode([paths[0]])[0], states[0].mean(dim=0), atol=1e-5)


def test_a_model_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DownloadError, match="no model"):
        _ = mm.encoders.create("videomae", model=str(tmp_path)).dim
    with pytest.raises(ParameterError):
        mm.encoders.create("videomae", how="all")
