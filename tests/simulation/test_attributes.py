"""Attributes measured on pictures, sounds and sentences whose answer is obvious."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

import mmrec_lib as mm
from mmrec_lib.errors import DataError
from mmrec_lib.simulation.attributes import (
    LOOK,
    SOUND,
    category_attributes,
    measure_picture,
    measure_sound,
    theme_attributes,
)


def look(tmp_path, picture):
    picture.save(tmp_path / "picture.png")
    return dict(zip(LOOK, measure_picture(tmp_path / "picture.png"), strict=True))


def sound(tmp_path, wave, rate=16_000):
    soundfile.write(tmp_path / "sound.wav", wave, rate)
    return dict(zip(SOUND, measure_sound(tmp_path / "sound.wav"), strict=True))


def test_plain_red(tmp_path):
    red = look(tmp_path, Image.new("RGB", (80, 40), (255, 0, 0)))
    assert red["red_green"] == pytest.approx(1)
    assert red["yellow_blue"] == pytest.approx(0.5)
    assert red["lightness"] == pytest.approx(0.299)
    assert red["aspect"] == pytest.approx(np.log(2))
    assert red["fill"] == pytest.approx(1)
    assert (red["contrast"], red["edges"]) == (pytest.approx(0), pytest.approx(0))


def test_transparent_pixels_do_not_count(tmp_path):
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))  # invisible red around
    picture.paste((0, 0, 255, 255), (16, 24, 48, 40))  # a blue bar of 32 x 16
    blue = look(tmp_path, picture)
    assert blue["red_green"] == pytest.approx(0)
    assert blue["yellow_blue"] == pytest.approx(-1)
    assert blue["aspect"] == pytest.approx(np.log(2))
    assert blue["fill"] == pytest.approx(1)
    assert blue["edges"] > 0


def test_nothing_visible_is_a_white_sheet(tmp_path):
    assert look(tmp_path, Image.new("RGBA", (8, 8), (0, 0, 0, 0)))["lightness"] == pytest.approx(1)


def test_tone_and_noise(tmp_path):
    time = np.arange(32_000) / 16_000
    tone = sound(tmp_path, 0.5 * np.sin(2 * np.pi * 1000 * time))
    assert tone["loudness"] == pytest.approx(10 * np.log10(0.125), abs=0.1)
    assert tone["brightness"] == pytest.approx(np.log2(1000), abs=0.05)
    assert tone["duration"] == pytest.approx(1)
    noise = sound(tmp_path, 0.1 * np.random.default_rng(0).standard_normal(32_000))
    assert noise["noisiness"] > tone["noisiness"] + 20
    assert noise["brightness"] > tone["brightness"]
    pulsing = sound(tmp_path, np.sin(2 * np.pi * 1000 * time) * (np.sin(2 * np.pi * 2 * time) > 0))
    assert pulsing["modulation"] > 10 > tone["modulation"]


def test_a_click_shorter_than_a_frame(tmp_path):
    assert np.isfinite(list(sound(tmp_path, np.ones(10)).values())).all()


def test_theme_by_hand():
    table = theme_attributes(["A little red bird.", None, "Two birds!"])
    assert table.loc[0, ["colour", "size_and_age", "number", "exclaims"]].tolist() == [1, 1, 0, 0]
    assert table.loc[2, ["colour", "number", "exclaims"]].tolist() == [0, 1, 1]
    assert table.loc[0, "length"] == pytest.approx(np.log(5))
    assert table.loc[1].isna().all()


def test_theme_says_nothing_about_the_category():
    category = pd.Series(["a", "a", "b", "b", "b"])
    table = theme_attributes(["A red cup.", "A cup.", "Go!", "A blue van.", None], category)
    np.testing.assert_allclose(table.groupby(category.to_numpy()).mean(), 0, atol=1e-12)
    assert table.loc[0, "colour"] == pytest.approx(0.5)


def test_category_columns():
    table = category_attributes(pd.Series(["animals/birds", "animals", None]))
    assert table.loc[0, ["animals", "animals/birds"]].tolist() == [1, 0.5]
    assert table.loc[1, ["animals", "animals/birds"]].tolist() == [1, 0]


def dataset(tmp_path, image):
    items = pd.DataFrame({"category": ["a", "b"]}, index=["x", "y"])
    nobody = mm.data.Interactions([], [], n_users=0, n_items=2)
    return mm.data.Dataset(nobody, pd.DataFrame(), items, mm.data.Media({"image": image, "text": ["A cat.", "Dogs!"]}))


def test_measurements_are_kept_until_a_file_changes(tmp_path, monkeypatch):
    path, kept = tmp_path / "a.png", tmp_path / "kept"
    Image.new("RGB", (8, 8), "red").save(path)
    data = dataset(tmp_path, [path, None])
    first = mm.simulation.extract_attributes(data, cache=kept)["look"]
    assert first.loc["y"].isna().all()
    with monkeypatch.context() as patch:
        patch.setattr("mmrec_lib.simulation.attributes.measure_picture", lambda path: pytest.fail("measured again"))
        pd.testing.assert_frame_equal(mm.simulation.extract_attributes(data, cache=kept)["look"], first)
    Image.new("RGB", (9, 9), "blue").save(path)
    assert mm.simulation.extract_attributes(data, cache=kept)["look"].loc["x", "red_green"] == pytest.approx(0)
    assert not list(kept.glob("*.tmp"))


@pytest.mark.parametrize("content", [None, b"this is no picture"])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "broken.png"
    if content:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png"):
        mm.simulation.extract_attributes(dataset(tmp_path, [path, None]), cache=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
