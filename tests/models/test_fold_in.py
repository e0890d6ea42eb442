"""People who were not there when a factor model learned."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.models import fold_in
from mmrec_lib.models.factors import ALS, BiasedMF


def test_inputs_by_hand():
    items = np.array([[2.0, 0], [0, 4], [6, 6]], np.float32)
    rows = sparse.csr_matrix(np.array([[1.0, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32))
    root = 2**0.5
    expected = [[2 / root, 4 / root, 1, 2, 1], [6, 6, 6, 6, 1], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(fold_in.history_inputs(rows, items), expected, rtol=1e-6)


def test_a_linear_rule_is_found():
    """Users who are the mean of their items: so is a stranger, shorter as three of many items are less certain."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(40, 3)).astype(np.float32)
    seen = sparse.csr_matrix((rng.random((500, 40)) < 0.2).astype(np.float32))
    seen = seen[np.diff(seen.indptr) > 0]
    mean = sparse.diags_array(1 / np.diff(seen.indptr)) @ seen
    learned = fold_in.history_map(seen, items, mean @ items)
    stranger = sparse.csr_matrix((np.ones(3, np.float32), ([0, 0, 0], [1, 5, 9])), shape=(1, 40))
    vector = fold_in.history_inputs(stranger, items) @ learned
    truth = items[[1, 5, 9]].mean(axis=0)
    assert np.corrcoef(vector[0], truth)[0, 1] > 0.9
    assert 0.3 < np.linalg.norm(vector) / np.linalg.norm(truth) < 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_thinned_histories_are_parts_and_never_empty(seed):
    rng = np.random.default_rng(seed)
    rows = sparse.csr_matrix((rng.random((12, 20)) < rng.random((12, 1))).astype(np.float32))
    less = fold_in.thinned(rows, rng)
    assert not (less > rows).nnz
    np.testing.assert_array_equal(np.diff(less.indptr) > 0, np.diff(rows.indptr) > 0)


def test_short_histories_are_as_frequent_as_long_ones():
    rows = sparse.csr_matrix(np.ones((4000, 100), np.float32))
    sizes = np.diff(fold_in.thinned(rows, np.random.default_rng(0)).indptr)
    assert 0.45 < (sizes <= 10).mean() < 0.55  # 100 ** r is at most 10 for half of r


def test_a_second_fit_forgets_the_map(blocks):
    model = mm.models.create("bpr", dim=8, epochs=5, batch_size=64, device="cpu")
    first = model.fit(blocks).score_histories([[0, 1]])
    model.seed = 1
    second = model.fit(blocks).score_histories([[0, 1]])
    again = mm.models.create("bpr", dim=8, epochs=5, batch_size=64, device="cpu", seed=1).fit(blocks)
    np.testing.assert_array_equal(second, again.score_histories([[0, 1]]))
    assert (first != second).any()


def test_als_folds_in_what_training_would_give(blocks):
    """A user's vector is the minimum of the loss with the items fixed: so is a stranger's with the same history."""
    model = ALS(dim=4, l2=2.0).fit(blocks)
    np.testing.assert_allclose(model.score_histories(model.seen_), model.score(np.arange(60)), rtol=1e-3, atol=1e-4)


def test_ratings_fold_in_by_hand():
    """One factor less: a new user's bias is the sum of the residuals over their number plus the penalty."""
    train = mm.data.Interactions([0, 0, 1, 1], [0, 1, 0, 1], [5, 3, 4, 2])
    model = BiasedMF(dim=0, l2=1.0).fit(train)
    ratings = sparse.csr_matrix(np.array([[5.0, 0]], np.float32))
    bias = (5 - model.mean_ - model.item_biases_[0]) / (1 + 1)
    np.testing.assert_allclose(model.score_histories(ratings)[0], model.mean_ + bias + model.item_biases_, rtol=1e-5)


def test_a_user_neighbour_is_anybody_with_a_common_item():
    """Strangers are compared with all users; a user is nobody's own neighbour."""
    train = mm.data.Interactions([0, 0, 1, 1, 2], [0, 1, 0, 2, 3], n_items=4)
    model = mm.models.create("userknn").fit(train)
    scores = model.score_histories([[0, 1]])[0]  # user 0 met the same: cosine 1; user 1 half of it
    np.testing.assert_allclose(scores, [1.5, 1, 0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(model.score_histories([[0, 1]], users=[0])[0], [0.5, 0, 0.5, 0], rtol=1e-6)
