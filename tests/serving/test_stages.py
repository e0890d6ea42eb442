"""Recommending in stages: who is a candidate, what the ranker may learn from, what the rules cost."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mmrec_lib as mm
from mmrec_lib.errors import (
    DataError,
    ModelFileError,
    NotFittedError,
    ParameterError,
    UnknownItemError,
    UnknownNameError,
    UnknownUserError,
)
from mmrec_lib.serving import (
    Candidates,
    NetworkRanker,
    PairTable,
    Retriever,
    Ruled,
    Rules,
    TreeRanker,
    TwoStage,
    candidate_recall,
)
from mmrec_lib.serving.stages.retrieval import merge

SOURCES = {"als": {"quota": 8, "params": {"dim": 8}}, "ease": {"quota": 8}, "popular": {"quota": 6}}
TREES = {"trees": 20, "min_rows": 5, "leaves": 7}


@pytest.fixture(scope="module")
def world():
    """150 people, 60 things of three kinds with vectors; things 58 and 59 are new; person 149 has no history."""
    rng = np.random.default_rng(0)
    kinds = np.arange(60) % 3
    fame = np.where(np.arange(60) < 58, rng.gamma(1.0, 1.0, 60) + 0.2, 0)
    pairs = []
    for user in range(149):
        weight = fame * np.where(kinds == user % 3, 6.0, 1.0)
        pairs += [(user, i) for i in rng.choice(60, 14, replace=False, p=weight / weight.sum())]
    user, item = np.array(pairs).T
    value = np.clip(3 + 1.0 * (kinds[item] == user % 3) + rng.normal(0, 0.7, len(user)), 1, 5)
    events = mm.data.Interactions(user, item, value, rng.integers(0, 10**7, len(user)), 150, 60)
    look = np.eye(3)[kinds] + rng.normal(0, 0.2, (60, 3))
    words = np.eye(3)[kinds] + rng.normal(0, 0.4, (60, 3))
    mask = {"image": np.arange(60) != 5, "text": np.arange(60) % 4 != 1}
    features = mm.data.Features({"image": look, "text": words}, mask)
    return mm.data.split(events, "random", seed=0), features, [f"kind {k}" for k in kinds]


@pytest.fixture(scope="module")
def fitted(world):
    split, features, groups = world
    sources = SOURCES | {"content": {"quota": 8}, "new": {"quota": 2}}
    return TwoStage(sources, groups=groups, ranker_params=TREES).fit(split.train, features=features)


# -- candidates ----------------------------------------------------------------------------------------------------
def test_merging_by_hand():
    """The first mention counts, the second only adds a proposer; -1 is nobody."""
    lists = {"a": np.array([[3, 1], [0, -1]]), "b": np.array([[1, 2], [4, 3]])}
    pool = merge(np.array([7, 8]), lists, 5)
    assert pool.items.tolist() == [[3, 1, 2], [0, 4, 3]]
    assert pool.proposed["a"].tolist() == [[True, True, False], [True, False, False]]
    assert pool.proposed["b"].tolist() == [[False, True, True], [False, True, True]]
    assert pool.to_frame()["user"].tolist() == [7, 7, 7, 8, 8, 8]
    assert "3.0 items each" in repr(pool)


def test_quotas_and_seen_by_hand():
    """Item 0 was met by three, 1 by two, 2 and 3 by one, 4 by nobody."""
    train = mm.data.Interactions([0, 1, 2, 0, 1, 3, 2], [0, 0, 0, 1, 1, 2, 3], n_users=5, n_items=5)
    retriever = Retriever({"popular": {"quota": 2}, "new": {"quota": 3}}).fit(train)
    assert retriever.candidates(np.arange(5)).items.tolist() == [[2, 3, 4], [2, 3, 4], [1, 2, 4], [0, 1, 4], [0, 1, 4]]
    assert retriever.candidates([0], seen=None).items.tolist() == [[0, 1, 4]]
    assert retriever.candidates([0], quotas={"popular": 1, "new": 0}).items.tolist() == [[2]]
    allowed = np.array([True, True, False, True, False])
    assert retriever.candidates([0, 3], allowed).items.tolist() == [[3, -1], [0, 1]]
    earlier = mm.data.Interactions([0], [3], n_users=5, n_items=5)
    assert retriever.candidates([0], seen=earlier).items.tolist() == [[0, 1, 4]]


def test_neighbours_by_content_by_hand():
    """The history points to the right, so does item 2; item 3 looks up; item 4 has no picture."""
    train = mm.data.Interactions([0, 0, 1], [0, 1, 3], n_users=3, n_items=5)
    looks = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1], [9, 9]])
    features = mm.data.Features({"image": looks}, {"image": np.arange(5) < 4})
    retriever = Retriever({"content": {"quota": 4}}).fit(train, features)
    pool = retriever.candidates([0, 1, 2])
    assert pool.items.tolist() == [[2, 3, -1], [2, 0, 1], [-1, -1, -1]]  # who met nothing resembles nothing
    scores = retriever.scores(pool)["content"]
    np.testing.assert_allclose(scores[0], [0.8, 0.0, np.nan], atol=1e-6)
    np.testing.assert_allclose(scores[1], [0.6, 0.0, 0.0], atol=1e-6)
    assert np.isnan(scores[2]).all()
    new = Retriever({"new": {"quota": 2}}).fit(train, features).candidates([0, 1])
    assert new.items.tolist() == [[2, 4], [2, 4]]  # those without a picture come last


@pytest.mark.parametrize("index", ["exact", "flat", "ivf", "hnsw"])
def test_a_model_proposes_its_own_list_whatever_the_index(world, index):
    split, *_ = world
    source = {"als": {"quota": 10, "params": {"dim": 8}, "index": index}}
    if index == "ivf":
        source["als"]["index_params"] = {"breadth": 100}
    retriever = Retriever(source).fit(split.train)
    users = np.arange(149)
    expected = retriever.sources["als"].model.recommend(users, 10)["item"].to_numpy().reshape(149, 10)
    found = retriever.candidates(users).items
    assert mm.serving.index.recall(found, expected) > 0.99
    pool = retriever.candidates([3])
    model = retriever.sources["als"].model.score([3])[0]
    np.testing.assert_allclose(retriever.scores(pool)["als"][0], model[pool.items[0]], atol=1e-5)


def test_a_pool_holds_what_it_may(world, fitted):
    split, *_ = world
    users = np.arange(150)
    allowed = np.arange(60) % 2 == 0
    pool = fitted.candidates(users, allowed)
    table = pool.to_frame()
    assert allowed[table["item"]].all()
    assert not split.train.to_csr()[table["user"], table["item"]].any()
    assert not table.duplicated(["user", "item"]).any()
    quotas = {"als": 8, "ease": 8, "popular": 6, "content": 8, "new": 2}
    for name, quota in quotas.items():
        assert table.groupby("user")[name].sum().max() <= quota
    assert table[list(quotas)].any(axis=1).all()
    one = fitted.candidates(users[40:41], allowed)
    width = (one.items[0] >= 0).sum()
    assert set(one.items[0][:width]) == set(pool.items[40][pool.items[40] >= 0])  # others do not matter


def test_recall_of_candidates_by_hand():
    mine = {"a": [[1, 1], [0, 0], [1, 0]], "b": [[0, 1], [1, 1], [0, 0]]}
    mine = {name: np.array(flags, bool) for name, flags in mine.items()}
    pool = Candidates(np.array([0, 1, 2]), np.array([[1, 2], [0, 3], [4, -1]]), mine)
    test = mm.data.Interactions([0, 0, 1, 1, 1], [1, 2, 3, 1, 0], n_users=3, n_items=5)
    table = candidate_recall(pool, test)
    np.testing.assert_allclose(table["mean"], [1 / 2, (1 / 2 + 2 / 3) / 2, (1 + 2 / 3) / 2])
    np.testing.assert_allclose(table["alone"], [1 / 4, 1 / 3, 5 / 6])
    np.testing.assert_allclose(table["size"], [1, 1, 5 / 3])
    seen = mm.data.Interactions([1, 1], [1, 0], n_users=3, n_items=5)
    assert candidate_recall(pool, test, seen).loc["all", "mean"] == 1
    with pytest.raises(DataError, match="nothing to measure"):
        candidate_recall(pool, test.select(test.user > 2))


# -- what the ranker sees ------------------------------------------------------------------------------------------
def test_columns_by_hand():
    """Two days; three clicks of user 0 on two things of kind a; item 2 has no vector and nobody met it."""
    train = mm.data.Interactions([0, 0, 1], [0, 1, 1], [5, 3, 4], [0, 86_400, 172_800], n_users=2, n_items=4)
    features = mm.data.Features({"image": np.array([[1, 0], [0, 1], [0, 0], [0, 2.0]])}, {"image": np.arange(4) != 2})
    pairs = PairTable().fit(train, features, groups=["a", "a", None, "a"])
    retriever = Retriever({"popular": {"quota": 1}, "new": {"quota": 4}}).fit(train)
    pool = Candidates(np.array([0]), np.array([[2, 3, 0]]), {"new": np.array([[True, True, False]])})
    table = pd.DataFrame(pairs.make(pool, retriever), columns=pairs.names)
    assert table["from:new"].tolist() == [1, 1, 0]
    assert table["lacks:image"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(table["like:image"], [np.nan, 0.5, 0.5])
    assert table["category"].tolist() == [0, 1, 1]
    np.testing.assert_allclose(table["age"], [np.nan, np.nan, 2])
    np.testing.assert_allclose(table["popularity"], np.log1p([0, 0, 1 / 0.75]), rtol=1e-6)
    np.testing.assert_allclose(table["activity"], np.log1p(2 / 1.5), rtol=1e-6)
    np.testing.assert_allclose(table["item_mean"], [4, 4, 25 / 6], rtol=1e-6)


def test_scores_are_told_within_the_user(fitted):
    """The pool's mean is 0, its standard deviation 1; the best has rank 0."""
    pool = fitted.candidates([4])
    table = pd.DataFrame(fitted._columns(pool), columns=fitted.columns_)
    score, rank = table["score:ease"], table["rank:ease"]
    assert abs(score.mean()) < 1e-5
    assert score.std(ddof=0) == pytest.approx(1, abs=1e-5)
    assert rank[score.idxmax()] == 0
    assert sorted(np.expm1(rank).round(3)) == list(range(len(table)))


def table_of(n_lists=60, width=20, seed=0):
    """Lists whose clicks follow column 0; column 1 is noise; ratings follow column 2."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_lists * width, 3)).astype(np.float32)
    clicks = rng.random(len(x)) < 1 / (1 + np.exp(3 - 2.5 * x[:, 0]))
    ratings = np.where(clicks, 3 + x[:, 2], np.nan)
    return x, clicks, ratings, np.full(n_lists, width)


@pytest.mark.parametrize("ranker", [TreeRanker(trees=30, min_rows=5), NetworkRanker(epochs=20),
                                    NetworkRanker("mmoe", epochs=20)])  # fmt: skip
def test_a_ranker_finds_the_column_that_matters(ranker):
    ranker.fit(*table_of())
    x, clicks, ratings, _ = table_of(seed=1)
    score = ranker.score(x)
    assert np.corrcoef(score, x[:, 0])[0, 1] > 0.75
    assert abs(np.corrcoef(score, x[:, 1])[0, 1]) < 0.25
    again = copy.deepcopy(ranker).fit(*table_of())
    np.testing.assert_array_equal(again.score(x), score)  # the same seed, the same trees and weights
    loaded = type(ranker)(**({"kind": ranker.kind} if ranker.name == "network" else {})).restore(ranker.state())
    np.testing.assert_array_equal(loaded.score(x), score)
    if ranker.name == "network":
        predicted = ranker.predict(x)
        assert np.corrcoef(predicted["rating"][clicks], ratings[clicks])[0, 1] > 0.8
        assert predicted["click"].mean() == pytest.approx(clicks.mean(), abs=0.05)
        ranker.taste = 2.0
        assert np.corrcoef(ranker.score(x), x[:, 2])[0, 1] > 0.25
    else:
        assert next(iter(ranker.importance(["a", "b", "c"]))) == "a"


def test_rankers_say_what_is_wrong():
    x, clicks, ratings, sizes = table_of()
    with pytest.raises(DataError, match="inner_fraction"):
        TreeRanker().fit(x, np.zeros(len(x)), ratings, sizes)
    with pytest.raises(DataError, match="a row a candidate"):
        TreeRanker().fit(x, clicks, ratings, sizes[1:])
    with pytest.raises(DataError, match="all ratings are equal"):
        NetworkRanker().fit(x, clicks, np.where(clicks, 1, np.nan), sizes)
    with pytest.raises(NotFittedError):
        TreeRanker().score(x)
    with pytest.raises(DataError, match="from 3 columns"):
        NetworkRanker(epochs=1).fit(x, clicks, ratings, sizes).score(x[:, :2])
    with pytest.raises(ParameterError, match="tasks"):
        NetworkRanker(tasks=("like",))


# -- both stages ---------------------------------------------------------------------------------------------------
def test_what_is_no_candidate_is_never_recommended(world, fitted):
    split, *_ = world
    users = np.array([0, 7, 149])
    scores, pool = fitted.score(users), fitted.candidates(users)
    assert scores.dtype == np.float32
    for row in range(3):
        assert set(np.flatnonzero(np.isfinite(scores[row]))) == set(pool.items[row][pool.items[row] >= 0])
    ranked = fitted.rank(users)
    assert ranked.groupby("user", sort=False)["score"].apply(lambda s: s.is_monotonic_decreasing).all()
    assert ranked["user"].unique().tolist() == users.tolist()
    best = fitted.recommend(users, k=5)
    for user in users:
        expected = ranked[ranked["user"] == user].head(5)
        assert set(best.loc[best["user"] == user, "score"].round(4)) == set(expected["score"].astype("f4").round(4))
    assert mm.evaluation.evaluate(fitted, split.test, train=split.train, ks=5)["ndcg@5"] > 0.1


def test_other_quotas_for_a_fitted_model(fitted):
    small = fitted.with_quotas({"als": 2, "ease": 0, "content": 0, "new": 0})
    assert (small.candidates([3]).items >= 0).sum() <= 8
    assert (fitted.sources["als"]["quota"], small.sources["als"]["quota"]) == (8, 2)
    best = small.score([3])
    np.testing.assert_array_equal(np.isfinite(best), np.isfinite(best) & np.isfinite(fitted.score([3])))
    with pytest.raises(ParameterError, match="quota of 'als'"):
        fitted.with_quotas({"als": -1})


def test_who_has_no_history_gets_what_is_popular_or_new(fitted):
    table = fitted.candidates([149]).to_frame()
    assert (table["popular"] | table["new"]).all()
    assert len(fitted.recommend([149], k=5)) == 5
    assert set(table.loc[table["new"], "item"]) == {58, 59}


def test_the_ranker_beats_the_order_of_popularity(world, fitted):
    split, *_ = world
    popular = mm.models.create("popularity").fit(split.train)
    a, b = (mm.evaluation.evaluate(m, split.test, train=split.train, ks=10) for m in (fitted, popular))
    assert a["ndcg@10"] > b["ndcg@10"] + 0.03


def test_a_leak_is_refused_and_does_harm(world):
    split, *_ = world
    model = TwoStage({"als": {"quota": 20, "params": {"dim": 32, "alpha": 20.0, "l2": 0.1}}, "popular": {"quota": 10}},
                     ranker_params=TREES, content=False)  # fmt: skip
    inner = model.inner_split(split.train)
    assert not np.isin(inner.valid.keys(), inner.train.keys()).any()
    assert not np.isin(inner.valid.keys(), split.valid.keys()).any()
    model.fit_retrieval(split.train)
    with pytest.raises(DataError, match="are in what the sources learned"):
        model.fit_ranking(inner.train, inner.valid)
    model.fit_ranking(inner.train, inner.valid, leak="allow")
    leaky = mm.evaluation.evaluate(model, split.test, train=split.train, ks=10)["ndcg@10"]
    model.fit(split.train)
    assert model.training_["clicks"] <= model.training_["set_aside"] == len(inner.valid)
    assert mm.evaluation.evaluate(model, split.test, train=split.train, ks=10)["ndcg@10"] > leaky + 0.02


@pytest.mark.parametrize("ranker", ["trees", "network"])
def test_saved_and_loaded_it_scores_the_same(world, tmp_path, ranker):
    split, features, groups = world
    sources = {"als": {"quota": 8, "params": {"dim": 8}, "index": "hnsw"}, "ease": {"quota": 5},
               "content": {"quota": 5, "modalities": "image"}, "popular": {"quota": 5},
               "new": {"quota": 2}}  # fmt: skip
    params = TREES if ranker == "trees" else {"kind": "mmoe", "epochs": 1, "taste": 0.5, "device": "cpu"}
    model = TwoStage(sources, ranker, params, groups, seed=3).fit(split.train, features)
    loaded = TwoStage.load(model.save(tmp_path / "shop"))
    users = np.arange(150)
    np.testing.assert_array_equal(loaded.score(users), model.score(users))
    again = TwoStage(sources, ranker, params, groups, seed=3).fit(split.train, features)
    np.testing.assert_array_equal(again.score(users), model.score(users))
    pd.testing.assert_frame_equal(loaded.rank([5]), model.rank([5]))
    assert (loaded.training_, loaded.columns_) == (model.training_, model.columns_)
    assert not [f for f in (tmp_path / "shop").rglob("*") if f.suffix in (".pkl", ".pickle", ".pt")]
    (tmp_path / "shop" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match="no two-stage model"):
        TwoStage.load(tmp_path / "shop")


def test_a_catalogue_without_media(world):
    split, *_ = world
    model = TwoStage({"ease": {"quota": 20}, "new": {"quota": 2}}, ranker_params=TREES).fit(split.train)
    assert not [name for name in model.columns_ if name.startswith(("like", "lacks", "category"))]
    assert len(model.recommend([0], k=5)) == 5
    with pytest.raises(DataError, match="features"):
        TwoStage({"content": {"quota": 5}}).fit(split.train)


def test_content_control_can_train_it(world):
    split, features, _ = world
    model = TwoStage(SOURCES | {"content": {"quota": 8}}, ranker_params=TREES)
    table = mm.evaluation.content_control(model, split, features, metric="ndcg@10", variants=("real", "noise"))
    assert table["mean"].notna().all()


def test_settings_are_checked_before_anything_is_fitted():
    for sources, message in [({}, "give a dict"), ({"als": 3}, "with a quota"), ({"als": {"quota": -1}}, "quota=-1"),
                             ({"als": {"quota": 5, "colour": 1}}, "no setting 'colour'"),
                             ({"x": {"quota": 1, "how": "magic"}}, "how='magic'")]:  # fmt: skip
        with pytest.raises(ParameterError, match=message):
            TwoStage(sources)
    with pytest.raises(UnknownNameError, match="alss"):
        TwoStage({"alss": {"quota": 5}})
    with pytest.raises(ParameterError, match="ranker_params"):
        TwoStage(ranker_params={"leafs": 3})
    with pytest.raises(ParameterError, match="ranker='magic'"):
        TwoStage(ranker="magic")
    with pytest.raises(ParameterError, match="inner_fraction"):
        TwoStage(inner_fraction=1)


def test_errors_when_asked(world, fitted):
    split, *_ = world
    with pytest.raises(NotFittedError):
        TwoStage().score([0])
    with pytest.raises(NotFittedError, match="fit_retrieval"):
        TwoStage().fit_ranking(split.train, split.valid)
    with pytest.raises(NotFittedError, match="no ranker"):
        TwoStage().fit_retrieval(split.train).score([0])
    with pytest.raises(UnknownUserError):
        fitted.candidates([150])
    with pytest.raises(UnknownUserError):
        fitted.retriever_.candidates([150])
    with pytest.raises(DataError, match="one boolean"):
        fitted.candidates([0], allowed=[1, 2])
    with pytest.raises(ParameterError, match="quotas name 'fm'"):
        fitted.retriever_.candidates([0], quotas={"fm": 3})
    with pytest.raises(ParameterError, match="products"):
        Retriever({"ease": {"quota": 5, "index": "hnsw"}}).fit(split.train)
    with pytest.raises(ParameterError, match="pass features"):
        fitted.recommend([0], diversity=0.5)


# -- rules ---------------------------------------------------------------------------------------------------------
SCORES = np.array([[0.9, 0.8, 0.7, 0.6, 0.1], [0.1, 0.2, 0.3, 0.4, -np.inf]])
LABELS = ["a", "a", "a", "b", None]


@pytest.mark.parametrize(("rules", "expected"), [
    (Rules(), [[0, 1, 2], [3, 2, 1]]),
    (Rules(blocked=(0, 3)), [[1, 2, 4], [2, 1, -1]]),
    (Rules(available=np.arange(5) > 1), [[2, 3, 4], [3, 2, -1]]),
    (Rules(groups=LABELS, caps=1), [[0, 3, 4], [3, 2, -1]]),
    (Rules(groups=LABELS, caps={"a": 2}), [[0, 1, 3], [3, 2, 1]]),
    (Rules(groups=LABELS, caps={"a": 0}), [[3, 4, -1], [3, -1, -1]]),
    (Rules(pinned={2: 4}), [[0, 4, 1], [3, 4, 2]]),
    (Rules(pinned={1: 1}, groups=LABELS, caps=1), [[1, 3, 4], [1, 3, -1]]),
    (Rules(pinned={1: 4}, blocked=(4,)), [[0, 1, 2], [3, 2, 1]]),
    (Rules(pinned={3: 0}, groups=LABELS, caps={"a": 1}), [[3, 4, 0], [3, 0, -1]]),
])  # fmt: skip
def test_rules_by_hand(rules, expected):
    assert rules.lists(SCORES, 3)[:, : len(expected[0])].tolist() == expected


def test_a_pinned_item_that_was_seen_is_not_pinned():
    seen = sparse.csr_matrix(np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]))
    assert Rules(pinned={1: 4}).lists(SCORES[:, :4].repeat(2, 1)[:, :5], 2, seen)[:, 0].tolist() == [0, 4]


def test_rules_say_what_is_wrong():
    for given, message in [({"pinned": {0: 1}}, "pinned=0"), ({"pinned": {1: 2, 3: 2}}, "two places"),
                           ({"caps": 1}, "need groups"), ({"caps": -1, "groups": LABELS}, "caps=-1")]:  # fmt: skip
        with pytest.raises(ParameterError, match=message):
            Rules(**given)
    with pytest.raises(UnknownItemError, match="blocked: item 9"):
        Rules(blocked=(9,)).lists(SCORES, 2)
    with pytest.raises(UnknownItemError, match="pinned: item 5"):
        Rules(pinned={1: 5}).lists(SCORES, 2)
    with pytest.raises(ParameterError, match="label of no item"):
        Rules(groups=LABELS, caps={"c": 1}).lists(SCORES, 2)
    with pytest.raises(DataError, match="one boolean"):
        Rules(available=np.ones(3, bool)).lists(SCORES, 2)


def test_all_stages_together(world, fitted):
    split, features, groups = world
    rules = Rules(blocked=(0,), groups=groups, caps=2, pinned={1: 58})
    users = np.arange(0, 150, 10)
    table = fitted.recommend(users, k=5, rules=rules, diversity=0.3, features=features)
    assert (table["item"] != 0).all()
    assert (table.loc[table["rank"] == 1, "item"] == 58).all()
    labels = pd.Series(groups).iloc[table["item"]].to_numpy()
    assert table.groupby(["user", labels]).size().max() <= 2
    assert not split.train.to_csr()[table["user"], table["item"]].any()
    varied = fitted.recommend(users, k=5, diversity=0.9, features=features)
    assert varied["item"].tolist() != fitted.recommend(users, k=5)["item"].tolist()
    assert (table.groupby("user").size() == 5).all()  # what diversity left over fills the places that caps leave free
    ruled = Ruled(fitted, rules, k=5, train=split.train)
    scores = ruled.score(users)
    plain = fitted.recommend(users, k=5, rules=rules)
    assert np.argmax(scores, axis=1).tolist() == plain.loc[plain["rank"] == 1, "item"].tolist()
    assert set(scores[np.isfinite(scores)]) <= {1, 2, 3, 4, 5}
    assert mm.evaluation.evaluate(ruled, split.test, train=split.train, ks=5).name == "two-stage+rules"


def test_a_filter_before_retrieval_costs_no_places(world, fitted):
    """Blocked items asked first: the list is full. Struck out at the end, it is short."""
    blocked = tuple(int(i) for i in fitted.candidates([0]).items[0][:-3])
    assert len(fitted.recommend([0], k=8, rules=Rules(blocked=blocked))) == 8
    struck = Ruled(fitted, Rules(blocked=blocked), k=8).score([0])
    assert np.isfinite(struck).sum() <= 3
