import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders.metadata import Categories, Metadata, Numbers, rows_of
from mmrec_lib.errors import DataError, MediaWarning, MissingColumnError, NotFittedError, ParameterError

SHOP = pd.DataFrame(
    {
        "price": [1.0, 3.0, None, 5.0],
        "stock": [2, 2, 2, 2],
        "colour": ["red", "red", "blue", None],
        "tags": ["old|round", "round", "flat", "old"],
        "sold": pd.to_datetime(["2024-01-01 06:00", "2024-05-01 00:00", None, "2024-06-01 00:00"]),
        "title": ["cup", "plate", "bowl", "jug"],
        "nothing": [None, None, None, None],
    }
)


def column(*values):
    return [{"x": value} for value in values]


# -- numbers -------------------------------------------------------------------------------------------------------
def test_numbers_by_hand():
    encoder = mm.encoders.create("numbers").fit(SHOP)
    # the median 3 stands for the missing price: mean 3, deviation root of 2; a column without differences is 0
    root = np.sqrt(2)
    wanted = [[-2 / root, 0, 0], [0, 0, 0], [0, 0, 1], [2 / root, 0, 0]]
    np.testing.assert_allclose(encoder.encode(SHOP), wanted, atol=1e-6)
    assert encoder.state_["columns"] == ["price", "stock"]
    assert encoder.state_["marked"] == ["price"]
    assert Numbers(indicator=False).fit(SHOP).dim == 2


def test_minmax_goes_beyond_what_it_has_seen():
    encoder = Numbers(scale="minmax").fit(column(10, 20))
    np.testing.assert_allclose(encoder.encode(column(10, 15, 20, 30)).ravel(), [0, 0.5, 1, 2])


def test_quantiles_by_hand():
    encoder = Numbers(scale="quantile").fit(column(*range(101)))
    got = encoder.encode(column(0, 25, 100, -5, 1e9)).ravel()
    np.testing.assert_allclose(got, [0, 0.25, 1, 0, 1], atol=1e-6)
    # an extreme value leaves the others where they are
    squeezed = Numbers(scale="minmax").fit(column(*range(100), 1e6)).encode(column(0, 99)).ravel()
    spread = Numbers(scale="quantile").fit(column(*range(100), 1e6)).encode(column(0, 99)).ravel()
    assert squeezed[1] < 1e-3
    assert spread[1] == pytest.approx(0.99, abs=0.01)
    # half of the rows are 0: the middle of their ranks
    ties = Numbers(scale="quantile").fit(column(*[0] * 50, *range(1, 51))).encode(column(0, 50)).ravel()
    np.testing.assert_allclose(ties, [0.25, 1], atol=0.01)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.sampled_from(["standard", "minmax", "quantile"]))
def test_scales_keep_the_order(values, scale):
    got = Numbers(scale=scale).fit(column(*values)).encode(column(*sorted(values))).ravel()
    assert (np.diff(got) >= -1e-5).all()
    assert np.isfinite(got).all()


def test_missing_while_encoding_and_not_finite():
    encoder = Numbers().fit(column(1, 2, 6))
    assert encoder.dim == 1
    np.testing.assert_array_equal(
        encoder.encode([{}, {"x": np.inf}, {"x": pd.NA}, {"x": 2}]), encoder.encode(column(*[2] * 4))
    )


def test_numbers_refuses_what_is_none():
    with pytest.raises(DataError, match="no column holds numbers"):
        Numbers().fit(column("a", "b"))
    with pytest.raises(DataError, match="no number"):
        Numbers(columns=["x"]).fit(column("a", 1))
    with pytest.raises(DataError, match="'y' has no value"):
        Numbers(columns=["x", "y"]).fit(column(1, 2))
    with pytest.raises(DataError, match="finite"):
        Numbers(columns=["x"]).fit(column(np.inf))
    for options in ({"scale": "log"}, {"columns": "price"}, {"columns": []}):
        with pytest.raises(ParameterError):
            Numbers(**options)
    with pytest.raises(NotFittedError):
        _ = Numbers().dim
    with pytest.warns(MediaWarning, match="mapping"):
        assert Numbers().fit(column(1, 2)).run([{"x": 1}, 5]).mask.tolist() == [True, False]


# -- categories ----------------------------------------------------------------------------------------------------
def test_onehot_by_hand():
    encoder = Categories(columns=["colour"], min_count=1).fit(SHOP)
    assert encoder.names() == ["colour=(other)", "colour=blue", "colour=red"]
    rows = [*rows_of(SHOP), {"colour": "green"}]  # green was never seen; the last stamp has no colour
    np.testing.assert_array_equal(encoder.encode(rows), [[0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
    rare = Categories(columns=["colour"], min_count=2).fit(SHOP)
    np.testing.assert_array_equal(rare.encode(SHOP), [[0, 1], [0, 1], [1, 0], [0, 0]])


def test_several_categories_in_a_cell():
    encoder = Categories(columns=["tags"], separator="|", min_count=1).fit(SHOP)
    assert encoder.names() == ["tags=(other)", "tags=flat", "tags=old", "tags=round"]
    np.testing.assert_array_equal(encoder.encode(SHOP)[:2], [[0, 0, 1, 1], [0, 0, 0, 1]])


def test_target_by_hand():
    rows, labels = column("a", "a", "b", None), [1, 3, 8, 4]  # the mean of all is 4
    encoder = Categories(how="target", smoothing=2, min_count=1).fit(rows, labels)
    got = encoder.encode(column("a", "b", None, "never seen")).ravel()
    np.testing.assert_allclose(got, [(4 + 8) / 4, (8 + 8) / 3, 4, 4])
    plain = Categories(how="target", smoothing=0, min_count=1).fit(rows, labels)
    np.testing.assert_allclose(plain.encode(column("a", "b", "c")).ravel(), [2, 8, 4])


def test_out_of_fold_means_do_not_know_the_own_label():
    # every row is a category of its own, and labels are noise: there is nothing to know
    rng = np.random.default_rng(0)
    rows, labels = column(*(f"c{i}" for i in range(100))), rng.normal(size=100)
    encoder = Categories(how="target", smoothing=1, min_count=1)
    leaky = encoder.fit(rows, labels).encode(rows).ravel()
    assert np.corrcoef(leaky, labels)[0, 1] > 0.99
    honest = encoder.fit_encode(rows, labels).ravel()
    assert np.corrcoef(honest, labels)[0, 1] < 0
    # by hand: two rows, two folds, each has the other's label
    both = Categories(how="target", smoothing=0, min_count=1, folds=2)
    np.testing.assert_allclose(both.fit_encode(column("a", "a"), [1, 5]).ravel(), [5, 1])
    assert both.fit_encode([*column("a", "a"), None], [1, 5, 9])[2] == 0


def test_target_needs_numbers():
    for labels, message in ((None, "labels="), (["x", "y"], "numeric"), ([1, np.nan], "no number")):
        with pytest.raises(DataError, match=message):
            Categories(how="target").fit(column("a", "b"), labels)
    with pytest.raises(DataError, match="folds"):
        Categories(how="target").fit_encode(column("a", "b"), [1, 2])
    with pytest.raises(ParameterError, match="fit_encode"):
        Categories().fit_encode(column("a", "b"), [1, 2])


def test_embedding_puts_categories_of_like_labels_together():
    rows = column(*"abcd" * 30)
    encoder = Categories(how="embedding", size=3).fit(rows, [0.0, 0.1, 5.0, 5.1] * 30)
    a, b, c, d, new = encoder.encode(column("a", "b", "c", "d", "new"))
    assert np.linalg.norm(a - b) < 0.5 * np.linalg.norm(a - c)
    assert np.linalg.norm(c - d) < 0.5 * np.linalg.norm(b - d)
    assert not new.any()
    words = Categories(how="embedding", size=3).fit(rows, ["low", "low", "high", "high"] * 30)
    a, b, c, _ = words.encode(column(*"abcd"))
    assert np.linalg.norm(a - b) < 0.5 * np.linalg.norm(a - c)


def test_embedding_without_labels_learns_from_the_other_columns():
    rows = [{"make": m, "country": c} for m, c in [("vw", "de"), ("bmw", "de"), ("kia", "kr"), ("byd", "cn")] * 25]
    encoder = Categories(columns=["make", "country"], how="embedding", size=2).fit(rows)
    assert encoder.dim == 4
    vw, bmw, kia, _ = encoder.encode(rows[:4])[:, :2]
    assert np.linalg.norm(vw - bmw) < 0.5 * np.linalg.norm(vw - kia)
    with pytest.raises(DataError, match="labels"):
        Categories(how="embedding").fit(column("a", "b"))


@pytest.mark.parametrize("how", ["onehot", "target", "embedding"])
def test_categories_save_and_load(how, tmp_path):
    rows, labels = column(*"aabbc"), [1, 2, 3, 4, 5]
    encoder = Categories(how=how, epochs=2).fit(rows, labels)
    encoder.save(tmp_path / how)
    np.testing.assert_array_equal(mm.encoders.load(tmp_path / how).encode(rows), encoder.encode(rows))
    again = Categories(how=how, epochs=2).fit(rows, labels)
    np.testing.assert_array_equal(again.encode(rows), encoder.encode(rows))


def test_settings_of_categories_are_checked():
    for options in ({"how": "hash"}, {"min_count": 0}, {"smoothing": -1}, {"folds": 1}, {"size": 0}):
        with pytest.raises(ParameterError):
            Categories(**options)


# -- all columns ---------------------------------------------------------------------------------------------------
def test_metadata_takes_all_columns_that_suit(tmp_path):
    encoder = Metadata(separator="|", min_count=1, max_levels=3).fit(SHOP)
    assert encoder.left_out_ == ["nothing", "title"]  # four titles are more than three
    # price, stock, price missing; colour: other, blue, red; tags: other, flat, old, round; date: 8
    assert encoder.dim == 3 + 3 + 4 + 8
    vectors = encoder.encode(SHOP)
    np.testing.assert_allclose(vectors[0, 3:10], [0, 0, 1, 0, 0, 1, 1])
    np.testing.assert_allclose(vectors[0, 10:12], [1, 0], atol=1e-6)  # six in the morning
    assert not vectors[2, 10:].any()  # never sold
    encoder.save(tmp_path / "table")
    np.testing.assert_array_equal(mm.encoders.load(tmp_path / "table").encode(SHOP), vectors)


def test_metadata_of_a_data_set():
    events = mm.data.Interactions([0], [0], n_users=1, n_items=4)
    data = mm.data.Dataset(events, pd.DataFrame(index=[0]), SHOP)
    wanted = {"metadata": Metadata(columns=["price", "colour"], min_count=1), "price": ("table", "numbers")}
    features = mm.encoders.encode(data, wanted, cache=None)
    assert features.dims == {"metadata": 2 + 3, "price": 3}
    assert features.mask["metadata"].all()
    with pytest.raises(MissingColumnError, match="weight"):
        mm.encoders.encode(data, {"metadata": Numbers(columns=["weight"])}, cache=None)


def test_cached_vectors_are_the_same(tmp_path):
    events = mm.data.Interactions([0], [0], n_users=1, n_items=4)
    data = mm.data.Dataset(events, pd.DataFrame(index=[0]), SHOP)
    first, second = (
        mm.encoders.encode_all(data, {"metadata": "metadata"}, cache=tmp_path)["metadata"] for _ in range(2)
    )
    assert (first.n_encoded, second.n_cached, second.n_encoded) == (4, 4, 0)
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_metadata_without_columns():
    with pytest.raises(DataError, match="left out: title"):
        Metadata(max_levels=1).fit(SHOP[["title"]])
    for options in ({"scale": "log"}, {"max_levels": 0}, {"columns": "title"}):
        with pytest.raises(ParameterError):
            Metadata(**options)
