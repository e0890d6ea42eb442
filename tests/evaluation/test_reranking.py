"""Re-ranking: the greedy choices by hand and by brute force, what never changes, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrec_testing import Table, events

import mmrec_lib as mm
from mmrec_lib.data import Features, Interactions
from mmrec_lib.errors import DataError, FeatureError, ParameterError, UnknownNameError, UnknownUserError
from mmrec_lib.evaluation import Reranked, diversify, evaluate, frontier, rerank, reranking
from mmrec_lib.evaluation.groups import divergence, list_shares

METHODS = ("mmr", "dpp", "xquad", "calibrated")
fast = settings(max_examples=40, deadline=None)


def problem(seed, n_users=6, n_items=14):
    """Scores with ties and forbidden items, vectors of which some are missing, groups, and a training part."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, (n_users, n_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.05] = -np.inf
    vectors = rng.standard_normal((n_items, 3))
    features = Features({"a": vectors, "b": vectors[:, :2] + 1}, mask={"a": rng.random(n_items) < 0.8})
    groups = rng.random((n_items, 4)) < 0.4
    groups[0, 0] = True
    train = Interactions(*np.nonzero(rng.random(scores.shape) < 0.2), n_users=n_users, n_items=n_items)
    return scores, {"features": features, "groups": groups, "train": train}


def kernel(vectors):
    """Similarities of MMR and DPP, from their definition."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (1 + unit @ unit.T) / 2


def relevance(scores):
    return (scores - scores.min()) / (scores.max() - scores.min())


# -- by hand -------------------------------------------------------------------------------------------------------


def test_mmr_by_hand():
    # relevance 1, 0.8, 0.4, 0; items 0 and 1 are alike (similarity 1), 2 is at right angles (1/2), 3 opposite (0)
    scores = np.array([[5.0, 4, 2, 0]])
    vectors = np.array([[1, 0], [2, 0], [0, 3], [-1, 0]])
    chosen = [rerank(scores, [0], "mmr", 4, 4, t, vectors)[0].tolist() for t in (0.2, 0.5, 0.6)]
    # second place, by (1 - t) * relevance - t * similarity: 1 gets 0.8 - 1.8 t, 2 gets 0.4 - 0.9 t, 3 gets 0
    # t = 0.2: 0.44, 0.22, 0 -> 1.  t = 0.5: -0.1, -0.05, 0 -> 3.  t = 0.6: likewise 3
    # t = 0.2: third place: 2 has 0.32 - 0.1, 3 has 0 -> 2.  t = 0.5: after 3, item 1 has -0.1, item 2 -0.05 -> 2
    assert chosen == [[0, 1, 2, 3], [0, 3, 2, 1], [0, 3, 2, 1]]


def test_xquad_by_hand():
    # history: 2/3 group a, 1/3 group b; relevance 1, 0.9, 0.5, 0
    scores = np.array([[1.0, 0.95, 0.75, 0.5, 0, 0, 0]])
    groups = ["a", "a", "b", "c", "a", "a", "b"]
    train = events([(0, 4), (0, 5), (0, 6)], 1, 7)
    # place 1: item 0. Then a is covered: 1 keeps (1 - t) 0.9, 2 has (1 - t) 0.5 + t / 3: it wins above t = 6 / 11
    below, above = (rerank(scores, [0], "xquad", 4, 4, t, groups=groups, train=train)[0] for t in (0.54, 0.55))
    assert below.tolist() == [0, 1, 2, 3]
    assert above.tolist() == [0, 2, 1, 3]
    # without a history both interests are alike: with t = 0.3, item 2 has 0.35 + 0.1 of b, and 1 has 0.63
    # with t = 0.6, 2 has 0.2 + 0.2, and 1 has 0.36; then 3, of a third group, has 0.2
    new = events([(1, 4)], 2, 7)
    lists = [rerank(scores, [0], "xquad", 4, 4, t, groups=groups, train=new)[0].tolist() for t in (0.3, 0.6)]
    assert lists == [[0, 1, 2, 3], [0, 2, 1, 3]]
    # memberships between 0 and 1 cover a group in part: after item 0, 1 - 0.5 of a is still open
    half = np.array([[0.5, 0], [0.5, 0], [0, 0.5], [0, 0], [1, 0], [1, 0], [0, 1]])
    # t = 0.9: 1 has 0.09 + 0.9 * 2/3 * 0.5 * 0.5 = 0.24; 2 has 0.05 + 0.9 * 1/3 * 0.5 = 0.2
    assert rerank(scores, [0], "xquad", 4, 4, 0.9, groups=half, train=train)[0].tolist() == [0, 1, 2, 3]


def test_calibration_alone_follows_the_history():
    # history: 3/4 a, 1/4 b.  Candidates by score: b b b a a a, then one without a group
    groups = ["b", "b", "b", "a", "a", "a", None, "a", "a", "a", "b"]
    scores = np.array([[10.0, 9, 8, 7, 6, 5, 4, 0, 0, 0, 0]])
    train = events([(0, 7), (0, 8), (0, 9), (0, 10)], 1, 11)
    found = rerank(scores, [0], "calibrated", 7, 7, 1, groups=groups, train=train)[0].tolist()
    # an a (3) is nearer to 3/4 a than a b; then a second one would be 1 : 0 again, a b is 1/2 : 1/2, which misses
    # less; then 2 : 1, then 3 : 1 which is exact, then the item without a group that keeps it so, then 3 : 2, 3 : 3
    assert found == [3, 0, 4, 5, 6, 1, 2]
    assert rerank(scores, [0], "calibrated", 7, 7, 0, groups=groups, train=train)[0].tolist() == [0, 1, 2, 3, 4, 5, 6]


# -- by brute force ------------------------------------------------------------------------------------------------


@fast
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_dpp_is_the_greedy_search_for_the_largest_determinant(seed, trade_off):
    rng = np.random.default_rng(seed)
    scores, vectors = rng.random((3, 9)), rng.standard_normal((9, 6)).astype(np.float32)
    found = rerank(scores, np.arange(3), "dpp", 5, 9, trade_off, vectors)
    similarity = kernel(vectors.astype(float))
    for user in range(3):
        relevant, chosen = relevance(scores[user].astype(np.float32).astype(float)), []
        for _ in range(5):

            def value(i, chosen=chosen, relevant=relevant):
                some = [*chosen, i]
                determinant = np.linalg.det(similarity[np.ix_(some, some)])
                return (1 - trade_off) * relevant[some].sum() + trade_off * np.log(determinant)

            # at a trade-off of 1 all first items are equally good, and the most relevant one is meant
            left = sorted(set(range(9)) - set(chosen), key=lambda i: -scores[user, i])
            chosen.append(left[0] if not chosen else max(left, key=value))
        assert found[user].tolist() == chosen


@fast
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.6, 1.0]))
def test_calibration_is_the_greedy_search_for_the_smallest_divergence(seed, trade_off):
    rng = np.random.default_rng(seed)
    scores, shares = rng.random((1, 8)).astype(np.float32), np.eye(3)[rng.integers(0, 3, 12)]
    train = events([(0, 8), (0, 9), (0, 10), (0, 11)], 1, 12)
    scores = np.c_[scores, np.zeros((1, 4), np.float32)]
    found = rerank(scores, [0], "calibrated", 4, 8, trade_off, groups=shares, train=train)[0]
    relevant, history, chosen = relevance(scores[0, :8].astype(float)), shares[8:].mean(axis=0), []
    for _ in range(4):
        left = sorted(set(range(8)) - set(chosen), key=lambda i: -scores[0, i])
        lists = np.array([[*chosen, i] for i in left])
        value = (1 - trade_off) * relevant[lists].sum(axis=1)
        value -= trade_off * divergence(history, list_shares(lists, shares))
        chosen.append(left[int(np.argmax(value > value.max() - 1e-9))])
    assert found.tolist() == chosen


# -- properties ----------------------------------------------------------------------------------------------------


@fast
@given(st.integers(0, 10_000), st.sampled_from(METHODS), st.integers(1, 14))
def test_without_a_trade_off_the_order_is_the_model_s_own(seed, how, k):
    scores, aids = problem(seed)
    users = np.arange(6)
    masked = mm.ranking.mask_seen(scores.copy(), users, aids["train"].to_csr())
    expected = mm.ranking.top_k(masked, k)[0]
    assert rerank(Table(scores), users, how, k, 14, 0, **aids).tolist() == expected.tolist()


@fast
@given(st.integers(0, 10_000), st.sampled_from(METHODS), st.sampled_from([0.3, 1.0]))
def test_lists_hold_the_best_candidates_once_and_none_that_is_seen(seed, how, trade_off):
    scores, aids = problem(seed)
    users = np.array([4, 0, 4, 2])
    lists = rerank(Table(scores), users, how, 5, 7, trade_off, **aids)
    masked = mm.ranking.mask_seen(scores[users], users, aids["train"].to_csr())
    best = mm.ranking.top_k(masked, 7)[0]
    for mine, allowed in zip(lists, best, strict=True):
        real = mine[mine >= 0]
        assert len(set(real)) == len(real) == min(5, (allowed >= 0).sum())
        assert set(real) <= set(allowed)
        assert (mine[len(real) :] == -1).all()
    assert (lists[0] == lists[2]).all()
    everything = rerank(Table(scores), users, how, 7, 7, trade_off, **aids)
    assert (everything[:, :5] == lists).all()  # a longer list begins as the shorter one does
    assert (np.sort(everything) == np.sort(best)).all()


@pytest.mark.parametrize("how", METHODS)
def test_blocks_arrays_and_scale_do_not_matter(monkeypatch, how):
    scores, aids = problem(5, n_users=20)
    users = np.random.default_rng(1).permutation(20)
    whole = rerank(Table(scores), users, how, 5, 8, 0.4, **aids)
    assert (rerank(scores[users], users, how, 5, 8, 0.4, **aids) == whole).all()
    assert (rerank(Table(scores * 4 - 8), users, how, 5, 8, 0.4, **aids) == whole).all()
    monkeypatch.setattr(reranking, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(mm.ranking, "BLOCK_BYTES", 4 * 14 * 3)
    assert (rerank(Table(scores), users, how, 5, 8, 0.4, **aids) == whole).all()


# -- corners -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["mmr", "dpp"])
def test_an_item_without_a_vector_is_as_similar_as_items_are_on_average(how):
    vectors = np.array([[1.0, 0], [0.8, 0.6], [0, 1], [0, 0]])
    same = np.vstack([vectors, [[0, 0]]])
    scores = np.array([[5.0, 4, 3, 2, 1]])
    # cosines to item 0: 0.8, 0 and (1 + 0.8 + 0) / 3 = 0.6 for both items without a vector
    similar = reranking._Similarity(
        reranking._Knowledge(vectors=reranking._unit_vectors(Features({"a": same}))), np.arange(5)[None]
    ).to(np.array([0]))
    assert similar[0].tolist() == pytest.approx([1, 0.9, 0.5, 0.8, 0.8], abs=1e-6)
    found = rerank(scores, [0], how, 5, 5, 1, same)[0].tolist()
    assert found[:3] == [0, 2, 3]  # 3 is neither as new as 2 nor as known as 1
    nothing = rerank(scores, [0], how, 5, 5, 0.9, np.zeros((5, 2)))[0]
    assert nothing.tolist() == [0, 1, 2, 3, 4]  # all are equally similar


def test_dpp_goes_on_by_relevance_when_the_vectors_are_used_up():
    scores = np.array([[6.0, 5, 4, 3, 2, 1]])
    twins = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]])
    assert rerank(scores, [0], "dpp", 6, 6, 0.9, twins)[0].tolist() == [0, 2, 1, 3, 4, 5]
    # the same with vectors that are not exact in float32: rounding errors must not decide
    rng = np.random.default_rng(0)
    for _ in range(20):
        two = rng.standard_normal((2, 7))
        many = two[[0, 0, 1, 1, 0, 1]] * rng.uniform(0.1, 10, (6, 1))
        assert rerank(scores, [0], "dpp", 6, 6, 0.9, many)[0].tolist() == [0, 2, 1, 3, 4, 5]


@pytest.mark.parametrize("how", METHODS)
def test_few_candidates_equal_scores_and_users_without_a_history(how):
    scores = np.array([[3.0, -np.inf, 2, -np.inf], [1, 1, 1, 1], [-np.inf] * 4])
    train = events([(1, 3)], 3, 4)
    aids = {"features": np.eye(4), "groups": ["a", "b", "a", None], "train": train}
    lists = rerank(scores, [0, 1, 2], how, 4, 10, 0.5, **aids)
    assert lists[0].tolist() == [0, 2, -1, -1]
    assert lists[1].tolist() == [0, 1, 2, -1]
    assert lists[2].tolist() == [-1] * 4
    assert rerank(scores[:0], [], how, 4, 10, 0.5, **aids).shape == (0, 4)
    assert rerank(scores, [0, 1, 2], how, 6, 10, 0.5, **aids).shape == (3, 6)  # longer than the catalogue


# -- judged --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(blocks):
    split = mm.data.split(blocks, seed=0)
    features = np.random.default_rng(0).standard_normal((30, 8)) + 3 * np.eye(3, 8).repeat(10, 0)
    return mm.models.create("ease").fit(split.train), split, features


def test_a_reranked_model_is_judged_like_any_other(small):
    model, split, features = small
    ranked = Reranked(model, "dpp", k=5, candidates=15, trade_off=0.6, features=features, train=split.train)
    report = evaluate(ranked, split.test, split.train, ks=5, metrics=("ndcg", "ild"), features=features)
    assert report.name == "ease+dpp"
    users = report.per_user.index.to_numpy()
    expected = rerank(model, users, "dpp", 5, 15, 0.6, features, train=split.train)
    assert report.lists.tolist() == expected.tolist()
    plain = evaluate(model, split.test, split.train, ks=5, metrics=("ndcg", "ild"), features=features)
    assert report["ild@5"] > plain["ild@5"]
    scores = ranked.score([3])
    assert scores.shape == (1, 30)
    assert scores.dtype == np.float32
    assert sorted(scores[scores > -np.inf]) == [1, 2, 3, 4, 5]
    unmasked = Reranked(Table(np.tile(np.arange(30.0), (60, 1))), k=3, candidates=3, trade_off=0, features=features)
    assert unmasked.score([0, 1]).argmax(axis=1).tolist() == [29, 29]


@pytest.mark.parametrize("how", METHODS)
def test_each_method_moves_its_own_aim(small, how):
    model, split, features = small
    groups = np.arange(30) // 5
    aims = {"mmr": "ild@5", "dpp": "ild@5", "xquad": "ild_jaccard@5", "calibrated": "miscalibration@5"}
    table = frontier(model, split.test, split.train, how, (0, 0.9), 5, 20, features=features, groups=groups, n_boot=20)
    change = table["mean"].xs(0.9, level="trade_off") - table["mean"].xs(0, level="trade_off")
    gain = change[how, aims[how]] * (-1 if how == "calibrated" else 1)
    assert gain > 0.02


def test_frontier_begins_at_the_model_and_has_intervals(small):
    model, split, features = small
    table = frontier(
        model, split.test, split.train, ["mmr", "dpp"], (0, 0.5), 5, 20, features=features, n_boot=50, seed=3
    )
    assert table.index.names == ["how", "trade_off", "metric"]
    assert table.loc["dpp", 0.5].index.tolist() == ["coverage@5", "ild@5", "ndcg@5"]
    own = evaluate(
        model, split.test, split.train, ks=5, metrics=("ndcg", "ild", "coverage"), features=features, n_boot=50, seed=3
    )
    for how in ("mmr", "dpp"):
        pd.testing.assert_frame_equal(table.loc[how, 0], own.summary.sort_index())
    diversity = table["mean"].xs("ild@5", level="metric")
    assert (diversity.xs(0.5, level="trade_off") > diversity.xs(0, level="trade_off")).all()
    ndcg = table.xs("ndcg@5", level="metric")
    assert ((ndcg["ci_low"] <= ndcg["mean"]) & (ndcg["mean"] <= ndcg["ci_high"])).all()
    assert table.attrs["reports"]["mmr", 0.5].name == "mmr, trade-off 0.5"
    some = frontier(model, split.test, split.train, "mmr", [0.5], 5, 20, features, users=[5, 2, 9], n_boot=2)
    report = some.attrs["reports"]["mmr", 0.5]
    whole = table.attrs["reports"]["mmr", 0.5]
    pd.testing.assert_series_equal(report.per_user["ild@5"], whole.per_user.loc[report.per_user.index, "ild@5"])


@pytest.mark.parametrize("how", METHODS)
def test_excluded_pairs_leave_the_lists_and_not_the_histories(small, how):
    model, split, features = small
    aids = {"features": features, "groups": np.arange(30) // 5, "train": split.train}
    users, options = np.unique(split.test.user), {"how": how, "k": 5, "candidates": 12, "trade_off": 0.4}
    lists = rerank(model, users, exclude=split.valid, **options, **aids)
    scores = model.score(users)
    scores[split.valid.to_csr()[users].toarray() > 0] = -np.inf
    np.testing.assert_array_equal(lists, rerank(scores, users, **options, **aids))
    judged = evaluate(
        Reranked(model, exclude=split.valid, **options, **aids), split.test, split.train, ks=5, exclude=split.valid
    )
    np.testing.assert_array_equal(judged.lists, lists)
    table = frontier(model, split.test, how=how, trade_offs=[0.4], k=5, candidates=12, exclude=split.valid, **aids)
    np.testing.assert_array_equal(table.attrs["reports"][how, 0.4].lists, lists)


def test_frontier_asks_the_model_once(small):
    model, split, features = small
    asked = []

    class Watched:
        def score(self, users):
            asked.append(len(users))
            return model.score(users)

    frontier(Watched(), split.test, split.train, ["mmr", "dpp"], (0, 0.3, 0.6), 5, 20, features=features, n_boot=2)
    assert asked == [len(np.unique(split.test.user))]


# -- refusals ------------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown method": ({"how": "mrm"}, UnknownNameError, "Did you mean 'mmr'"),
    "k": ({"k": 0}, ParameterError, "k=0"),
    "candidates": ({"candidates": 1}, ParameterError, "k=2 cannot be chosen from fewer"),
    "candidates not whole": ({"candidates": 2.5}, ParameterError, "candidates=2.5"),
    "trade-off": ({"trade_off": 1.1}, ParameterError, "trade_off=1.1"),
    "no vectors": ({"features": None}, ParameterError, "mmr needs item vectors"),
    "vectors of others": ({"features": np.eye(3)}, FeatureError, "3 rows"),
    "no groups": ({"how": "xquad", "train": events([(0, 1)], 3, 4)}, ParameterError, "xquad needs groups"),
    "no history": ({"how": "calibrated", "groups": list("aabb")}, ParameterError, "train=split"),
    "unknown user": ({"users": [7, 0], "train": events([(0, 1)], 3, 4)}, UnknownUserError, "user 7"),
    "users": ({"users": [0.5, 1]}, ParameterError, "integer codes"),
    "rows": ({"model": np.zeros((3, 4))}, DataError, "2 rows"),
    "no model": ({"model": "ease"}, DataError, "neither an object"),
    "nan": ({"model": np.array([[0, 1, 2, np.nan]] * 2)}, DataError, "NaN"),
    "excluded items": ({"exclude": events([(0, 1)], 2, 9)}, DataError, "exclude counts 9 items"),
    "infinity": ({"model": np.array([[0, 1, 2, np.inf]] * 2)}, DataError, "infinity"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    change, error, message = REFUSED[case]
    arguments = {"model": np.zeros((2, 4)), "users": [0, 1], "k": 2, "candidates": 3, "features": np.eye(4)} | change
    with pytest.raises(error, match=message):
        rerank(**arguments)


def test_reranked_and_frontier_refuse_before_anything_is_scored(small):
    _, split, features = small
    with pytest.raises(ParameterError, match="object with score"):
        Reranked(np.zeros((2, 2)))
    with pytest.raises(ParameterError, match="trade_off=2"):
        Reranked(Table([[0]]), trade_off=2)

    class Never:
        def score(self, users):
            raise AssertionError

    wrong = {
        "nothing to compute": {"trade_offs": ()},
        "trade_off=-1": {"trade_offs": (0, -1)},
        "xquad needs groups": {"how": ["mmr", "xquad"]},
        "unknown ranking metric": {"metrics": "ncdg"},
        "nothing to evaluate": {"users": []},
    }
    for message, change in wrong.items():
        with pytest.raises((ParameterError, UnknownNameError, DataError), match=message):
            frontier(Never(), split.test, split.train, k=5, features=features, **change)


def test_one_list_from_given_candidates_is_that_of_reranking():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.normal(size=30).astype(np.float32)
    for how in ("mmr", "dpp"):
        whole = rerank(scores[None], [0], how, k=6, candidates=30, trade_off=0.6, features=vectors)[0]
        np.testing.assert_array_equal(diversify(scores, vectors, 6, how, 0.6), whole)
    np.testing.assert_array_equal(diversify(scores, vectors, 30, trade_off=0), np.argsort(-scores, kind="stable"))
    assert len(diversify(scores[:2], vectors[:2], 5)) == 2
    with pytest.raises(DataError, match=r"scores \(30,\) and vectors \(29, 5\)"):
        diversify(scores, vectors[:29], 3)
    with pytest.raises(ParameterError, match="xquad"):
        diversify(scores, vectors, 3, "xquad")
