"""Amazon Reviews 2023 on files in exactly the published form, written out by hand."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.datasets import amazon2023, download
from mmrec_lib.datasets.amazon2023_stand_in import StandIn
from mmrec_lib.errors import DataError, DownloadError, ParameterError

HOST = "https://m.media-amazon.com/images/I"
FIELDS = {"rating", "title", "text", "images", "asin", "parent_asin", "user_id", "timestamp", "helpful_vote",
          "verified_purchase"}  # fmt: skip
META_FIELDS = {"main_category", "title", "average_rating", "rating_number", "features", "description", "price",
               "images", "videos", "store", "categories", "details", "parent_asin", "bought_together"}  # fmt: skip


def review(user="ANN", item="B01", stars=5.0, time=1588687728923, **more) -> dict:
    return {
        "rating": stars, "title": "Such a lovely scent", "text": "Nice", "images": [], "asin": "B09-RED",
        "parent_asin": item, "user_id": user, "timestamp": time, "helpful_vote": 0, "verified_purchase": True, **more,
    }  # fmt: skip


def meta(item="B01", **more) -> dict:
    picture = {"thumb": f"{HOST}/1._SS40_.jpg", "large": f"{HOST}/1.jpg", "variant": "MAIN", "hi_res": None}
    return {
        "main_category": "All Beauty", "title": "Leather conditioner", "average_rating": 4.8, "rating_number": 10,
        "features": ["Soft", "Clear"], "description": ["For shoes."], "price": 12.5,
        "images": [{**picture, "variant": "PT01", "large": f"{HOST}/2.jpg"}, picture], "videos": [], "store": "Howard",
        "categories": ["Beauty", "Care"], "details": {"UPC": "617390882781"}, "parent_asin": item,
        "bought_together": None, **more,
    }  # fmt: skip


def write(folder, reviews, metas, packed=True):
    for name, records in (("Toys.jsonl", reviews), ("meta_Toys.jsonl", metas)):
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        content = "".join(line + "\n" for line in lines).encode()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def load(folder, **options):
    return mm.datasets.load_amazon_2023("Toys", path=folder, **{"core": 1, **options})


@pytest.mark.parametrize("packed", [True, False])
def test_published_form(tmp_path, packed):
    assert set(review()) == FIELDS
    assert set(meta()) == META_FIELDS
    reviews = [review(), review("BO", "B02", 1.0, 1600000000000), review("BO", "B01", 3.0, 1600000001999)]
    data = load(write(tmp_path, reviews, [meta()], packed))
    assert data.items.index.tolist() == ["B01", "B02"]
    assert data.users.index.tolist() == ["ANN", "BO"]
    events = data.interactions.to_frame().sort_values("time")
    assert events["value"].tolist() == [5, 1, 3]
    assert events["time"].tolist() == [1588687728, 1600000000, 1600000001]
    first = data.items.loc["B01"]
    assert (first["title"], first["category"], first["store"]) == ("Leather conditioner", "Beauty/Care", "Howard")
    assert first["price"] == 12.5
    assert first["image_url"] == f"{HOST}/1.jpg"  # MAIN, though it does not come first
    assert data.media["text"] == ["Leather conditioner\nSoft\nClear\nFor shoes.", None]
    assert data.items.loc["B02", "title"] == ""  # no metadata
    assert data.items.loc["B02", "image_url"] is None
    assert not {"average_rating", "rating_number"} & set(data.items)  # they know the test part


@pytest.mark.parametrize(
    ("more", "price", "category", "picture"),
    [
        ({"price": None, "categories": [], "images": []}, np.nan, "All Beauty", None),
        ({"price": "from 14.99", "images": None}, np.nan, "Beauty/Care", None),
        ({"price": "7", "main_category": None, "categories": None}, 7.0, "", f"{HOST}/1.jpg"),
        ({"images": [{"thumb": "t.jpg", "large": None, "hi_res": "h.jpg", "variant": "PT01"}]}, 12.5, "Beauty/Care",
         "h.jpg"),
    ],
    ids=["nothing", "words", "text", "other sizes"],
)  # fmt: skip
def test_what_may_be_missing(tmp_path, more, price, category, picture):
    row = load(write(tmp_path, [review()], [meta(**more)])).items.iloc[0]
    assert row["price"] == pytest.approx(price, nan_ok=True)
    assert (row["category"], row["image_url"]) == (category, picture)


def test_text_is_bounded(tmp_path):
    data = load(write(tmp_path, [review()], [meta(description=["word " * 10_000])]))
    assert len(data.media["text"][0]) == 2000


def test_cleaning(tmp_path):
    day = 86_400_000
    start = 1609459200000  # 2021-01-01
    reviews = [review("ANN", "B01", 5, start - 1), review("ANN", "B01", 4, start), review("ANN", "B01", 2, start + day),
               review("BO", "B01", 3, start), review("BO", "B02", 5, start), review("CY", "B02", 1, start),
               review("CY", "B01", 5, start), review("DI", "B03", 5, start)]  # fmt: skip
    folder = write(tmp_path, reviews, [meta("B01"), meta("B02", title="Cup"), meta("B02", title="another")])
    data = load(folder, since="2021-01-01", core=2)
    # DI and B03 have one partner; ANN has one thing after the last review of the pair is kept
    assert data.users.index.tolist() == ["BO", "CY"]
    assert data.items["title"].tolist() == ["Leather conditioner", "Cup"]
    funnel = data.extras["funnel"]
    assert funnel["reviews"].to_dict() == {"read": 8, "since": 7, "once a pair": 6, "2-core": 4}
    assert funnel.loc["2-core"].tolist() == [4, 2, 2]
    assert load(folder, min_rating=5).extras["funnel"].loc["rated", "reviews"] == 4
    with pytest.raises(DataError, match=r"no core with 3 items"):
        load(folder, core=3)
    with pytest.raises(DataError, match=r"no review is left.*since"):
        load(folder, since="2022-01-01")


@pytest.mark.parametrize(
    ("reviews", "metas", "said"),
    [
        ([review(), '{"rating": 5.0, '], [meta()], r"Toys\.jsonl\.gz, line 2: no JSON"),
        ([review(), "", "[1, 2]"], [meta()], r"Toys\.jsonl\.gz, line 3: expected a record"),
        ([review(user=None)], [meta()], r"line 1, field 'user_id': None, expected an id"),
        ([review(item=7)], [meta()], r"line 1, field 'parent_asin': 7"),
        ([review(stars="five")], [meta()], r"field 'rating': 'five', expected a number"),
        ([review(stars=0)], [meta()], r"field 'rating': 0, expected a number from 1 to 5"),
        ([review(), review(time=1588687728)], [meta()], r"line 2, field 'timestamp'.*milliseconds"),
        ([review(time=float("nan"))], [meta()], "field 'timestamp': nan"),
        ([review()], [meta("B00"), meta(features="soft")], r"meta_Toys\.jsonl\.gz, line 2, field 'features'"),
        ([], [meta()], r"Toys\.jsonl\.gz holds no reviews"),
    ],
)
def test_broken_records_are_named(tmp_path, reviews, metas, said):
    with pytest.raises(DataError, match=said) as caught:
        load(write(tmp_path, reviews, metas))
    assert "load again" in str(caught.value)


def test_damaged_archives(tmp_path, monkeypatch):
    write(tmp_path, [review(time=1588687728923 + n) for n in range(5000)], [meta()])
    whole = (tmp_path / "Toys.jsonl.gz").read_bytes()
    for content in (whole[:-2000], whole[:200] + b"\0\0\0\0" + whole[204:], whole[:-8] + b"\1" * 8, b"<html>no</html>"):
        (tmp_path / "Toys.jsonl.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"Toys\.jsonl\.gz"):
            load(tmp_path)
    monkeypatch.setattr(amazon2023, "_LONGEST", 100)
    with pytest.raises(DataError, match=r"line 1: longer than 100 bytes"):
        load(write(tmp_path, [review()], [meta()]))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"since": "yesterday?"}, "since"), ({"core": 0}, "core"), ({"category": "../../etc"}, "category")],
)
def test_parameters(tmp_path, options, said):
    with pytest.raises(ParameterError, match=said):
        mm.datasets.load_amazon_2023(**{"category": "Toys", "path": write(tmp_path, [review()], [meta()]), **options})


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no Toys\.jsonl\.gz; get it from https://mcauleylab"):
        load(tmp_path)


def test_official_addresses(tmp_path, monkeypatch):
    asked = []

    def fetch_large(url, path):
        asked.append((url.removeprefix(amazon2023.ADDRESS), path.relative_to(tmp_path).as_posix()))
        return download.keep(path, gzip.compress(json.dumps(meta() if "meta" in url else review()).encode()), url)

    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "fetch_large", fetch_large)
    assert mm.datasets.load("amazon-2023", category="Toys", core=1).n_items == 1
    assert asked == [("/review_categories/Toys.jsonl.gz", "amazon-2023/Toys.jsonl.gz"),
                     ("/meta_categories/meta_Toys.jsonl.gz", "amazon-2023/meta_Toys.jsonl.gz")]  # fmt: skip


# -- the stand-in and its pictures -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with StandIn(tmp_path_factory.mktemp("shop"), n_users=60) as made:
        yield made


def test_the_stand_in_has_the_published_form(shop):
    for name, fields in (("Stamps", FIELDS), ("meta_Stamps", META_FIELDS)):
        records = [record for _, record in amazon2023._records(shop.folder / f"{name}.jsonl.gz")]
        assert all(set(record) == fields for record in records)
    data = mm.datasets.load_amazon_2023("Stamps", path=shop.folder, core=1)
    read, pairs = data.extras["funnel"].loc[["read", "once a pair"], "reviews"]
    assert pairs < read < len(shop.truth.interactions)  # some reviewed twice; some things came late
    assert (data.items["title"] == "").any()  # some have no metadata


def test_pictures_of_the_stand_in(shop, tmp_path):
    data = mm.datasets.load_amazon_2023("Stamps", path=shop.folder, core=3)
    with_pictures, report = mm.datasets.fetch_pictures(data, tmp_path, pause=0.001)
    kinds = report["problem"].fillna("fine").str.partition(":")[0].value_counts()
    assert set(kinds.index) == {"fine", "no address", "404 File not found", "damaged"}
    there = with_pictures.media.mask("image")
    assert there.sum() == kinds["fine"]
    assert "image" not in data.media  # what was given stays as it was
    _, second = mm.datasets.fetch_pictures(data, tmp_path, tries=1)
    assert second["file"].tolist() == report["file"].tolist()


def test_reading_goes_on_where_it_broke(tmp_path, monkeypatch):
    """The transfer breaks twice; a later process goes on; the address is asked for the rest only."""
    asked = []

    def transfer(url, scratch, size, timeout, label):
        asked.append(scratch.stat().st_size)
        with open(scratch, "ab") as file:
            file.write(b"ab")
        if len(asked) < 3:
            raise ConnectionError("reset")

    monkeypatch.setattr(download, "_transfer", transfer)
    with pytest.raises(DownloadError, match=r"reset.*goes on where it was"):
        download.fetch_large("https://host/a.gz", tmp_path / "a.gz", tries=2, pause=0)
    assert not (tmp_path / "a.gz").exists()
    assert download.fetch_large("https://host/a.gz", tmp_path / "a.gz").read_bytes() == b"ababab"
    assert asked == [0, 2, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["a.gz"]
    assert download.fetch_large("https://host/a.gz", tmp_path / "a.gz") == tmp_path / "a.gz"
    assert len(asked) == 3
