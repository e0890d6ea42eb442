"""Odd files, made here, against what a person would see."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmrec_lib.encoders.image import loading
from mmrec_lib.encoders.image.loading import on_white, open_picture, read, square
from mmrec_lib.errors import DataError, ParameterError

RED, WHITE = (255, 0, 0), (255, 255, 255)


def pixel(picture, x=0, y=0):
    assert picture.mode == "RGB"
    return picture.getpixel((x, y))


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "tiff"])
def test_transparent_becomes_white(kind, tmp_path):
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (4, 0, 8, 8))
    options = {"lossless": True} if kind == "webp" else {}
    picture.save(tmp_path / f"a.{kind}", **options)
    seen = open_picture(tmp_path / f"a.{kind}")
    assert pixel(seen) == WHITE
    assert pixel(seen, 7, 7) == RED


def test_half_transparent_is_mixed_with_white(tmp_path):
    Image.new("RGBA", (2, 2), (255, 0, 0, 128)).save(tmp_path / "a.png")
    red, green, blue = pixel(open_picture(tmp_path / "a.png"))
    assert red == 255
    assert abs(green - 127) <= 1
    assert green == blue


def test_grey_with_alpha_and_keyed_colours(tmp_path):
    Image.new("LA", (2, 2), (0, 0)).save(tmp_path / "la.png")
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "p.png", transparency=1)
    palette.save(tmp_path / "opaque.png")
    assert [pixel(open_picture(tmp_path / f"{n}.png")) for n in ("la", "key", "p", "opaque")] == [WHITE] * 3 + [RED]
    assert read(tmp_path / "la.png").mode == "LA"


def test_white_agrees_with_alpha_composite():
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 30, 4), np.uint8))
    sheet = Image.new("RGBA", picture.size, "white")
    sheet.alpha_composite(picture)
    ours, theirs = (np.asarray(x, int) for x in (on_white(picture), sheet.convert("RGB")))
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_first_frame_of_an_animation(kind, tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "webp" else {}
    frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], duration=50, **options)
    with Image.open(tmp_path / f"a.{kind}") as file:
        assert file.n_frames == 3
    assert pixel(open_picture(tmp_path / f"a.{kind}")) == RED


def test_sixteen_bits_are_scaled(tmp_path):
    Image.fromarray(np.full((2, 2), 32896, np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "a.tiff")
    assert pixel(open_picture(tmp_path / "a.png")) == (128, 128, 128)
    assert pixel(open_picture(tmp_path / "a.tiff")) == (128, 128, 128)
    assert pixel(open_picture(Image.new("I", (1, 1), 200))) == (200, 200, 200)
    assert pixel(open_picture(Image.new("F", (1, 1), 7.0))) == (0, 0, 0)
    assert pixel(open_picture(Image.new("1", (1, 1), 1))) == WHITE


def test_cmyk(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = pixel(open_picture(tmp_path / "a.jpg"), 8, 8)
    assert red > 240
    assert max(green, blue) < 15


def test_orientation_of_the_camera(tmp_path):
    picture = Image.new("RGB", (32, 16), WHITE)
    picture.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise: left becomes top
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    seen = open_picture(tmp_path / "a.jpg")
    assert seen.size == (16, 32)
    assert pixel(seen, 8, 4)[1] < 60
    assert pixel(seen, 8, 28)[1] > 240
    picture.resize((1280, 640)).save(tmp_path / "large.jpg", exif=exif)
    assert open_picture(tmp_path / "large.jpg", 64).size == (160, 320)
    picture.resize((1280, 640)).save(tmp_path / "large.png", exif=exif)
    assert open_picture(tmp_path / "large.png", 64).size == (128, 256)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_truncated(kind, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(tmp_path / f"whole.{kind}")
    content = (tmp_path / f"whole.{kind}").read_bytes()
    (tmp_path / f"half.{kind}").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"half.{kind}: the file is damaged .*truncated='keep'"):
        open_picture(tmp_path / f"half.{kind}")
    kept = np.asarray(open_picture(tmp_path / f"half.{kind}", truncated="keep"))
    whole = np.asarray(open_picture(tmp_path / f"whole.{kind}"))
    np.testing.assert_array_equal(kept[:24], whole[:24])
    with pytest.raises(ParameterError, match="truncated="):
        open_picture(tmp_path / f"half.{kind}", truncated="perhaps")


def test_bombs_are_refused(tmp_path, monkeypatch):
    Image.new("1", (3000, 3000)).save(tmp_path / "a.png")
    monkeypatch.setattr(loading, "MAX_PIXELS", 1_000_000)
    with pytest.raises(DataError, match="3000 x 3000 pixels are refused"):
        open_picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(DataError, match="refused"):
        open_picture(tmp_path / "a.png")


def test_drawing(tmp_path):
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><rect width="10" height="10" fill="red"/></svg>'
    )
    (tmp_path / "a.svg").write_text(drawing)
    seen = open_picture(tmp_path / "a.svg", 50)
    assert seen.size == (100, 50)
    assert pixel(seen, 10, 10) == RED
    assert pixel(seen, 90, 10) == WHITE
    (tmp_path / "b.svg").write_text("<svg")
    with pytest.raises(DataError, match=r"b.svg: the drawing .* cannot be rendered"):
        open_picture(tmp_path / "b.svg")


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("hello")
    for name, reason in (("a.heic", "HEIC"), ("b.png", "empty"), ("c.jpg", "not a picture"), ("d.png", "no such file")):
        with pytest.raises(DataError, match=f"{name}: .*{reason}"):
            open_picture(tmp_path / name)


def test_quick_decoding_looks_the_same(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    coarse.resize((1600, 1200), Image.BICUBIC).save(tmp_path / "a.jpg", quality=90)
    quick = open_picture(tmp_path / "a.jpg", 224)
    assert quick.size == (800, 600)
    a, b = (np.asarray(square(x, 224), float) for x in (quick, open_picture(tmp_path / "a.jpg")))
    assert np.abs(a - b).mean() < 1


def test_framing():
    wide = Image.new("RGB", (40, 20), RED)
    assert pixel(square(wide, 20), 0, 0) == WHITE
    assert pixel(square(wide, 20), 10, 10) == RED
    assert pixel(square(wide, 20, "crop"), 0, 0) == RED
    assert pixel(square(wide, 20, "stretch"), 19, 19) == RED
    with pytest.raises(ParameterError, match="framing='zoom'"):
        loading.check_framing("zoom")


def test_reading_for_fit_passes_over_what_cannot_be_read():
    read_one = {0: "a", 2: "c"}.__getitem__
    found, rows = loading.read_all(read_one, [0, 1, 2], "x", most=10, seed=0)
    assert found == ["a", "c"]
    assert rows.tolist() == [0, 2]
    assert len(loading.read_all(read_one, [0] * 20, "x", most=5, seed=0)[1]) == 5
    with pytest.raises(DataError, match=r"x.fit: none of the 1 pictures"):
        loading.read_all(read_one, [5], "x", most=10, seed=0)
