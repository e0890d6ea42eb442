"""Cleaning: repeated events, k-core, missing values."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lib.data import Dataset, Features, Interactions, drop_duplicates, impute, k_core
from mmrec_lib.errors import DataError, FeatureError, ParameterError, UnknownNameError

# -- repeated events ---------------------------------------------------------------------------------------------
# user 0 met item 1 three times: values 2, 5, 5 at times 30, 10, 20
REPEATED = Interactions([0, 0, 1, 0, 0], [1, 1, 1, 1, 2], value=[2, 5, 4, 5, 1], time=[30, 10, 5, 20, 40])


@pytest.mark.parametrize(
    ("keep", "value", "time"),
    [("last", 2, 30), ("first", 5, 10), ("max", 5, 20), ("mean", 4, 30), ("sum", 12, 30)],
)
def test_drop_duplicates_by_hand(keep, value, time):
    clean = drop_duplicates(REPEATED, keep)
    rows = sorted(clean.to_frame().to_numpy().tolist())
    assert rows == [[0, 1, value, time], [0, 2, 1, 40], [1, 1, 4, 5]]
    assert clean.shape == REPEATED.shape


def test_without_times_the_order_of_the_rows_counts_and_is_kept():
    events = Interactions([1, 0, 1, 0], [0, 0, 0, 1], value=[1, 2, 3, 4])
    assert drop_duplicates(events, "last").value.tolist() == [2, 3, 4]
    assert drop_duplicates(events, "first").value.tolist() == [1, 2, 4]
    assert len(drop_duplicates(events.select([]))) == 0


def test_drop_duplicates_of_a_data_set_keeps_the_rest():
    data = Dataset.from_frame(pd.DataFrame({"user": ["a", "a"], "item": ["x", "x"], "value": [1, 3]}), name="shop")
    clean = drop_duplicates(data, "mean")
    assert clean.interactions.value.tolist() == [2]
    assert clean.name == "shop"
    assert len(data.interactions) == 2  # the given one is untouched


def test_unknown_keep():
    with pytest.raises(UnknownNameError, match="'first'"):
        drop_duplicates(REPEATED, "frist")


# -- k-core --------------------------------------------------------------------------------------------------------
# items 0 and 1 belong to users 0 and 1; user 2 has items 1 and 2; item 2 has nobody else. Without item 2, user 2 is
# left with one item, and goes too.
CHAIN = Interactions([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 1, 2], time=np.arange(6))


def test_k_core_goes_on_until_all_have_enough():
    core = k_core(CHAIN, user=2, item=2)
    assert core.user.tolist() == [0, 0, 1, 1]
    assert core.item.tolist() == [0, 1, 0, 1]
    assert core.shape == CHAIN.shape


def test_a_repeated_pair_counts_once_and_stays_whole():
    events = Interactions([0, 0, 0, 1], [0, 0, 1, 1])
    assert k_core(events, user=2, item=1).user.tolist() == [0, 0, 0]


def test_k_core_of_a_data_set_keeps_tables_media_and_codes_in_step():
    frame = pd.DataFrame({"user": [9, 9, 8, 8, 7, 7], "item": list("xyxyyz"), "time": range(6)})
    users = pd.DataFrame({"age": [40, 50, 60]}, index=[7, 8, 9])
    items = pd.DataFrame({"title": ["Z", "Y", "X"]}, index=list("zyx"))
    media = {"text": ["a z", "a y", None], "image": [Path("z"), None, Path("x")]}
    data = Dataset.from_frame(frame, users, items, media, "shop")
    data.extras["utilities"] = np.ones((3, 3))
    core = k_core(data, user=2, item=2)
    assert core.users["age"].to_dict() == {8: 50, 9: 60}
    assert core.items["title"].to_dict() == {"y": "Y", "x": "X"}
    assert core.media["text"] == ["a y", None]
    assert core.media["image"] == [None, Path("x")]
    raw = core.users.index[core.interactions.user], core.items.index[core.interactions.item]
    assert list(zip(*raw, strict=True)) == [(9, "x"), (9, "y"), (8, "x"), (8, "y")]
    assert core.extras == {}
    assert (data.n_users, data.n_items) == (3, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_k_core_leaves_enough_and_is_the_largest(pairs, user, item):
    events = Interactions(*zip(*pairs, strict=True), n_users=7, n_items=7)
    expected = set(pairs)
    while True:  # the definition, slowly
        smaller = {
            (u, i)
            for u, i in expected
            if sum(v == u for v, _ in expected) >= user and sum(j == i for _, j in expected) >= item
        }
        if smaller == expected:
            break
        expected = smaller
    if not expected:
        with pytest.raises(DataError, match="nothing is left"):
            k_core(events, user, item)
    else:
        core = k_core(events, user, item)
        assert set(zip(core.user.tolist(), core.item.tolist(), strict=True)) == expected


@pytest.mark.parametrize("bad", [-1, 1.5, True])
def test_k_core_refuses_senseless_numbers(bad):
    with pytest.raises(ParameterError, match="item="):
        k_core(CHAIN, user=2, item=bad)


# -- missing values in tables ----------------------------------------------------------------------------------
GAPS = np.array([[1.0, 10.0], [np.nan, 20.0], [4.0, np.inf], [4.0, 60.0], [11.0, 30.0]])


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [("mean", 5, 30), ("median", 4, 25), ("mode", 4, 10), ("interpolate", 2.5, 40), ("zero", 0, 0)],
)
def test_impute_arrays_by_hand(method, first, second):
    filled = impute(GAPS, method)
    assert (filled[1, 0], filled[2, 1]) == (first, second)
    known = np.isfinite(GAPS)
    assert (filled[known] == GAPS[known]).all()
    assert np.isnan(GAPS[1, 0])  # the given one is untouched


def test_knn_takes_the_most_similar_rows_with_columns_scaled():
    # the second column is in the thousands; unscaled, it alone would decide
    table = pd.DataFrame({"a": [0, 0, 10, 10, 0.1], "b": [0.0, 1000, 0, 1000, 100], "c": [1.0, 3, 50, 70, np.nan]})
    assert impute(table, "knn", neighbours=1)["c"].iloc[4] == pytest.approx(1)
    assert impute(table, "knn", neighbours=2)["c"].iloc[4] == pytest.approx(2)
    assert impute(table, "knn", neighbours=2).iloc[:4].equals(table.iloc[:4])


def test_frames_keep_their_names_text_and_complete_columns():
    table = pd.DataFrame({"age": [20, 30, None], "job": ["cook", None, "cook"], "n": [1, 2, 3]}, index=["a", "b", "c"])
    filled = impute(table, "mode")
    assert filled["job"].tolist() == ["cook"] * 3
    assert filled["age"].tolist() == [20, 30, 20]
    assert list(filled.index) == ["a", "b", "c"]
    assert filled["n"].dtype == table["n"].dtype
    assert impute(table["age"], "mean").tolist() == [20, 30, 25]
    assert impute(np.array([1, np.nan, 2])).tolist() == [1, 1.5, 2]
    nullable = impute(pd.DataFrame({"year": pd.array([1990, None, 2000], dtype="Int64")}), "median")
    assert nullable["year"].tolist() == [1990, 1995, 2000]


def test_impute_refuses_what_it_cannot_do():
    with pytest.raises(UnknownNameError, match="median"):
        impute(GAPS, "medain")
    with pytest.raises(DataError, match="column 'job' holds no numbers"):
        impute(pd.DataFrame({"job": ["cook", None]}), "mean")
    with pytest.raises(DataError, match="column 'x' is empty"):
        impute(pd.DataFrame({"x": [np.nan, np.nan]}), "knn")
    with pytest.raises(ParameterError, match="neighbours=0"):
        impute(GAPS, "knn", neighbours=0)
    with pytest.raises(DataError, match="one or two dimensions"):
        impute(np.zeros((1, 1, 1)))


# -- missing rows of features ----------------------------------------------------------------------------------
def two_modalities():
    """Items 0 to 2 look alike in text, so do 3 to 5; items 2 and 3 lack a picture, item 6 lacks both."""
    text = np.array([[0, 0], [0, 1], [0, 0.4], [9, 0.4], [9, 0], [9, 1], [0, 0]], dtype=float)
    image = np.array([[1, 1], [3, 3], [0, 0], [0, 0], [10, 0], [20, 0], [0, 0]], dtype=float)
    mask = {"text": [True] * 6 + [False], "image": [True, True, False, False, True, True, False]}
    return Features({"text": text, "image": image}, mask)


def test_knn_for_features_looks_at_the_other_modality():
    filled = impute(two_modalities(), "knn", neighbours=2)
    assert filled["image"][2].tolist() == [2, 2]
    assert filled["image"][3].tolist() == [15, 0]
    assert filled["image"][6].tolist() == [8.5, 1]  # nothing to go by: the mean
    assert filled.mask["image"].all()
    assert filled["image"][0].tolist() == [1, 1]


def test_other_methods_for_features():
    features = two_modalities()
    assert impute(features, "mean")["image"][2].tolist() == [8.5, 1]
    assert impute(features, "median")["image"][2].tolist() == [6.5, 0.5]
    assert impute(features, "zero")["image"][2].tolist() == [0, 0]
    assert not features.mask["image"].all()  # the given one is untouched
    alone = Features({"image": np.array([[1.0], [3.0], [0.0]])}, {"image": [True, True, False]})
    assert impute(alone, "knn")["image"][2].tolist() == [2]


def test_features_without_any_vector_and_methods_without_sense_are_refused():
    nothing = Features({"image": np.zeros((2, 1))}, {"image": [False, False]})
    with pytest.raises(FeatureError, match="no item has a vector"):
        impute(nothing, "mean")
    with pytest.raises(ParameterError, match="makes no sense for vectors"):
        impute(two_modalities(), "interpolate")
