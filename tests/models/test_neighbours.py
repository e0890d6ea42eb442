"""Similarities worked out by hand on four users and four items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.errors import NotFittedError, ParameterError, UnknownItemError, UnknownUserError

# Items are met by 2, 3, 2, 1 users; items 0 and 1 together by two, 0 and 2, 1 and 2, 1 and 3 by one. The same holds
# with users and items exchanged.
FOUR = mm.data.Interactions([0, 0, 1, 1, 1, 2, 2, 3], [0, 1, 0, 1, 2, 1, 3, 2])
PAIRS = [(0, 1), (0, 2), (1, 2), (1, 3)]
FACTORS = {
    "cosine": [2 / 6**0.5, 1 / 2, 1 / 6**0.5, 1 / 3**0.5],
    "jaccard": [2 / 3, 1 / 3, 1 / 4, 1 / 3],
}


def symmetric(values):
    out = np.zeros((4, 4))
    for (i, j), value in zip(PAIRS, values, strict=True):
        out[i, j] = out[j, i] = value
    return out


@pytest.mark.parametrize("name", ["itemknn", "userknn"])
@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
def test_similarity_by_hand(name, similarity):
    model = mm.models.create(name, similarity=similarity, shrinkage=0).fit(FOUR)
    np.testing.assert_allclose(model.similarity_.toarray(), symmetric(FACTORS[similarity]), rtol=1e-6)


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        ("cosine", [2 / (6**0.5 + 2), 1 / (2 + 2), 1 / (6**0.5 + 2), 1 / (3**0.5 + 2)]),
        ("jaccard", [2 / (3 + 2), 1 / (3 + 2), 1 / (4 + 2), 1 / (3 + 2)]),
    ],
)
def test_shrinkage_adds_to_the_divisor(similarity, expected):
    model = mm.models.create("itemknn", similarity=similarity, shrinkage=2).fit(FOUR)
    np.testing.assert_allclose(model.similarity_.toarray(), symmetric(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("similarity", "weight"),
    [
        ("tfidf", np.log([3, 7 / 3, 3, 5])),  # log(1 + 4 items / items of the user)
        ("bm25", 1 / np.array([2.2, 1.3 + 0.9 * 1.5, 2.2, 1.3 + 0.9 * 0.5])),  # mean length is 2 items
    ],
)
def test_weighted_cosine_by_hand(similarity, weight):
    dense = FOUR.to_csr().toarray() * weight[:, None]
    norms = np.linalg.norm(dense, axis=0)
    expected = dense.T @ dense / np.outer(norms, norms)
    np.fill_diagonal(expected, 0)
    model = mm.models.create("itemknn", similarity=similarity, shrinkage=0).fit(FOUR)
    np.testing.assert_allclose(model.similarity_.toarray(), expected, rtol=1e-6)
    # a user who met less says more: user 2 (two items) binds 1 and 3 closer than user 1 (three items) binds 1 and 2
    plain = mm.models.create("itemknn", shrinkage=0).fit(FOUR).similarity_
    assert model.similarity_[1, 2] / plain[1, 2] < model.similarity_[1, 3] / plain[1, 3]


def test_alpha_divides_by_the_row_item_and_its_rest_by_the_neighbour():
    s = mm.models.create("itemknn", shrinkage=0, alpha=1).fit(FOUR).similarity_
    assert s[0, 1] == pytest.approx(2 / 2)  # all users of item 0 met item 1
    assert s[1, 0] == pytest.approx(2 / 3)
    s = mm.models.create("itemknn", shrinkage=1, alpha=0.25).fit(FOUR).similarity_
    assert s[3, 1] == pytest.approx(1 / (1**0.25 * 3**0.75 + 1))


def test_a_score_sums_over_the_neighbours_of_the_item_that_is_scored():
    # one neighbour each: 0 has 1, 1 has 0, 2 has 0, 3 has 1 (Jaccard)
    model = mm.models.create("itemknn", k=1, similarity="jaccard", shrinkage=0).fit(FOUR)
    np.testing.assert_allclose(model.score([2])[0], [2 / 3, 0, 0, 1 / 3], rtol=1e-6)  # has met 1 and 3


def test_item_scores_by_hand():
    model = mm.models.create("itemknn", shrinkage=0).fit(FOUR)
    s01, s02, s12, s13 = FACTORS["cosine"]
    np.testing.assert_allclose(model.score([0])[0], [s01, s01, s02 + s12, s13], rtol=1e-6)


def test_user_scores_by_hand():
    model = mm.models.create("userknn", shrinkage=0).fit(FOUR)
    s01, s02, _, _ = FACTORS["cosine"]
    np.testing.assert_allclose(model.score([0])[0], [s01, s01 + s02, s01, s02], rtol=1e-6)


def test_k_keeps_the_nearest_and_breaks_ties_by_code():
    model = mm.models.create("itemknn", k=1, similarity="jaccard", shrinkage=0).fit(FOUR)
    np.testing.assert_array_equal(model.similarity_.indptr, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(model.similarity_.indices, [1, 0, 0, 1])
    tied = mm.data.Interactions([0, 0, 0], [0, 1, 2])
    assert mm.models.create("itemknn", k=1).fit(tied).similarity_.indices.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        # row 1, column 0: from item 0 to its users 0 and 1, each with 1/2; on to item 1 with 1/2 and 1/3
        ({"alpha": 1, "beta": 0}, {(1, 0): 5 / 12, (0, 1): 5 / 18, (2, 0): 1 / 6, (1, 3): 1 / 2}),
        ({"alpha": 1, "beta": 1}, {(1, 0): 5 / 36, (0, 1): 5 / 36, (2, 0): 1 / 12, (1, 3): 1 / 6}),
        ({"alpha": 0, "beta": 0}, {(1, 0): 2, (0, 1): 2, (2, 0): 1, (1, 3): 1}),
        ({"alpha": 2, "beta": 0}, {(1, 0): 13 / 144, (0, 1): 13 / 324, (2, 0): 1 / 36, (1, 3): 1 / 4}),
    ],
)
def test_walk_by_hand(params, expected):
    walk = mm.models.create("rp3beta", **params).fit(FOUR).similarity_
    for pair, value in expected.items():
        assert walk[pair] == pytest.approx(value)
    assert walk[0, 3] == 0
    assert not walk.diagonal().any()


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 8)), min_size=1, max_size=60), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "tfidf", "bm25"])
def test_rows_hold_at_most_k_others_with_similarity_up_to_one(similarity, pairs, k):
    events = mm.data.Interactions(*zip(*pairs, strict=True), n_users=12, n_items=9)
    s = mm.models.create("itemknn", k=k, similarity=similarity, shrinkage=0).fit(events).similarity_
    assert np.diff(s.indptr).max() <= k
    assert not s.diagonal().any()
    assert ((s.data > 0) & (s.data <= 1 + 1e-5)).all()
    full = mm.models.create("itemknn", k=9, similarity=similarity, shrinkage=0).fit(events).similarity_.toarray()
    np.testing.assert_allclose(full, full.T, rtol=1e-5)
    np.testing.assert_allclose(np.sort(s.toarray())[:, ::-1][:, :k], np.sort(full)[:, ::-1][:, :k], rtol=1e-5)


@pytest.mark.parametrize("name", ["itemknn", "userknn", "rp3beta"])
def test_blocks_do_not_change_the_result(name, blocks, monkeypatch):
    whole = mm.models.create(name, k=5).fit(blocks).similarity_
    monkeypatch.setattr(mm.ranking.blocks, "__defaults__", (4 * 30 * 7,))  # seven rows at a time
    cut = mm.models.create(name, k=5).fit(blocks).similarity_
    np.testing.assert_array_equal(whole.toarray(), cut.toarray())


@pytest.mark.parametrize("name", ["itemknn", "rp3beta"])
def test_item_neighbours(name, blocks):
    model = mm.models.create(name).fit(blocks)
    table = model.neighbours(13, k=4)
    assert list(table.columns) == ["item", "similarity"]
    assert len(table) == 4
    assert (table["item"] // 10 == 1).all()  # the groups' items are 0-9, 10-19, 20-29
    assert 13 not in table["item"].tolist()
    assert table["similarity"].is_monotonic_decreasing
    np.testing.assert_allclose(table["similarity"], model.similarity_.toarray()[13, table["item"]])


def test_user_neighbours(blocks):
    table = mm.models.create("userknn").fit(blocks).neighbours(7, k=5)
    assert list(table.columns) == ["user", "similarity"]
    assert (table["user"] % 3 == 1).all()
    assert 7 not in table["user"].tolist()


def test_neighbours_are_fewer_when_there_are_no_more():
    table = mm.models.create("itemknn", shrinkage=0).fit(FOUR).neighbours(3, k=10)
    assert table["item"].tolist() == [1]
    assert table["similarity"].tolist() == pytest.approx([1 / 3**0.5])


@pytest.mark.parametrize("name", ["itemknn", "userknn", "rp3beta"])
def test_neighbours_errors(name):
    model = mm.models.create(name)
    with pytest.raises(NotFittedError):
        model.neighbours(0)
    model.fit(FOUR)
    for code in (-1, 4):
        with pytest.raises(UnknownUserError if name == "userknn" else UnknownItemError, match="codes 0 to 3"):
            model.neighbours(code)
    with pytest.raises(ParameterError):
        model.neighbours(0, k=0)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("itemknn", {"k": 0}),
        ("itemknn", {"k": 2.5}),
        ("itemknn", {"shrinkage": -1}),
        ("itemknn", {"similarity": "cosinus"}),
        ("itemknn", {"alpha": 1.5}),
        ("userknn", {"shrinkage": float("nan")}),
        ("userknn", {"similarity": None}),
        ("rp3beta", {"alpha": -0.1}),
        ("rp3beta", {"beta": "0"}),
    ],
)
def test_bad_parameters(name, params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        mm.models.create(name, **params)
