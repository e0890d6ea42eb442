"""EASE against its formula, SLIM against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import ElasticNet

import mmrec_lib as mm
from mmrec_lib.errors import NotFittedError, ParameterError, UnknownItemError
from mmrec_lib.models import linear

# two items that always go together, one that never goes with them
PAIR = mm.data.Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 2])


def closed_form(x: np.ndarray, l2: float) -> np.ndarray:
    p = np.linalg.inv(x.T.astype(np.float64) @ x + l2 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


def test_ease_by_hand():
    # G + I = [[3, 2], [2, 3]] for the pair, its inverse [[3, -2], [-2, 3]] / 5, hence B = 2 / 3
    model = mm.models.create("ease", l2=1).fit(PAIR)
    np.testing.assert_allclose(model.weights_, [[0, 2 / 3, 0], [2 / 3, 0, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(model.score([0, 2]), [[2 / 3, 2 / 3, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("l2", [0.5, 30])
def test_ease_is_the_closed_form(blocks, l2):
    model = mm.models.create("ease", l2=l2).fit(blocks)
    x = blocks.to_csr().toarray()
    np.testing.assert_allclose(model.weights_, closed_form(x, l2), atol=2e-5)
    np.testing.assert_allclose(model.score(np.arange(60)), x @ closed_form(x, l2), atol=1e-4)
    assert not model.weights_.diagonal().any()


def test_ease_falls_back_to_double_precision():
    # the same two items for each of 5,000 users: with l2 = 1e-5 the matrix is singular in float32
    users = np.repeat(np.arange(5000), 2)
    twins = mm.data.Interactions(users, np.tile([0, 1], 5000))
    with pytest.raises(np.linalg.LinAlgError):
        linear.inverse(linear.gram(twins.to_csr(), 1e-5))
    model = mm.models.create("ease", l2=1e-5).fit(twins)
    np.testing.assert_allclose(model.weights_, [[0, 1], [1, 0]], rtol=1e-4)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(4)), elements=st.floats(-3, 3)))
@settings(max_examples=30, deadline=None)
def test_inverse(x):
    matrix = x.T @ x + np.eye(4)
    np.testing.assert_allclose(linear.inverse(matrix.copy()), np.linalg.inv(matrix), atol=1e-9)


def test_mirror_in_squares():
    upper = np.triu(np.arange(49.0).reshape(7, 7))
    mirrored = linear.mirror_upper(upper + np.tril(np.full((7, 7), np.nan), -1), size=3)
    np.testing.assert_array_equal(mirrored, upper + np.triu(upper, 1).T)


def test_slim_by_hand():
    # each of the pair explains the other: (2 - l1) / (2 + l2)
    model = mm.models.create("slim", l1=0.5, l2=1).fit(PAIR)
    np.testing.assert_allclose(model.weights_.toarray(), [[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]], atol=1e-6)
    assert mm.models.create("slim", l1=2, l2=0).fit(PAIR).weights_.nnz == 0


@pytest.mark.parametrize(("l1", "l2"), [(1, 5), (2, 0.5)])
def test_slim_is_the_elastic_net(blocks, l1, l2):
    model = mm.models.create("slim", l1=l1, l2=l2, iterations=500, tolerance=1e-7).fit(blocks)
    weights = model.weights_.toarray()
    x = blocks.to_csr().toarray().astype(np.float64)
    net = ElasticNet(
        (l1 + l2) / 60, l1_ratio=l1 / (l1 + l2), fit_intercept=False, positive=True, tol=1e-10, max_iter=10**5
    )
    for item in range(0, 30, 4):
        others = x.copy()
        others[:, item] = 0
        np.testing.assert_allclose(weights[:, item], net.fit(others, x[:, item]).coef_, atol=1e-5)
    assert (weights >= 0).all()
    assert not weights.diagonal().any()


def test_slim_stops_when_nothing_changes(blocks, monkeypatch):
    sweeps = []
    sweep = linear.SLIM._sweep
    monkeypatch.setattr(linear.SLIM, "_sweep", lambda *args: sweeps.append(sweep(*args)) or sweeps[-1])
    mm.models.create("slim", tolerance=1e-4, iterations=200).fit(blocks)
    assert sweeps[-1] == 0 < sweeps[-2]
    assert len(sweeps) < 200


@pytest.mark.parametrize("name", ["ease", "slim"])
def test_neighbours_are_the_items_that_speak_for_an_item(name, blocks):
    model = mm.models.create(name, l2=5).fit(blocks)
    with_weights = model.neighbours(13, k=4)
    assert (with_weights["item"] // 10 == 1).all()
    assert 13 not in with_weights["item"].tolist()
    assert with_weights["similarity"].is_monotonic_decreasing
    column = model.weights_[:, [13]]
    column = column if name == "ease" else column.toarray()
    np.testing.assert_allclose(with_weights["similarity"], column[with_weights["item"], 0])
    with pytest.raises(UnknownItemError):
        model.neighbours(30)
    with pytest.raises(NotFittedError):
        mm.models.create(name).neighbours(0)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ease", {"l2": 0}),
        ("ease", {"l2": -1}),
        ("ease", {"l2": float("inf")}),
        ("slim", {"l1": -1}),
        ("slim", {"l2": -1}),
        ("slim", {"iterations": 0}),
        ("slim", {"tolerance": 0}),
    ],
)
def test_bad_parameters(name, params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        mm.models.create(name, **params)
