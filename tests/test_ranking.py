"""Top-k lists, and each list metric against arithmetic done by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from mmrec_lib import ranking
from mmrec_lib.errors import DataError, ParameterError

# -- lists ---------------------------------------------------------------------------------------------------------


def test_top_k_best_first():
    items, values = ranking.top_k(np.array([[0.1, 0.9, 0.5], [3.0, 1.0, 2.0]], np.float32), 2)
    assert items.tolist() == [[1, 2], [0, 2]]
    assert values.tolist() == [[np.float32(0.9), 0.5], [3.0, 2.0]]


def test_ties_go_to_the_lower_code_within_the_list_and_at_its_end():
    # 7 is best; then five items tie at 1 (codes 0, 2, 3, 5, 6), of which the list of three holds the first two
    scores = np.array([[1, 0, 1, 1, 0, 1, 1, 2]], np.float32)
    assert ranking.top_k(scores, 3)[0].tolist() == [[7, 0, 2]]
    assert ranking.top_k(scores, 6)[0].tolist() == [[7, 0, 2, 3, 5, 6]]
    assert ranking.top_k(np.zeros((2, 50), np.float32), 4)[0].tolist() == [[0, 1, 2, 3]] * 2


small_scores = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=st.sampled_from([-np.inf, 0, 1, 2])
)


@given(small_scores, st.integers(1, 14))
def test_top_k_equals_a_stable_sort(scores, k):
    items, values = ranking.top_k(scores.copy(), k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected = np.take_along_axis(scores, order, axis=1)
    assert np.array_equal(values, expected)
    assert np.array_equal(items, np.where(np.isneginf(expected), -1, order))


def test_top_k_takes_tensors_and_read_only_arrays():
    scores = np.broadcast_to(np.array([1, 3, 2], np.float32), (1, 3))
    assert ranking.top_k(scores, 2)[0].tolist() == [[1, 2]]
    assert ranking.top_k(torch.tensor([[1.0, 3.0, 2.0]], requires_grad=True), 2)[0].tolist() == [[1, 2]]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "10"])
def test_k_must_be_a_whole_number_of_at_least_one(k):
    with pytest.raises(ParameterError, match="whole number"):
        ranking.top_k(np.zeros((1, 3), np.float32), k)


def test_mask_seen_and_positions():
    seen = sparse.csr_matrix(np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]]))
    rows, cols = ranking.positions(np.array([2, 1, 0]), seen)
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == [(0, 1), (2, 0), (2, 2)]
    inf = np.inf
    expected = [[0, -inf, 0], [0, 0, 0], [-inf, 0, -inf]]
    assert ranking.mask_seen(np.zeros((3, 3)), np.array([2, 1, 0]), seen).tolist() == expected
    assert ranking.mask_seen(torch.zeros(3, 3), np.array([2, 1, 0]), seen).tolist() == expected


def test_blocks_do_not_change_the_lists_or_the_scores_of_the_model(monkeypatch):
    stored = np.random.default_rng(0).integers(0, 5, (23, 9)).astype(np.float32)
    before = stored.copy()
    seen = sparse.random(23, 9, 0.3, "csr", random_state=0)
    users = np.arange(23)
    [whole] = ranking.iter_top_k(lambda u: stored[u], users, 4, 9, seen)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 4 * 9 * 5)  # five users a block
    pieces = list(ranking.iter_top_k(lambda u: stored[u[0] : u[-1] + 1], users, 4, 9, seen))
    assert len(pieces) == 5
    for a, *parts in zip(whole, *pieces, strict=True):
        assert np.array_equal(a, np.concatenate(parts))
    assert np.array_equal(stored, before)


def test_wrong_shape_and_nan_are_named():
    with pytest.raises(DataError, match=r"returned shape \(2, 4\) for 2 users; expected \(2, 3\)"):
        list(ranking.iter_top_k(lambda u: np.zeros((len(u), 4)), [0, 1], 2, 3))
    scores = np.zeros((3, 5), np.float32)
    scores[1, 4] = np.nan
    with pytest.raises(DataError, match="user 7 with NaN"):
        list(ranking.iter_top_k(lambda u: scores, [6, 7, 8], 2, 5))


def test_hits_by_pair_and_not_for_empty_places():
    relevant = sparse.csr_matrix(np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]))
    items = np.array([[3, 1, 0], [0, 3, 1], [1, -1, -1]])
    assert ranking.hits(items, np.array([0, 1, 2]), relevant).tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, False],
    ]
    # -1 in the row of user 1 would be the key of (0, 3), which is relevant
    assert not ranking.hits(np.array([[-1]]), np.array([1]), relevant).any()
    assert not ranking.hits(items, np.array([0, 1, 2]), sparse.csr_matrix((3, 4))).any()


# -- metrics by hand -----------------------------------------------------------------------------------------------
# Three users, lists of five.            rank  1  2  3  4  5
HIT = np.array(
    [
        [1, 0, 1, 0, 0],  # user A, 3 relevant items in all
        [0, 0, 0, 1, 0],  # user B, 1 relevant item
        [0, 0, 0, 0, 0],  # user C, 2 relevant items, none found
    ],
    bool,
)
N_RELEVANT = np.array([3, 1, 2])
LOG3, LOG5 = np.log2(3), np.log2(5)

BY_HAND = {
    # hits / k
    ("precision", 1): [1, 0, 0],
    ("precision", 3): [2 / 3, 0, 0],
    ("precision", 5): [2 / 5, 1 / 5, 0],
    # hits / relevant
    ("recall", 1): [1 / 3, 0, 0],
    ("recall", 3): [2 / 3, 0, 0],
    ("recall", 5): [2 / 3, 1, 0],
    # A at 3: P = 2/3, R = 2/3 -> 2/3.  A at 5: P = 2/5, R = 2/3 -> 2 * (4/15) / (16/15) = 1/2.
    # B at 5: P = 1/5, R = 1 -> (2/5) / (6/5) = 1/3
    ("f1", 3): [2 / 3, 0, 0],
    ("f1", 5): [1 / 2, 1 / 3, 0],
    ("hit", 1): [1, 0, 0],
    ("hit", 3): [1, 0, 0],
    ("hit", 5): [1, 1, 0],
    # A at 3: (1/log2(2) + 1/log2(4)) / (1/log2(2) + 1/log2(3) + 1/log2(4)) = 1.5 / (1.5 + 1/log2(3)); the same at 5,
    # as all 3 relevant items fit into the ideal list; at 1 the ideal list holds 1.  B at 5: 1/log2(5) / 1
    ("ndcg", 1): [1, 0, 0],
    ("ndcg", 3): [1.5 / (1.5 + 1 / LOG3), 0, 0],
    ("ndcg", 5): [1.5 / (1.5 + 1 / LOG3), 1 / LOG5, 0],
    ("mrr", 3): [1, 0, 0],
    ("mrr", 5): [1, 1 / 4, 0],
    # A: precision 1/1 at rank 1, 2/3 at rank 3.  At 3 and 5 divided by 3, at 1 by min(1, 3) = 1, at 2 by 2
    ("map", 1): [1, 0, 0],
    ("map", 2): [1 / 2, 0, 0],
    ("map", 3): [(1 + 2 / 3) / 3, 0, 0],
    ("map", 5): [(1 + 2 / 3) / 3, 1 / 4, 0],
}


@pytest.mark.parametrize(("name", "k"), BY_HAND, ids=lambda x: str(x))
def test_metric_by_hand(name, k):
    assert ranking.LIST_METRICS[name](HIT, N_RELEVANT, k) == pytest.approx(BY_HAND[name, k])


def test_precision_divides_by_k_even_when_fewer_items_are_relevant():
    # one relevant item, found at rank 1 of 10: 1/10, not 1/min(10, 1)
    hit = np.zeros((1, 10), bool)
    hit[0, 0] = True
    assert ranking.precision(hit, np.array([1]), 10) == pytest.approx(0.1)


@st.composite
def judged_lists(draw):
    hit = draw(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(2, 10))))
    missed = draw(hnp.arrays(np.int64, len(hit), elements=st.integers(0, 5)))
    return hit, np.maximum(hit.sum(axis=1) + missed, 1)


@given(judged_lists(), st.data())
def test_every_metric_lies_between_zero_and_one_and_recall_grows_with_k(lists, data):
    hit, n_relevant = lists
    k = data.draw(st.integers(1, hit.shape[1] - 1))
    for function in ranking.LIST_METRICS.values():
        value = function(hit, n_relevant, k)
        assert ((value >= 0) & (value <= 1 + 1e-12)).all()
        assert ((value == 0) == ~hit[:, :k].any(axis=1)).all()
    for name in ("recall", "hit", "mrr"):
        function = ranking.LIST_METRICS[name]
        assert (function(hit, n_relevant, k + 1) >= function(hit, n_relevant, k)).all()


@given(st.integers(1, 8), st.integers(1, 12))
def test_a_perfect_list_is_one_wherever_one_can_be_reached(n_relevant, k):
    hit = np.arange(12)[None] < n_relevant
    n = np.array([n_relevant])
    for name in ("hit", "ndcg", "mrr", "map"):
        assert ranking.LIST_METRICS[name](hit, n, k) == pytest.approx(1)
    assert ranking.recall(hit, n, k) == pytest.approx(min(k, n_relevant) / n_relevant)
    assert ranking.precision(hit, n, k) == pytest.approx(min(k, n_relevant) / k)


@given(judged_lists(), st.data())
def test_moving_a_hit_up_never_hurts_and_helps_where_rank_counts(lists, data):
    hit, n_relevant = lists
    hit = hit[:1].copy()
    k = hit.shape[1]
    place = data.draw(st.integers(1, k - 1))
    hit[0, place - 1 : place + 1] = False, True
    better = hit.copy()
    better[0, place - 1 : place + 1] = True, False
    n = np.maximum(n_relevant[:1], hit.sum())
    for name, function in ranking.LIST_METRICS.items():
        difference = function(better, n, k) - function(hit, n, k)
        if name in ("ndcg", "map"):
            assert difference > 0
        else:
            assert difference >= 0


@given(judged_lists())
def test_an_irrelevant_item_on_top_pushes_ranks_down(lists):
    hit, n_relevant = lists
    k = hit.shape[1]
    pushed = np.concatenate([np.zeros((len(hit), 1), bool), hit], axis=1)
    for function in ranking.LIST_METRICS.values():
        assert (function(pushed, n_relevant, k) <= function(hit, n_relevant, k) + 1e-12).all()


@pytest.mark.parametrize("form", ["float32", "float64", "read-only", "tensor", "transposed"])
def test_a_models_own_scores_are_left_as_they_were(form):
    own = np.random.default_rng(0).random((4, 6)).astype(np.float64 if form == "float64" else np.float32)
    if form == "transposed":
        own = np.asfortranarray(own)
    if form == "read-only":
        own.setflags(write=False)
    kept = torch.from_numpy(own) if form == "tensor" else own
    before = own.copy()
    seen = sparse.csr_matrix((np.ones(4, np.float32), ([0, 1, 1, 3], [0, 2, 5, 3])), shape=(4, 6))
    blocks = ranking.score_blocks(lambda users: kept, np.arange(4), 6, exclude=seen)
    _, masked = next(blocks)
    assert np.argwhere(np.isneginf(masked.numpy())).tolist() == [[0, 0], [1, 2], [1, 5], [3, 3]]
    blocks.close()  # whoever asked stops early, because of an error for example
    np.testing.assert_array_equal(own, before)
    list(ranking.iter_top_k(lambda users: kept, np.arange(4), 2, 6, seen))
    np.testing.assert_array_equal(own, before)
