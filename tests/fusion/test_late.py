"""Late fusion: every function worked out by hand, what must not matter, and what learning must achieve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import mmrec_lib as mm
from mmrec_lib.errors import DataError, NotFittedError, ParameterError, UnknownNameError
from mmrec_lib.fusion import late, learners
from mmrec_lib.training.validation import Validator

# two users, four items
A = np.array([[4, 3, 2, 1], [1, 1, 3, 5]], np.float32)
B = np.array([[0, 0, 10, 10], [2, 4, 6, 8]], np.float32)
NEVER = np.array([[0, -np.inf, 0, 0], [0, 0, 0, 0]], np.float32)
SEEN = np.array([[True, False, False, False], [False] * 4])
FUSIONS = {
    "zscore": late.weighted_sum,
    "minmax": lambda parts: late.weighted_sum(parts, calibration="minmax"),
    "rank": lambda parts: late.weighted_sum(parts, calibration="rank"),
    "softmax": lambda parts: late.weighted_sum(parts, calibration="softmax"),
    "borda": late.borda,
    "votes": lambda parts: late.votes(parts, k=2),
    "rrf": late.reciprocal_rank,
}


class Table:
    """A recommender whose scores are given."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, np.float32)

    def score(self, users):
        return self.scores[users]


def order(scores):
    """Which of each two items is better: -1, 0 or 1."""
    difference = scores[:, :, None].astype(float) - scores[:, None, :]
    return np.sign(np.where(np.abs(difference) > 1e-6, difference, 0))


# -- calibration ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("zscore", [np.array([1.5, 0.5, -0.5, -1.5]) / 1.25**0.5, np.array([-1.5, -1.5, 0.5, 2.5]) / 2.75**0.5]),
        ("minmax", [[1, 2 / 3, 1 / 3, 0], [0, 0, 0.5, 1]]),
        ("rank", [[1, 2 / 3, 1 / 3, 0], [1 / 6, 1 / 6, 2 / 3, 1]]),
        ("none", A),
    ],
)
def test_calibrate_by_hand(how, expected):
    np.testing.assert_allclose(late.calibrate(A, how), expected, rtol=1e-6)
    assert late.calibrate(A, how).dtype == np.float32


def test_softmax_by_hand():
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.25] * 4])
    np.testing.assert_allclose(late.calibrate(np.log(shares) + 500, "softmax"), shares, rtol=1e-4)


def test_seen_items_do_not_count():
    # of 3, 2 and 1 the mean is 2, the variance 2/3; the seen 4 is put on the same scale
    expected = np.array([2, 1, 0, -1]) / (2 / 3) ** 0.5
    np.testing.assert_allclose(late.calibrate(A, "zscore", SEEN)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(late.calibrate(A, "minmax", SEEN)[0], [1.5, 1, 0.5, 0])
    np.testing.assert_allclose(late.calibrate(A, "rank", SEEN)[0], [1, 1, 0.5, 0])
    parts = np.exp([0, -1, -2])
    np.testing.assert_allclose(late.calibrate(A, "softmax", SEEN)[0, 1:], parts / parts.sum(), rtol=1e-6)
    # a seen item lies between its neighbours, whose ranks do not know it
    middle = np.array([[False, True, False, False]])
    np.testing.assert_allclose(late.calibrate(A[:1], "rank", middle), [[1, 0.75, 0.5, 0]])


@pytest.mark.parametrize("how", late.CALIBRATIONS)
def test_never_recommended_stays_so_and_does_not_count(how):
    scores = np.array([[4, -np.inf, 2, 1]], np.float32)
    result = late.calibrate(scores, how)
    assert np.isneginf(result[0, 1])
    np.testing.assert_allclose(result[:, [0, 2, 3]], late.calibrate(scores[:, [0, 2, 3]], how), rtol=1e-6)
    assert np.isneginf(late.calibrate(np.full((1, 2), -np.inf), how)).all()


@pytest.mark.parametrize("how", late.CALIBRATIONS)
@pytest.mark.parametrize("value", [0.1, -1e6, 0])
def test_equal_scores_stay_equal(how, value):
    result = late.calibrate(np.full((1, 7), value, np.float32), how)
    assert np.isfinite(result).all()
    assert np.unique(result).size == 1
    everything_seen = late.calibrate(A, how, np.ones(A.shape, bool))
    assert np.isfinite(everything_seen).all()


@given(hnp.arrays(np.float32, (3, 6), elements=st.integers(-5, 5).map(float)), hnp.arrays(bool, (3, 6)))
@settings(max_examples=60, deadline=None)
def test_calibration_keeps_the_order_of_what_counts(scores, seen):
    for how in ("zscore", "minmax", "rank", "softmax"):
        result = late.calibrate(scores, how, seen)
        for row in range(3):
            mine = ~seen[row]
            np.testing.assert_array_equal(order(result[[row]][:, mine]), order(scores[[row]][:, mine]))
    ranks = late.calibrate(scores, "rank")
    np.testing.assert_allclose(ranks.mean(axis=1), 0.5, rtol=1e-6)


# -- fusion by hand ------------------------------------------------------------------------------------------------
def test_weighted_sum_by_hand():
    expected = [[2, 4 / 3, 2 / 3 + 3, 3], [0, 1, 1 + 2, 2 + 3]]
    np.testing.assert_allclose(late.weighted_sum([A, B], [2, 3], "minmax"), expected, rtol=1e-6)
    expected = [np.array([1.5, 0.5, -0.5, -1.5]) / 1.25**0.5 + [-1, -1, 1, 1]]
    np.testing.assert_allclose(late.weighted_sum([A[:1], B[:1]]), expected, rtol=1e-6)


def test_borda_by_hand():
    # points 3 2 1 0 and 0.5 0.5 2.5 2.5; then 0.5 0.5 2 3 and 0 1 2 3
    np.testing.assert_allclose(late.borda([A, B]), [[3.5, 2.5, 3.5, 2.5], [0.5, 1.5, 4, 6]])
    np.testing.assert_allclose(late.borda([A, B], [1, 2]), [[4, 3, 6, 5], [0.5, 2.5, 6, 9]])


def test_votes_by_hand():
    # the best: item 0, and both of the equal items 2 and 3; then item 3 twice. Half the mean rank breaks the ties.
    ranks = np.array([[7 / 12, 5 / 12, 7 / 12, 5 / 12], [1 / 12, 1 / 4, 2 / 3, 1]])
    np.testing.assert_allclose(late.votes([A, B], k=1), [[1, 0, 1, 1], [0, 0, 0, 2]] + ranks / 2, rtol=1e-6)
    np.testing.assert_allclose(late.votes([A, B], k=9), 2 + ranks / 2, rtol=1e-6)
    np.testing.assert_array_equal(np.floor(late.votes([A, B], 1, [3, 1])), [[3, 0, 1, 1], [0, 0, 0, 4]])


def test_reciprocal_rank_by_hand():
    expected = [
        [1 / 2 + 1 / 4.5, 1 / 3 + 1 / 4.5, 1 / 4 + 1 / 2.5, 1 / 5 + 1 / 2.5],
        [1 / 4.5 + 1 / 5, 1 / 4.5 + 1 / 4, 1 / 3 + 1 / 3, 1 / 2 + 1 / 2],
    ]
    np.testing.assert_allclose(late.reciprocal_rank([A, B], k=1), expected, rtol=1e-6)
    assert late.reciprocal_rank([A])[0, 0] == pytest.approx(1 / 61)


@pytest.mark.parametrize("how", FUSIONS)
def test_what_one_part_excludes_is_excluded(how):
    fused = FUSIONS[how]([A, NEVER])
    assert np.isneginf(fused[0, 1])
    assert np.isfinite(np.delete(fused, 1)).all()
    rest = [0, 2, 3]
    np.testing.assert_allclose(fused[0, rest], FUSIONS[how]([A[:1, rest], NEVER[:1, rest]])[0], rtol=1e-5, atol=1e-7)


# -- what must not matter ------------------------------------------------------------------------------------------
parts_of_four = hnp.arrays(np.float32, (3, 2, 4), elements=st.integers(-5, 5).map(float))


@given(parts_of_four, st.permutations(range(3)))
@settings(max_examples=30, deadline=None)
def test_order_of_the_parts_does_not_matter(parts, permutation):
    for fuse in FUSIONS.values():
        np.testing.assert_allclose(fuse(parts[permutation]), fuse(parts), rtol=1e-5, atol=1e-6)


@given(parts_of_four, st.floats(-10, 10, width=32))
@settings(max_examples=30, deadline=None)
def test_a_constant_part_changes_no_order(parts, value):
    for fuse in FUSIONS.values():
        more = fuse([*parts, np.full((2, 4), value, np.float32)])
        np.testing.assert_array_equal(order(more), order(fuse(parts)))


@given(parts_of_four)
@settings(max_examples=30, deadline=None)
def test_methods_of_ranks_see_the_order_only(parts):
    stretched = [parts[0] ** 3 + 2 * parts[0], np.exp(parts[1]), 7 * parts[2] - 3]
    for how in ("rank", "borda", "votes", "rrf"):
        np.testing.assert_allclose(FUSIONS[how](stretched), FUSIONS[how](parts), rtol=1e-6)


def test_bad_input():
    for wrong in ([], [A, B[:, :3]], [A[0]], [A, B * np.nan], [A, np.full((2, 4), np.inf)]):
        with pytest.raises((ParameterError, DataError), match="scores"):
            late.borda(wrong)
    with pytest.raises(DataError, match="seen_mask"):
        late.calibrate(A, "rank", SEEN[:, :2])
    with pytest.raises(ParameterError, match="choose one of zscore"):
        late.weighted_sum([A, B], calibration="loud")
    for weights in ([1], [1, np.nan], [0, 0]):
        with pytest.raises(ParameterError, match="weights"):
            late.weighted_sum([A, B], weights)
    with pytest.raises(ParameterError, match="above 0"):
        late.votes([A, B], 1, [1, 0])
    for function in (late.votes, late.reciprocal_rank):
        with pytest.raises(ParameterError, match="k=-1"):
            function([A, B], k=-1)


# -- combinations --------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def halves():
    """What 80 users like of 40 items, in three parts, and two recommenders that know one half of the items each."""
    rng = np.random.default_rng(0)
    liked = rng.random((80, 40)) < 0.4
    part = rng.integers(0, 3, liked.shape)
    events = [mm.data.Interactions(*np.nonzero(liked & (part == p)), n_users=80, n_items=40) for p in range(3)]
    known, noise = np.arange(40) < 20, rng.normal(size=(2, 80, 40))
    left = np.where(known, liked + 0.3 * noise[0], noise[0])
    right = np.where(known, noise[1], liked + 0.3 * noise[1])
    return *events, {"left": Table(left), "right": Table(5 * right + 100)}


def on(interactions, train, model):
    return Validator(train.to_csr(), interactions, "ndcg@20")(model.score)


@pytest.mark.parametrize("calibration", ["zscore", "rank", "minmax"])
def test_learned_weights_are_at_least_as_good_as_the_best_part(halves, calibration):
    train, valid, test, parts = halves
    fused = late.WeightedSum(parts, calibration=calibration).fit(train, valid)
    equal = late.WeightedSum(parts, [1, 1], calibration).fit(train)
    singles = [late.WeightedSum(parts, w, calibration).fit(train) for w in ([1, 0], [0, 1])]
    best = max(on(valid, train, other) for other in [equal, *singles, *parts.values()])
    assert on(valid, train, fused) >= best - 1e-9
    assert on(test, train, fused) > max(on(test, train, part) for part in parts.values())
    assert fused.weights_.sum() == pytest.approx(1)


def test_a_useless_part_gets_no_weight(halves):
    train, valid, _, parts = halves
    noise = Table(np.random.default_rng(1).normal(size=(80, 40)))
    oracle = Table(parts["left"].scores * (np.arange(40) < 20) + parts["right"].scores / 5 * (np.arange(40) >= 20))
    assert late.WeightedSum({"noise": noise, "oracle": oracle}).fit(train, valid).weights_[1] > 0.8


def test_seed_decides_which_weights_are_tried(halves):
    train, valid, _, parts = halves
    learned = [late.WeightedSum(parts, seed=seed, users=30).fit(train, valid).weights_ for seed in (0, 0, 1)]
    np.testing.assert_array_equal(learned[0], learned[1])
    assert (learned[0] != learned[2]).any()


def test_weights_by_name():
    train = mm.data.Interactions([0], [0], n_users=2, n_items=4)
    fused = late.WeightedSum({"a": Table(A), "b": Table(B)}, {"b": 3, "a": 2}, "minmax").fit(train)
    # item 0 of user 0 is seen: of 3, 2, 1 and of 0, 10, 10
    np.testing.assert_allclose(fused.score([0, 1]), [[3, 2, 1 + 3, 3], [0, 1, 3, 5]], rtol=1e-6)
    with pytest.raises(ParameterError, match="weights name"):
        late.WeightedSum({"a": Table(A), "b": Table(B)}, {"a": 2})


def test_seen_items_leave_the_ranks_of_the_others_alone():
    train = mm.data.Interactions([0], [0], n_users=2, n_items=4)
    parts = {"a": Table(A), "b": Table(B)}
    pairs = {late.Borda: late.borda, late.Votes: late.votes, late.ReciprocalRank: late.reciprocal_rank}
    for cls, function in pairs.items():
        fused = cls(parts).fit(train).score([1, 0])
        np.testing.assert_allclose(fused[1, 1:], function([A[:1, 1:], B[:1, 1:]])[0], rtol=1e-6)
        np.testing.assert_allclose(fused[0], function([A, B])[1], rtol=1e-6)


@pytest.mark.parametrize("learner", ["logistic", "boosting", "forest"])
def test_stacking_puts_two_halves_together(halves, learner):
    train, valid, test, parts = halves
    stacked = late.Stacking(parts, learner, candidates=20).fit(train, valid)
    singles = [on(test, train, part) for part in parts.values()]
    assert on(test, train, stacked) > max(singles) + 0.05
    again = late.Stacking(parts, learner, candidates=20).fit(train, valid)
    np.testing.assert_array_equal(again.score(np.arange(80)), stacked.score(np.arange(80)))
    other = late.Stacking(parts, learner, candidates=20).use(parts, train.to_csr())
    other.restore(stacked.state())
    np.testing.assert_array_equal(other.score([3, 1]), stacked.score([3, 1]))


def test_stacking_moves_candidates_only(halves):
    train, valid, _, parts = halves
    stacked = late.Stacking(parts, candidates=3).fit(train, valid)
    plain = late.WeightedSum(parts, [1, 1]).fit(train).score(np.arange(80))
    seen = train.to_csr().toarray() > 0
    best = [np.argsort(-np.where(seen, -np.inf, part.scores), axis=1)[:, :3] for part in parts.values()]
    for user, scores in enumerate(stacked.score(np.arange(80))):
        candidates = np.unique(np.concatenate([b[user] for b in best]))
        rest = np.setdiff1d(np.arange(40), candidates)
        assert scores[candidates].min() > scores[rest].max()
        np.testing.assert_array_equal(np.argsort(scores[rest]), np.argsort(plain[user, rest]))


def test_stacking_without_anything_to_learn_is_the_sum(halves):
    train, _, _, parts = halves
    for valid in (None, train):  # what is seen is no candidate
        stacked = late.Stacking(parts).fit(train, valid)
        plain = late.WeightedSum(parts, [1, 1]).fit(train)
        np.testing.assert_allclose(stacked.score([4, 5]), plain.score([4, 5]), rtol=1e-6)


@pytest.mark.parametrize("learner", ["boosting", "forest"])
@pytest.mark.parametrize("options", [{}, {"max_depth": 1, "n_estimators": 3}, {"max_depth": 20, "min_samples_leaf": 1}])
def test_trees_as_arrays_are_those_of_scikit_learn(learner, options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32).round(1)  # rounded, so that values fall on thresholds
    y = x[:, 0] * x[:, 1] + rng.normal(size=400) > 0
    options = {"random_state": 0, "n_estimators": 20, **options}
    trees, bias = learners.fit_trees(learner, x, y, options)
    if learner == "forest":
        model = RandomForestClassifier(**{"max_depth": 8, "min_samples_leaf": 20, **options}).fit(x, y)
        expected = model.predict_proba(x)[:, 1]
    else:
        expected = GradientBoostingClassifier(subsample=1 / 3, **options).fit(x, y).decision_function(x)
    np.testing.assert_allclose(late.tree_scores(x, trees) + bias, expected, rtol=1e-9, atol=1e-12)
    assert len({a.shape for a in trees.values()}) == 1
    assert np.ptp(expected) > 0


def test_tree_by_hand():
    # x0 <= 1 gives 10; else x1 <= 0 gives 20, else 30. The second tree is a leaf only.
    leaf = [0, 1, 2, 3, 4]
    trees = {
        "feature": np.array([[0, 0, 1, 0, 0], [0] * 5]),
        "threshold": np.array([[1.0, 0, 0, 0, 0], [0.0] * 5]),
        "left": np.array([[1, 1, 3, 3, 4], leaf]),
        "right": np.array([[2, 1, 4, 3, 4], leaf]),
        "value": np.array([[0.0, 10, 0, 20, 30], [1.0, 0, 0, 0, 0]]),
    }
    np.testing.assert_array_equal(late.tree_scores(np.array([[1, 5], [2, 0], [2, 1]]), trees), [11, 21, 31])


def test_logistic_on_the_features_as_they_are():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) * [1, 50, 0] + [0, 1000, 7]
    y = x[:, 0] + x[:, 1] / 50 > 20
    coef, bias = learners.fit_logistic(x, y, {})
    scaled = StandardScaler().fit_transform(x)
    model = LogisticRegression(max_iter=1000).fit(scaled, y)
    np.testing.assert_allclose(x @ coef + bias, model.decision_function(scaled), rtol=1e-6)


@pytest.mark.parametrize("learner", ["logistic", "boosting", "forest"])
def test_options_that_a_learner_does_not_have(halves, learner):
    train, valid, _, parts = halves
    with pytest.raises(ParameterError, match=r"learner_options: .*loudness"):
        late.Stacking(parts, learner, learner_options={"loudness": 1}).fit(train, valid)


def test_switch_by_user_and_by_item():
    train = mm.data.Interactions([0, 0, 1], [0, 1, 1], n_users=3, n_items=4)  # users 2, 1, 0; items 1, 2, 0, 0
    tables = [np.full((3, 4), value) + np.arange(4) for value in (10, 20, 30)]
    parts = {str(number): Table(table) for number, table in enumerate(tables)}
    switch = late.Switch(parts, [2, 1]).fit(train)
    np.testing.assert_array_equal(switch.score([2, 0, 1])[:, 0], [30, 10, 20])
    two = {"known": Table([[8, 7, 6, 5]] * 3), "new": Table([[0, 0, 0, 1]] * 3)}
    by_item = late.Switch(two, 1, by="item", calibration="rank").fit(train).score([2])
    np.testing.assert_allclose(by_item, [[1, 2 / 3, 1 / 3, 1]])  # items 2 and 3 were met by nobody
    for threshold in (2, [1, 2], [2, 0], [2, 2]):
        with pytest.raises(ParameterError, match="threshold"):
            late.Switch(parts, threshold)
    with pytest.raises(ParameterError, match="by="):
        late.Switch(two, 1, by="colour")


def test_switch_asks_only_who_is_needed():
    train = mm.data.Interactions([0], [0], n_users=2, n_items=4)
    np.testing.assert_array_equal(late.Switch({"a": Table(A), "b": None}, 1).fit(train).score([0]), A[:1])


def test_cascade_by_hand():
    train = mm.data.Interactions([0], [0], n_users=2, n_items=4)
    cascade = late.Cascade({"first": Table(A), "second": Table(B)}, k=2).fit(train)
    # user 0: candidates 1 and 2, the second prefers 2; then 0 (seen) and 3. User 1: 3 and 2, then 0 before 1 by code.
    np.testing.assert_allclose(cascade.score([0, 1]), np.array([[1, 2, 3, 0], [1, 0, 2, 3]]) / 3, rtol=1e-6)


@given(hnp.arrays(np.float32, (2, 5, 8), elements=st.integers(-3, 3).map(float)), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_cascade_has_the_candidates_of_the_first(parts, k):
    train = mm.data.Interactions(np.arange(5), np.arange(5), n_users=5, n_items=8)
    cascade = late.Cascade({"first": Table(parts[0]), "second": Table(parts[1])}, k).fit(train)
    lists = []
    for model in (cascade, Table(parts[0])):
        scores = mm.ranking.mask_seen(model.score(np.arange(5)).copy(), np.arange(5), train.to_csr())
        lists.append(np.sort(mm.ranking.top_k(scores, k)[0], axis=1))
    np.testing.assert_array_equal(*lists)


@pytest.mark.parametrize("how", late.COMBINATIONS)
def test_all_combinations(halves, how):
    train, valid, _, parts = halves
    combination = late.create(how, parts)
    with pytest.raises(NotFittedError, match="fit"):
        combination.score([0])
    assert combination.fit(train, valid) is combination
    scores = combination.score([7, 2, 7])
    assert scores.dtype == np.float32
    assert scores.shape == (3, 40)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores[0], scores[2])
    np.testing.assert_array_equal(scores[1], combination.score([2])[0])
    assert combination.score([]).shape == (0, 40)
    assert all(isinstance(v, (np.ndarray, float, int, type(None))) for v in combination.state().values())
    with pytest.raises(ParameterError, match="parts"):
        late.create(how, {})
    with pytest.raises(ParameterError, match="parts"):
        combination.use({"other": parts["left"]}, train.to_csr())
    with pytest.raises(ParameterError, match="no option 'loudness'"):
        late.create(how, parts, loudness=1)


@pytest.mark.parametrize("how", late.COMBINATIONS)
def test_what_a_part_never_recommends_is_never_recommended(halves, how):
    train, valid, _, parts = halves
    picky = np.array(parts["left"].scores)
    picky[:, 5] = -np.inf
    combination = late.create(how, {"picky": Table(picky), "right": parts["right"]})
    if how != "switch":  # where only one part speaks
        assert np.isneginf(combination.fit(train, valid).score(np.arange(80))[:, 5]).all()


def test_bad_options():
    parts = {"a": Table(A), "b": Table(B)}
    with pytest.raises(UnknownNameError, match="borda"):
        late.create("borsa", parts)
    for how, options in (
        ("weighted", {"trials": 0}), ("weighted", {"calibration": "loud"}), ("votes", {"k": 0}), ("rrf", {"k": -1}),
        ("stacking", {"learner": "oracle"}), ("stacking", {"candidates": 0}), ("cascade", {"k": 0}),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=next(iter(options))):
            late.create(how, parts, **options)
    with pytest.raises(ParameterError, match="a cascade has two"):
        late.Cascade({"a": Table(A)})
