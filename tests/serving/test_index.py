"""Indices: one contract, whatever is behind it."""

import numpy as np
import pytest

from mmrec_lib.errors import BundleError, DataError, NotFittedError, ParameterError
from mmrec_lib.serving import create_index, load_index
from mmrec_lib.serving.index import KINDS, recall

VECTORS = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(20, 16)).astype(np.float32)
SETTINGS = {"ivf": {"breadth": 60}, "hnsw": {"breadth": 200}}


@pytest.fixture(scope="module", params=KINDS)
def index(request):
    return create_index(request.param, **SETTINGS.get(request.param, {})).build(VECTORS)


def truth(k=10, allowed=None):
    products = QUERIES @ VECTORS.T
    if allowed is not None:
        products[:, ~allowed] = -np.inf
    return np.argsort(-products, axis=1, kind="stable")[:, :k]


def test_by_hand(index):
    small = create_index(index.kind, **SETTINGS.get(index.kind, {})).build(np.array([[1.0, 0], [0, 2], [3, 3]]))
    items, scores = small.search([1.0, 0.4], 2)
    assert items.tolist() == [[2, 0]]
    np.testing.assert_allclose(scores, [[4.2, 1]], rtol=1e-6)


def test_finds_the_best_and_their_scores(index):
    items, scores = index.search(QUERIES, 10)
    assert recall(items, truth()) >= (1 if index.kind in ("exact", "flat", "qdrant") else 0.95)
    np.testing.assert_allclose(scores, np.take_along_axis(QUERIES @ VECTORS.T, items, axis=1), rtol=1e-4, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 1e-5).all()


def test_filters_are_kept_and_cost_no_places(index):
    allowed = np.arange(500) % 5 == 0
    items, _ = index.search(QUERIES, 10, allowed)
    assert (items % 5 == 0).all()
    assert recall(items, truth(10, allowed)) > 0.9
    few = np.isin(np.arange(500), [7, 300, 450])
    items, scores = index.search(QUERIES, 10, few)
    assert set(items[items >= 0]) <= {7, 300, 450}
    assert np.isneginf(scores[items < 0]).all()


def test_nothing_allowed(index):
    items, scores = index.search(QUERIES[:2], 3, np.zeros(500, bool))
    assert (items == -1).all()
    assert np.isneginf(scores).all()


def test_more_than_there_is(index):
    items, _ = index.search(QUERIES[:1], 10_000)
    assert items.shape == (1, 500)


def test_saved_and_loaded(index, tmp_path):
    again = load_index(index.save(tmp_path / "index"))
    assert again.get_params() == index.get_params()
    for one, two in zip(index.search(QUERIES, 5), again.search(QUERIES, 5), strict=True):
        np.testing.assert_array_equal(one, two)


def test_wrong_arguments(index):
    with pytest.raises(DataError, match="16"):
        index.search(np.ones(3), 2)
    with pytest.raises(DataError, match="500 items"):
        index.search(QUERIES, 2, np.ones(3, bool))
    with pytest.raises(ParameterError, match="k="):
        index.search(QUERIES, 0)
    with pytest.raises(DataError, match="finite"):
        create_index(index.kind).build(np.full((2, 2), np.nan))
    with pytest.raises(NotFittedError):
        create_index(index.kind).search(QUERIES, 2)


def test_unknown_kind_and_damaged_folder(tmp_path):
    with pytest.raises(ParameterError, match="kind"):
        create_index("annoy")
    with pytest.raises(BundleError, match="no index"):
        load_index(tmp_path)


def test_recall_by_hand():
    assert recall(np.array([[1, 2, 3], [4, 5, -1]]), np.array([[3, 1, 9], [4, 5, -1]])) == pytest.approx(
        (2 / 3 + 1) / 2
    )


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_when_little_is_allowed_exactly_that_is_compared(kind):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 8))
    vectors = centres[np.arange(4000) % 40] + 0.1 * rng.normal(size=(4000, 8))
    queries, allowed = centres[:10].astype(np.float32), np.arange(4000) % 40 == 39  # none of them is near
    exact = create_index("exact").build(vectors).search(queries, 5, allowed)
    walk = {
        s: create_index(kind, breadth=10, scan_below=s).build(vectors).search(queries, 5, allowed) for s in (0, 0.1)
    }
    np.testing.assert_array_equal(walk[0.1][0], exact[0])
    np.testing.assert_allclose(walk[0.1][1], exact[1], rtol=1e-5)
    assert recall(walk[0][0], exact[0]) < 0.9
