"""Bundles: the same after loading, and nothing damaged is believed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mmrec_lib as mm
from mmrec_lib.errors import BundleError, DataError, NotFittedError


@pytest.fixture
def saved(bundle, tmp_path):
    return bundle.save(tmp_path / "shop")


def test_everything_comes_back(bundle, saved, shop):
    again = mm.serving.load_bundle(saved)
    users = np.arange(40)
    np.testing.assert_array_equal(again.model.score(users), bundle.model.score(users))
    pd.testing.assert_frame_equal(again.items, shop.items)
    pd.testing.assert_frame_equal(again.users, shop.users)
    pd.testing.assert_frame_equal(again.report, bundle.report)
    for name in bundle.features:
        np.testing.assert_array_equal(again.features[name], bundle.features[name])
        np.testing.assert_array_equal(again.features.mask[name], bundle.features.mask[name])
        assert again.encoders[name].fingerprint == bundle.encoders[name].fingerprint
    assert again.media["text"] == shop.media["text"]
    assert again.media["image"][23] is None
    with Image.open(again.media["image"][4]) as one, Image.open(shop.media["image"][4]) as two:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    assert again.info["note"] == "for tests"
    assert again.info["name"] == "shop"
    assert repr(again) == repr(bundle) == "Bundle('shop': 40 users, 24 items, EASE, text+image)"


def test_it_holds_no_pickle_and_can_be_moved(saved, tmp_path):
    endings = {f.suffix for f in saved.rglob("*") if f.is_file()}
    assert endings <= {".json", ".safetensors", ".parquet", ".png"}
    moved = tmp_path / "elsewhere"
    shutil.move(saved, moved)
    assert mm.serving.load_bundle(moved).media["image"][0].is_relative_to(moved)


@pytest.mark.parametrize(
    "name", ["model/model.safetensors", "items.parquet", "features.safetensors", "media/image/3.png"]
)
def test_a_changed_file_is_named(saved, name):
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        mm.serving.load_bundle(saved)


def test_missing_and_added_files(saved):
    (saved / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"extra\.txt does not belong"):
        mm.serving.load_bundle(saved)
    (saved / "extra.txt").unlink()
    (saved / "users.parquet").unlink()
    with pytest.raises(BundleError, match=r"users\.parquet is missing"):
        mm.serving.load_bundle(saved)


@pytest.mark.parametrize(("text", "words"), [("{", "damaged"), ("[]", "schema None"), ('{"schema": 99}', "schema 99")])
def test_wrong_headers(saved, text, words):
    (saved / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=words):
        mm.serving.load_bundle(saved)


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(BundleError, match="no bundle"):
        mm.serving.load_bundle(tmp_path)


def test_saving_replaces_a_bundle_and_nothing_else(bundle, saved, tmp_path):
    before = json.loads((saved / "bundle.json").read_text())["info"]
    bundle.info["note"] = "second"
    try:
        bundle.save(saved)
    finally:
        bundle.info["note"] = before["note"]
    assert mm.serving.load_bundle(saved).info["note"] == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["shop"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="no bundle"):
        bundle.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_failed_saving_leaves_nothing(bundle, saved, tmp_path, monkeypatch):
    def full_disk(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(bundle.model), "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        bundle.save(saved)
    assert [p.name for p in tmp_path.iterdir()] == ["shop"]
    mm.serving.load_bundle(saved)


def test_what_does_not_belong_together(shop, bundle):
    other = mm.data.Interactions([0], [0], n_users=40, n_items=23)
    with pytest.raises(DataError, match="23"):
        mm.serving.Bundle.of(mm.models.create("popularity").fit(other), shop)
    with pytest.raises(DataError, match="'image'"):
        mm.serving.Bundle.of(bundle.model, shop, bundle.features.only("text"), bundle.encoders)
    with pytest.raises(NotFittedError):
        mm.serving.Bundle.of(mm.models.create("ease"), shop)
