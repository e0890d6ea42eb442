"""Lists and their probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lib.simulation.logging_policy import list_probabilities, sample_lists


def test_softmax_by_hand():
    probability = list_probabilities(np.log([[1.0, 2.0, 3.0, 4.0]]), length=1)
    np.testing.assert_allclose(probability, [[0.1, 0.2, 0.3, 0.4]])


def test_what_is_above_the_limit_goes_to_the_others():
    # 0.7 is above 1/2; the rest of 1/2 is shared 2 : 1, as 0.2 and 0.1 are
    probability = list_probabilities(np.log([[0.7, 0.2, 0.1]]), length=2)
    np.testing.assert_allclose(probability, [[0.5, 1 / 3, 1 / 6]])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(6, 30), st.floats(0, 8), st.integers(0, 1000))
def test_probabilities_and_lists_are_valid(length, n_items, spread, seed):
    rng = np.random.default_rng(seed)
    probability = list_probabilities(spread * rng.standard_normal((3, n_items)), length)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert probability.max() <= 1 / length + 1e-12
    lists = sample_lists(probability, 4, length, rng)
    assert lists.shape == (3, 4, length)
    assert lists.min() >= 0
    assert lists.max() < n_items
    ordered = np.sort(lists, axis=2)
    assert (np.diff(ordered, axis=2) > 0).all()  # no item twice in a list


def test_lists_hit_their_probabilities_at_every_place():
    probability = list_probabilities(np.array([[2.0, 1.0, 0.0, -1.0, -2.0]]), length=2)
    lists = sample_lists(probability, 40_000, 2, np.random.default_rng(0))[0]
    for place in range(2):
        share = np.bincount(lists[:, place], minlength=5) / 40_000
        assert share == pytest.approx(probability[0], abs=0.01)
