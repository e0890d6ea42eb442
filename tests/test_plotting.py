"""The plot style: colours that can be read by everybody on both backgrounds, figures that show what the table says."""

from __future__ import annotations

from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import MissingColumnError, ParameterError

matplotlib.use("Agg")
WHITE, DARK = "#ffffff", "#14181e"


@pytest.fixture(autouse=True)
def closed():
    with matplotlib.rc_context():
        mm.plotting.use_style()
        yield
        plt.close("all")


@pytest.fixture
def table():
    values = {"mean": [0.1, 0.3, 0.2], "ci_low": [0.09, 0.28, 0.19], "ci_high": [0.11, 0.33, 0.21]}
    return pd.DataFrame(values, index=["popularity", "ease", "itemknn"])


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other))
    return light[1] / light[0]


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    x, y, z = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_contrast_of_black_on_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("background", [WHITE, DARK])
def test_colours_read_on_both_backgrounds(background):
    assert contrast(mm.plotting.INK, background) >= 3.9
    assert min(contrast(colour, background) for colour in mm.plotting.COLOURS.values()) >= 3


# Machado, Oliveira and Fernandes (2009), severity 1, applied to linear values
BLINDNESS = {
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_red_green_blind_readers(kind):
    seen = np.array(BLINDNESS[kind])
    places = {name: lab(np.clip(seen @ linear(colour), 0, 1)) for name, colour in mm.plotting.COLOURS.items()}
    distances = {pair: float(np.linalg.norm(places[pair[0]] - places[pair[1]])) for pair in combinations(places, 2)}
    assert min(distances.values()) > 9, min(distances, key=distances.get)


def test_interval_bars_show_means_and_intervals(table):
    ax = mm.plotting.interval_bars(table, xlabel="NDCG@20", highlight="ease", reference={"oracle": 0.4})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["popularity", "itemknn", "ease"]  # best on top
    assert [round(bar.get_width(), 3) for bar in ax.patches] == [0.1, 0.2, 0.3]
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([s[:, 0] for s in segments], [[0.09, 0.11], [0.19, 0.21], [0.28, 0.33]])
    assert {text.get_text() for text in ax.texts} == {"0.100", "0.200", "0.300", "oracle"}
    assert ax.patches[2].get_facecolor() != ax.patches[0].get_facecolor()
    assert ax.figure.get_facecolor()[3] == 0  # transparent


def test_interval_bars_in_the_order_of_the_table(table):
    ax = mm.plotting.interval_bars(table, sort=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["itemknn", "ease", "popularity"]


def test_interval_bars_say_what_is_wrong(table):
    with pytest.raises(MissingColumnError, match="ci_low"):
        mm.plotting.interval_bars(table.drop(columns="ci_low"))
    with pytest.raises(ParameterError, match="lightgcn"):
        mm.plotting.interval_bars(table, highlight="lightgcn")
    with pytest.raises(ParameterError, match="no rows"):
        mm.plotting.interval_bars(table.iloc[:0])


def test_lines_are_named_at_their_ends_without_overlap():
    table = pd.DataFrame({"train": [1.0, 2.0], "valid": [1.0, 2.001]}, index=[10, 20])
    ax = mm.plotting.lines(table, xlabel="epochs", ylabel="loss", low=table - 0.1, high=table + 0.1)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[10, 1], [20, 2]])
    names = {text.get_text(): text.xy[1] for text in ax.texts}
    assert set(names) == {"train", "valid"}
    assert names["valid"] - names["train"] > 0.03
    assert len(ax.collections) == 2  # the bands
    with pytest.raises(ParameterError, match="7 columns"):
        mm.plotting.lines(pd.DataFrame(np.ones((2, 7))))


def test_heatmap_writes_numbers_and_leaves_gaps():
    ax = mm.plotting.heatmap(pd.DataFrame([[0.5, np.nan]], index=["a"], columns=["x", "y"]), digits=1)
    assert [text.get_text() for text in ax.texts] == ["0.5"]
    with pytest.raises(ParameterError, match="empty"):
        mm.plotting.heatmap(pd.DataFrame())


def test_thumbnails_are_small_on_white_and_show_gaps(tmp_path):
    from PIL import Image

    Image.new("RGBA", (400, 200), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    figure = mm.plotting.thumbnails([tmp_path / "clear.png", None], captions=["clear", "none"], pixels=64)
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert [image.shape[:2] for image in shown] == [(64, 64), (64, 64)]
    assert (shown[0][..., :3] == 255).all()
    for wrong in ({"pixels": 256}, {"captions": ["one"]}):
        with pytest.raises(ParameterError, match="thumbnails"):
            mm.plotting.thumbnails([None, None], **wrong)
