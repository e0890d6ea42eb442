"""Media, Features and Dataset."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmrec_lib.data import Dataset, Features, Interactions, Media
from mmrec_lib.errors import DataError, FeatureError, MissingColumnError, UnknownNameError

FRAME = pd.DataFrame({"user": ["bo", "al", "bo"], "item": ["x", "y", "y"], "value": [1, 2, 3], "time": [5, 6, 7]})


# -- media -----------------------------------------------------------------------------------------------------
def test_media_knows_what_is_missing_and_takes_pandas_columns():
    media = Media({"text": pd.Series(["a", np.nan, pd.NA], dtype=object), "image": [Path("a.png"), None, None]})
    assert media["text"] == ["a", None, None]
    assert media.mask("image").tolist() == [True, False, False]
    assert (media.n_items, list(media), "audio" in media) == (3, ["text", "image"], False)
    assert Media().n_items is None


def test_media_refuses_unequal_lengths_unknown_names_and_vectors():
    with pytest.raises(DataError, match="different numbers of items"):
        Media({"text": ["a"], "image": [None, None]})
    with pytest.raises(UnknownNameError, match="image"):
        Media({"image": [None]})["imgae"]
    with pytest.raises(DataError, match="item 1: expected text, a Path or None, got list"):
        Media({"image": [None, [0.5, 0.5]]})


# -- features --------------------------------------------------------------------------------------------------
def test_masked_rows_become_zero_even_when_they_hold_nan_and_the_input_is_untouched():
    array = np.array([[1.0, 2.0], [np.nan, 4.0]], dtype=np.float32)
    features = Features({"image": array}, mask={"image": [True, False]})
    assert features["image"].tolist() == [[1, 2], [0, 0]]
    assert features["image"].dtype == np.float32
    assert array[1, 1] == 4
    assert features.mask["image"].tolist() == [True, False]


def test_features_sizes_and_selection():
    features = Features({"a": np.ones((3, 2)), "b": np.ones((3, 5))}, mask={"b": [1, 0, 1]})
    assert (features.n_items, features.dims, list(features.only("b"))) == (3, {"a": 2, "b": 5}, ["b"])
    assert features.only("b").mask["b"].tolist() == [True, False, True]
    assert features.check(3) is features


@pytest.mark.parametrize(
    ("arrays", "mask", "words"),
    [
        ({"a": np.ones(3)}, None, "numbers in an array"),
        ({"a": np.array([["x"]])}, None, "numbers in an array"),
        ({"a": np.array([[1.0], [np.nan]])}, None, "row 1 holds NaN"),
        ({"a": np.array([[1e300]])}, None, "row 0 holds NaN or infinity"),  # infinite as float32
        ({"a": np.ones((2, 1)), "b": np.ones((3, 1))}, None, "different numbers of rows"),
        ({"a": np.ones((2, 1))}, {"a": [True]}, "mask"),
        ({"a": np.ones((2, 1))}, {"b": [True, True]}, "mask names modality 'b'"),
    ],
)
def test_bad_features_are_refused(arrays, mask, words):
    with pytest.raises(FeatureError, match=words):
        Features(arrays, mask)


def test_features_with_another_number_of_rows_are_refused():
    with pytest.raises(FeatureError, match="features have 2 rows, but there are 3 items"):
        Features({"a": np.ones((2, 1))}).check(3)


# -- dataset ---------------------------------------------------------------------------------------------------
def test_from_frame_numbers_sorted_ids():
    data = Dataset.from_frame(FRAME)
    assert (list(data.users.index), list(data.items.index)) == (["al", "bo"], ["x", "y"])
    assert data.interactions.user.tolist() == [1, 0, 1]
    assert data.interactions.item.tolist() == [0, 1, 1]
    assert data.interactions.value.tolist() == [1, 2, 3]
    assert data.interactions.time.tolist() == [5, 6, 7]


def test_from_frame_keeps_the_order_of_given_tables_and_items_nobody_met():
    items = pd.DataFrame({"title": ["Z", "Y", "X"]}, index=["z", "y", "x"])
    data = Dataset.from_frame(FRAME, items=items, media={"text": ["Z", None, "X"]}, name="tiny")
    assert data.interactions.item.tolist() == [2, 1, 1]
    assert (data.n_users, data.n_items) == (2, 3)
    assert repr(data) == "Dataset('tiny': 2 users, 3 items, 3 interactions, media: text)"


def test_from_frame_refuses_what_does_not_fit():
    with pytest.raises(MissingColumnError, match="'item' is missing"):
        Dataset.from_frame(FRAME.drop(columns="item"))
    with pytest.raises(DataError, match="row 1: column 'user' is empty"):
        Dataset.from_frame(FRAME.assign(user=["bo", None, "al"]))
    with pytest.raises(DataError, match="item 'y' has no row in the items table"):
        Dataset.from_frame(FRAME, items=pd.DataFrame(index=["x"]))
    with pytest.raises(DataError, match="users table: id 'bo' occurs more than once"):
        Dataset.from_frame(FRAME, users=pd.DataFrame(index=["bo", "al", "bo"]))
    with pytest.raises(DataError, match="mixes ids of types int and str"):
        Dataset.from_frame(FRAME.assign(user=pd.Series([1, "al", "bo"], dtype=object)))


def test_dataset_refuses_tables_and_media_of_another_size():
    events = Interactions([0], [1])
    users, items = pd.DataFrame(index=[0]), pd.DataFrame(index=[0, 1])
    Dataset(events, users, items)
    with pytest.raises(DataError, match="items table has 1 rows"):
        Dataset(events, users, users)
    with pytest.raises(DataError, match="id 0 occurs more than once"):
        Dataset(events, users, pd.DataFrame(index=[0, 0]))
    with pytest.raises(DataError, match="media list 1 items"):
        Dataset(events, users, items, Media({"text": ["a"]}))
