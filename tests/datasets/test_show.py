"""What is put into a page: small, complete, and safe."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

import mmrec_lib as mm
from mmrec_lib.datasets.show import show_items, thumbnail
from mmrec_lib.errors import DataError, ParameterError, UnknownItemError


@pytest.fixture
def shop(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 255, (300, 200, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(5 * 44_100), 44_100)
    media = {
        "image": [*(tmp_path / f"{i}.png" for i in range(4)), None],
        "audio": [tmp_path / f"{i}.wav" for i in range(5)],
    }
    items = pd.DataFrame({"title": ["Cup", "<b>Mug</b>", "Jar", "Can", "Box"]})
    nobody = mm.data.Interactions([], [], n_users=0, n_items=5)
    return mm.data.Dataset(nobody, pd.DataFrame(), items, mm.data.Media(media))


def test_cards(shop):
    page = show_items(shop, [1, 0, 4, 3], captions=["a < b", "", "c", "d"]).data
    assert re.findall(r'alt="([^"]*)"', page) == ["&lt;b&gt;Mug&lt;/b&gt;", "Cup", "Can"]
    assert "a &lt; b" in page
    assert page.count("no picture") == 1
    assert page.count("<audio") == 3  # never more than three
    assert len(page) < 200_000
    sounds = [base64.b64decode(s) for s in re.findall(r"data:audio/ogg;base64,([^\"]+)", page)]
    for content in sounds:
        assert soundfile.info(io.BytesIO(content)).duration <= 3.01
    for content in re.findall(r"data:image/\w+;base64,([^\"]+)", page):
        assert max(Image.open(io.BytesIO(base64.b64decode(content))).size) <= 96
    assert "<audio" not in show_items(shop, [0], sound=False).data


def test_transparent_becomes_white(tmp_path):
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    picture = thumbnail(tmp_path / "clear.png", 32)
    assert (picture.mode, picture.size) == ("RGB", (32, 16))
    assert picture.getpixel((5, 5)) == (255, 255, 255)


def test_bad_input(shop, tmp_path):
    with pytest.raises(UnknownItemError, match="item 5"):
        show_items(shop, [5])
    with pytest.raises(ParameterError, match="1 captions for 2 items"):
        show_items(shop, [0, 1], captions=["x"])
    with pytest.raises(ParameterError, match="128"):
        show_items(shop, [0], size=500)
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(DataError, match=r"bad\.png"):
        thumbnail(tmp_path / "bad.png")
