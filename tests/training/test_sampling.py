import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mmrec_lib.errors import DataError, ParameterError, UnknownNameError
from mmrec_lib.training.sampling import NegativeSampler


@st.composite
def matrices(draw):
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    cells = draw(st.lists(st.booleans(), min_size=n_users * n_items, max_size=n_users * n_items))
    dense = np.array(cells, np.float32).reshape(n_users, n_items)
    dense[np.arange(n_users), draw(st.integers(0, n_items - 1))] = 0  # somebody who met everything is tested apart
    return sparse.csr_matrix(dense)


@settings(max_examples=60, deadline=None)
@given(matrices(), st.sampled_from(["uniform", "popularity", "hard"]), st.integers(0, 2**32 - 1))
def test_a_negative_is_never_a_positive(seen, how, seed):
    users = np.repeat(np.arange(seen.shape[0]), 20)
    sampler = NegativeSampler(seen, how, candidates=3)
    items = sampler.sample(users, 2, seed, score=lambda u, i: -np.abs(i - 2.0))
    assert items.shape == (len(users), 2)
    assert items.min() >= 0
    assert items.max() < seen.shape[1]
    assert not seen.toarray()[users[:, None], items].any()


@settings(max_examples=40, deadline=None)
@given(matrices())
def test_is_positive_agrees_with_the_matrix(seen):
    users, items = np.indices(seen.shape).reshape(2, -1)
    found = NegativeSampler(seen).is_positive(users, items).reshape(seen.shape)
    np.testing.assert_array_equal(found, seen.toarray() > 0)


def test_uniform_is_uniform_over_what_is_left():
    seen = sparse.csr_matrix(np.array([[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]))
    drawn = NegativeSampler(seen).sample(np.repeat([0, 1], 30_000), rng=1)[:, 0]
    first = np.bincount(drawn[:30_000], minlength=6) / 30_000
    np.testing.assert_allclose(first, [0, 0.25, 0.25, 0, 0.25, 0.25], atol=0.015)
    np.testing.assert_allclose(np.bincount(drawn[30_000:], minlength=6) / 30_000, np.full(6, 1 / 6), atol=0.015)


def test_popularity_follows_counts_to_the_exponent():
    # item counts 4, 1, 1, 0 (which counts as one); the last user met none of them
    seen = sparse.csr_matrix(np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    sampler = NegativeSampler(seen, "popularity", exponent=0.5)
    weights = np.array([2, 1, 1, 1]) / 5
    np.testing.assert_allclose(np.exp(sampler.log_q), weights, rtol=1e-6)
    drawn = sampler.sample(np.full(40_000, 4), rng=0)[:, 0]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 40_000, weights, atol=0.012)


def test_popularity_with_nearly_all_the_weight_met_is_still_exact():
    # user 0 met the item that holds nearly all the weight: redraws alone would not end
    seen = sparse.vstack([sparse.csr_matrix(np.array([[1, 1, 0, 0]]))] + [sparse.csr_matrix([[1, 0, 0, 0]])] * 400)
    seen = sparse.vstack([seen, sparse.csr_matrix(np.array([[0, 0, 0, 1]] * 3))]).tocsr()
    drawn = NegativeSampler(seen, "popularity", exponent=3.0).sample(np.zeros(4000, int), rng=0)[:, 0]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, [0, 0, 1 / 28, 27 / 28], atol=0.015)


def test_hard_takes_the_highest_scored_candidate():
    seen = sparse.csr_matrix(np.array([[1, 0, 0, 0, 0]]))
    sampler = NegativeSampler(seen, "hard", candidates=50)
    drawn = sampler.sample(np.zeros(100, int), rng=0, score=lambda users, items: items)
    assert (drawn == 4).all()  # fifty draws from four items miss the best one with probability 6e-7


def test_hard_needs_scores():
    with pytest.raises(ParameterError, match="score"):
        NegativeSampler(sparse.csr_matrix((2, 3)), "hard").sample([0])


def test_same_seed_same_negatives():
    sampler = NegativeSampler(sparse.csr_matrix((3, 50)), "popularity")
    users = np.arange(3).repeat(10)
    np.testing.assert_array_equal(sampler.sample(users, 4, 7), sampler.sample(users, 4, 7))
    assert (sampler.sample(users, 4, 7) != sampler.sample(users, 4, 8)).any()


def test_a_user_who_met_everything_is_named():
    sampler = NegativeSampler(sparse.csr_matrix(np.array([[1, 0], [1, 1]])))
    assert sampler.has_negative.tolist() == [True, False]
    with pytest.raises(DataError, match="user 1 has met all 2 items"):
        sampler.sample([0, 1])


def test_bad_parameters():
    with pytest.raises(UnknownNameError, match="uniform"):
        NegativeSampler(sparse.csr_matrix((2, 3)), "uniformly")
    with pytest.raises(ParameterError, match="candidates"):
        NegativeSampler(sparse.csr_matrix((2, 3)), "hard", candidates=0)
