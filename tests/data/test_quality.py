"""The quality report finds what was put in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec_lib.data import Dataset, Features, Interactions, Media, quality_report
from mmrec_lib.data.quality import gini
from mmrec_lib.errors import FeatureError, ParameterError


@pytest.fixture
def data():
    """Three users and four items; one user and one item are idle; one pair comes twice."""
    day = 86_400
    events = Interactions(
        [0, 0, 0, 1, 1], [0, 0, 1, 0, 2], time=np.array([9000, 9000, 9000.5, 9000, 9010]) * day, n_users=3, n_items=4
    )
    users = pd.DataFrame({"age": [20, None, None]}, index=["a", "b", "c"])
    items = pd.DataFrame({"title": ["X", "X", "Y", "Z"]}, index=list("wxyz"))
    media = Media({"text": ["X", "X", None, "Z"], "image": [Path("w.png"), None, None, None]})
    return Dataset(events, users, items, media)


def test_completeness_duplicates_and_sparsity(data):
    report = quality_report(data)
    assert list(report.table) == ["section", "check", "value", "note"]
    found = report.section("completeness")["value"]
    assert found["users without interactions"] == 1
    assert found["items without interactions"] == 1
    assert found["users: 'age' missing"] == 2
    assert "66.7%" in report.section("completeness").loc["users: 'age' missing", "note"]
    found = report.section("duplicates")
    assert found["value"].to_dict() == {
        "repeated user-item pairs": 1,
        "events that are equal in all columns": 1,
        "repeated titles": 1,
        "repeated texts": 1,
    }
    assert "drop_duplicates" in found.loc["repeated user-item pairs", "note"]
    found = report.section("sparsity")["value"]
    assert found["density"] == pytest.approx(4 / 12)
    assert found["events per user, median"] == 2
    assert found["items with 1 to 4 events"] == 3


def test_popularity_and_time(data):
    report = quality_report(data)
    found = report.section("popularity")["value"]
    assert found["Gini coefficient of the items"] == pytest.approx(0.45)  # counts 0 1 1 3: (-3*0 - 1 + 1 + 9) / (4 * 5)
    assert found["share of events on the most popular tenth"] == pytest.approx(3 / 5)
    found = report.section("time")["value"]
    assert found["first event"] == "1994-08-23"
    assert found["users whose events fall within a day"] == 0.5
    assert found["events at the same second as another of the user"] == pytest.approx(1 / 5)


def test_media_and_consistency(data):
    report = quality_report(data)
    found = report.section("media")["value"]
    assert found["items with text"] == 0.75
    assert found["events on items with text"] == pytest.approx(4 / 5)
    assert found["items with image"] == 0.25
    found = report.section("consistency")["value"]
    assert found["items with text but no image"] == 2
    assert found["items with image but no text"] == 0
    assert report.overlap.loc["text", "image"] == pytest.approx(1 / 3)
    assert report.overlap.loc["image", "text"] == 1
    assert report.coverage.to_dict() == {"text": 0.75, "image": 0.25}


def test_a_sound_data_set_gets_no_note_on_duplicates():
    data = Dataset.from_frame(pd.DataFrame({"user": [1, 1, 2], "item": [5, 6, 6]}))
    report = quality_report(data)
    assert (report.section("duplicates")["note"] == "").all()
    assert report.section("time")["value"].tolist() == ["none"]
    assert report.section("media")["value"].tolist() == [0]


def test_modalities_that_agree_and_such_that_do_not():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(300, 8))
    twin, stranger = image @ np.linalg.qr(rng.normal(size=(8, 8)))[0] * 3, rng.normal(size=(300, 8))
    data = Dataset.from_frame(pd.DataFrame({"user": 0, "item": range(300)}))
    features = Features(
        {"image": image, "twin": twin, "stranger": stranger}, {"stranger": [True] * 200 + [False] * 100}
    )
    found = quality_report(data, features).section("consistency")
    assert found.loc["neighbours shared by image and twin", "value"] == 1  # a rotation keeps all neighbours
    assert found.loc["neighbours shared by image and stranger", "value"] < 0.1  # chance: 10 of 199
    assert "chance: 0.0503; hardly more" in found.loc["neighbours shared by image and stranger", "note"]
    assert "hardly" not in found.loc["neighbours shared by image and twin", "note"]


def test_features_of_another_size_and_unknown_sections_are_refused(data):
    with pytest.raises(FeatureError, match="features have 2 rows"):
        quality_report(data, Features({"image": np.ones((2, 2))}))
    with pytest.raises(ParameterError, match="popularity"):
        quality_report(data).section("fame")


def test_it_shows_as_a_table_and_as_a_figure(data):
    import matplotlib as mpl

    mpl.use("agg")
    report = quality_report(data)
    assert "<td>items with text</td>" in report._repr_html_()
    assert "repeated titles" in repr(report)
    assert len(report.figure().axes) == 5  # four panels and a colour bar
    single = Dataset.from_frame(pd.DataFrame({"user": [1], "item": [5]}))
    assert len(quality_report(single).figure().axes) == 2
    mpl.pyplot.close("all")


def test_an_empty_data_set_gets_a_report_too():
    data = Dataset(Interactions([], [], n_users=1, n_items=0), pd.DataFrame(index=[0]), pd.DataFrame(index=[]))
    assert quality_report(data).section("completeness").loc["interactions", "note"] == "nothing to learn from"


@pytest.mark.parametrize(
    ("counts", "value"), [([1, 1, 1], 0), ([0, 0, 6], 2 / 3), ([1, 3], 0.25), ([], 0), ([0, 0], 0)]
)
def test_gini_by_hand(counts, value):
    assert gini(counts) == pytest.approx(value)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_mean_difference_over_the_mean(counts):
    x = np.array(counts, dtype=float)
    assert gini(x) == pytest.approx(np.abs(x[:, None] - x).mean() / (2 * x.mean()))
