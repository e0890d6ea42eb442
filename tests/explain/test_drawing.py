"""Explanations as figures, and in words."""

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

import mmrec_lib as mm
from mmrec_lib.errors import DataError

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def shop(tmp_path):
    """Four items with titles; all but item 1 have pictures."""
    for code in (0, 2, 3):
        Image.new("RGB", (20, 10), (80 * code, 0, 0)).save(tmp_path / f"{code}.png")
    frame = pd.DataFrame({"user": list("aabbbccdd"), "item": [0, 1, 0, 1, 2, 1, 2, 2, 3]})
    items = pd.DataFrame({"item": range(4), "title": ["Alien", "Brazil", "Cube", "Duel"]})
    pictures = [tmp_path / f"{code}.png" if code != 1 else None for code in range(4)]
    data = mm.data.Dataset.from_frame(frame, items=items)
    data.media = mm.data.Media({"image": pictures})
    return data


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in (ax.title, *ax.texts)]


def test_pictures_names_and_bars(shop):
    model = mm.models.create("itemknn", k=3).fit(shop.interactions)
    told = mm.explain.explain(model, 0, 2, data=shop)
    figure = told.plot(shop)
    assert sum(len(ax.images) for ax in figure.axes) == 2  # Cube and Alien
    bars = [ax.patches[0].get_width() for ax in figure.axes if ax.patches]
    values = told.contributions["value"]
    assert bars == pytest.approx((values / values.max()).tolist())
    shown = texts(figure)
    assert {"Cube", "“Alien”", "“Brazil”", "0.408"} <= set(shown)
    assert shown.index("“Brazil”") < shown.index("“Alien”")
    assert told.alt_text() == "Picture of “Cube”; beside it its reasons and bars: “Brazil” 0.667; “Alien” 0.408."
    assert told.alt_text("zh", n=1) == "《Cube》的图片；旁边是各个理由及条形：《Brazil》 0.667；其余1项 0.408。"


def test_what_is_not_named_is_one_bar(shop):
    model = mm.models.create("itemknn", k=3).fit(shop.interactions)
    told = mm.explain.explain(model, 0, 2, data=shop)
    figure = told.plot(n=1)
    assert not [ax for ax in figure.axes if ax.images]
    assert "others (1)" in texts(figure)


def test_nothing_to_name_and_nobody_named(shop, fitted):
    users = mm.explain.explain(mm.models.create("userknn").fit(shop.interactions), 0, 3, how="users")
    assert "nobody chose" in " ".join(" ".join(texts(users.plot(shop))).split())
    assert users.alt_text().endswith("beside it no reasons.")
    some = mm.explain.explain(fitted("userknn"), 4, 18, how="users")
    assert "person 1" in some.alt_text()
    assert "user " not in " ".join(texts(some.plot()))
    with pytest.raises(DataError, match="names others"):
        mm.explain.explain(fitted("ease"), 4, 18).plot(shop)


@pytest.mark.parametrize("how", ["modalities", "gradients", "counterfactual"])
def test_every_kind_is_drawn(how, fitted, features):
    told = mm.explain.explain(fitted("twotower"), 4, 3, features=features, how=how)
    assert told.plot().axes
    assert told.alt_text()
    assert told.alt_text("zh")
