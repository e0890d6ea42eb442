"""Random and popularity, by hand."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError

DAY = 86_400
EVENTS = mm.data.Interactions([0, 0, 1, 2, 2], [0, 1, 0, 0, 2], time=[0, 0, 0, 10 * DAY, 20 * DAY], n_items=4)


def test_popularity_counts_users():
    scores = mm.models.create("popularity").fit(EVENTS).score([0, 2])
    np.testing.assert_array_equal(scores, [[3, 1, 1, 0]] * 2)


def test_a_repeated_pair_counts_once():
    twice = mm.data.Interactions([0, 0, 1], [1, 1, 0])
    np.testing.assert_array_equal(mm.models.create("popularity").fit(twice).score([0]), [[1, 1]])


def test_recent_events_count_more():
    # weights 1/4, 1/4, 1/4, 1/2, 1 with ten days' half-life before the last event
    scores = mm.models.create("popularity", half_life_days=10).fit(EVENTS).score([1])
    np.testing.assert_allclose(scores, [[1, 0.25, 1, 0]])


@pytest.mark.parametrize("half_life", [0, -1, float("nan"), float("inf"), "week"])
def test_bad_half_life(half_life):
    with pytest.raises(ParameterError, match="half_life_days"):
        mm.models.create("popularity", half_life_days=half_life)


def test_half_life_needs_times():
    with pytest.raises(DataError, match="times"):
        mm.models.create("popularity", half_life_days=1).fit(mm.data.Interactions([0], [0]))


def test_random_scores_are_uniform_and_unrelated():
    events = mm.data.Interactions([0], [0], n_users=200, n_items=500)
    scores = mm.models.create("random", seed=3).fit(events).score(np.arange(200))
    assert ((scores >= 0) & (scores < 1)).all()
    np.testing.assert_allclose(np.histogram(scores, 10, (0, 1))[0] / scores.size, 0.1, atol=0.005)
    assert np.abs(np.corrcoef(scores[:20])[np.triu_indices(20, 1)]).max() < 0.2
    other = mm.models.create("random", seed=4).fit(events).score(np.arange(200))
    assert abs(np.corrcoef(scores.ravel(), other.ravel())[0, 1]) < 0.02
