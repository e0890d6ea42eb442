import doctest

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.encoders import selection
from mmrec_lib.encoders.selection import mutual_information, pca, select
from mmrec_lib.errors import DataError, ParameterError


def table(n=400, seed=0):
    """Four columns: noise, a bit, a number, noise; the label is the bit, the target twice the number."""
    rng = np.random.default_rng(seed)
    bit, number = rng.integers(0, 2, n), rng.normal(size=n)
    vectors = np.stack([rng.normal(size=n), bit, number, rng.normal(size=n)], axis=1)
    return vectors, np.where(bit == 1, "yes", "no"), 2 * number


def test_doctests():
    assert doctest.testmod(selection).failed == 0


def test_information_of_a_fair_bit_is_log_two():
    vectors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10)
    got = mutual_information(vectors, ["a", "a", "b", "b"] * 10)
    np.testing.assert_allclose(got, [np.log(2), 0], atol=1e-9)


def test_the_right_columns_are_kept():
    vectors, label, target = table()
    assert select(vectors, label, 1).kept.tolist() == [1]
    chosen = select(vectors, target, 2)
    assert chosen.kept[0] == 2
    np.testing.assert_array_equal(chosen.features, vectors[:, chosen.kept])
    assert chosen.information[2] > 1 > 0.2 > chosen.information[1]


def test_only_the_given_rows_are_looked_at():
    vectors, label, _ = table()
    train = np.arange(400) < 300
    wrong = label.copy()
    wrong[~train] = "never"  # what is not for training may say what it likes
    for rows in (train, np.flatnonzero(train)):
        np.testing.assert_array_equal(
            mutual_information(vectors, label, rows), mutual_information(vectors, wrong, rows)
        )
    changed = vectors.copy()
    changed[~train] = 1e3
    np.testing.assert_allclose(
        pca(changed, 2, train).features[train], pca(vectors, 2, train).features[train], atol=1e-4
    )


def test_features_keep_their_mask():
    vectors, label, _ = table()
    mask = np.arange(400) % 4 > 0
    vectors[~mask] = np.nan
    features = mm.data.Features({"a": vectors, "b": vectors[:, :3]}, {"a": mask, "b": mask})
    chosen = select(features, label, 1)
    assert {m: kept.tolist() for m, kept in chosen.kept.items()} == {"a": [1], "b": [1]}
    reduced = pca(features, 2)
    for result in (chosen.features, reduced.features):
        np.testing.assert_array_equal(result.mask["a"], mask)
        assert not result["a"][~mask].any()
    assert reduced.features.dims == {"a": 2, "b": 2}
    assert 0.5 < reduced.explained["a"] < 1


def test_pca_by_hand():
    # points on the diagonal: one direction holds everything
    points = np.array([[0.0, 0], [1, 1], [2, 2]])
    reduced = pca(points, 1)
    np.testing.assert_allclose(np.abs(reduced.features.ravel()), [np.sqrt(2), 0, np.sqrt(2)], atol=1e-6)
    assert reduced.explained == pytest.approx(1)
    square = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]])  # variances 4 and 1
    assert pca(square, 1).explained == pytest.approx(0.8)


def test_what_cannot_be():
    vectors, label, _ = table(20)
    with pytest.raises(ParameterError, match="at most 4"):
        pca(vectors, 5)
    with pytest.raises(ParameterError, match="at most 1"):
        pca(vectors, 2, rows=[0, 1])
    for k in (0, 1.5, True):
        with pytest.raises(ParameterError, match="k="):
            select(vectors, label, k)
    with pytest.raises(DataError, match="19 labels"):
        select(vectors, label[:19], 1)
    with pytest.raises(DataError, match="row 3 has no label"):
        select(vectors, [*label[:3], None, *label[4:]], 1)
    with pytest.raises(DataError, match="too few"):
        select(vectors, label, 1, rows=[1, 2])
    with pytest.raises(DataError, match="rows"):
        select(vectors, label, 1, rows=[99])
    with pytest.raises(DataError, match="mask of shape"):
        pca(vectors, 1, rows=np.ones(3, bool))
    with pytest.raises(DataError, match="numbers"):
        pca(np.array([["a"]]), 1)
