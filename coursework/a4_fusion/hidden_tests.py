"""Hidden tests of assignment 4: the same questions with other inputs; points of a task are shared by its tests."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmrec_lib import models
from mmrec_lib.coursework import a3, a4
from mmrec_lib.fusion import late
from mmrec_lib.models.multimodal import item_graph


def dealt(work, seed):
    """The same shop with held-out clicks divided anew."""
    held = a3.Interactions.concat([work.split.valid, work.split.test])
    first = np.random.default_rng(seed).random(len(held)) < 0.5
    parts = a3.Split(work.split.train, held.select(first), held.select(~first))
    names = ("data", "features", "seen", "clicks", "content", "judge")
    return SimpleNamespace(split=parts, **{name: getattr(work, name) for name in names})


# -- 1: scales
@pytest.mark.task(1)
def test_each_person_has_a_scale(space):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(6, 40)) * rng.uniform(0.1, 90, (6, 1)) + rng.normal(0, 50, (6, 1))
    seen = rng.random((6, 40)) < 0.3
    got = np.asarray(space["zscores"](scores, seen))
    assert got == pytest.approx(late.calibrate(scores, "zscore", seen), abs=1e-4), (
        "mean and deviation of what is unseen"
    )


@pytest.mark.task(1)
def test_equal_scores_and_order(space):
    scores = np.array([[7.0, 7, 7, 9], [1, 2, 4, 3]])
    seen = np.array([[False, False, False, True], [False] * 4])
    got = np.asarray(space["zscores"](scores, seen))
    assert np.allclose(got[0, :3], 0), "a person whose unseen scores are alike gets zeros, not nan"
    assert got[1].argsort().tolist() == [0, 1, 3, 2], "the order of a person's scores stays"


# -- 2: ranks
@pytest.mark.task(2)
@pytest.mark.parametrize("k", [0.0, 1.0, 60.0])
def test_sum_of_reciprocal_ranks(space, k):
    rng = np.random.default_rng(2)
    parts = [rng.permuted(np.tile(np.arange(12.0) ** 2, (5, 1)), axis=1) for _ in range(4)]
    got = np.asarray(space["reciprocal_rank"](parts, k))
    assert got == pytest.approx(late.reciprocal_rank(parts, k), rel=1e-5), "the best thing has rank 1: 1 / (k + 1)"


@pytest.mark.task(2)
def test_scale_of_the_scores_does_not_matter(space):
    part = np.array([[3.0, -1, 8]])
    got = np.asarray(space["reciprocal_rank"]([part, 1000 * part], 1))
    assert got[0].tolist() == pytest.approx([2 / 3, 2 / 4, 2 / 2]), "ranks 2, 3, 1 in both lists"


# -- 3: weight
@pytest.mark.task(3)
@pytest.mark.parametrize("way", ["own", "anew", "opposed"])
def test_weight_by_validation(space, work, way):
    shop = {"own": lambda: work, "anew": lambda: dealt(work, 3), "opposed": lambda: a4.opposed(work)}[way]()
    got, right = space["late_fusion"](shop), a4.fused_late(shop)
    assert got["weight"] == pytest.approx(right["weight"]), "the weight with the highest NDCG@20 on validation"
    assert got["ndcg"] == pytest.approx(right["ndcg"], abs=3e-4), "NDCG@20 on the test part with that weight"
    assert got["difference"] == pytest.approx(right["difference"], abs=3e-4), "fused minus clicks alone"
    wide = 0.12 * (right["ci_high"] - right["ci_low"]) + 1e-4
    assert got["ci_low"] == pytest.approx(right["ci_low"], abs=wide), "the paired interval"
    assert got["ci_high"] == pytest.approx(right["ci_high"], abs=wide), "the paired interval"


# -- 4: side by side
@pytest.mark.task(4)
def test_every_modality_is_equally_loud(space):
    rng = np.random.default_rng(4)
    given = {"b": 1000 + 500 * rng.normal(size=(30, 3)), "a": 0.01 * rng.normal(size=(30, 5))}
    has = {"b": rng.random(30) < 0.6, "a": np.ones(30, bool)}
    given["b"][~has["b"]] = 0
    got = np.asarray(space["side_by_side"](given, has))
    assert got == pytest.approx(a4.joined(given, has)), "columns over what is there, rows of each part to length 1"
    assert not got[~has["b"], :3].any(), "what is absent is zeros, in the order of the dictionary"


@pytest.mark.task(4)
def test_a_constant_column(space):
    given = {"a": np.array([[2.0, 1], [2, 3], [2, 5]])}
    got = np.asarray(space["side_by_side"](given, {"a": np.ones(3, bool)}))
    assert got == pytest.approx(np.array([[0.0, -1], [0, 0], [0, 1]])), "a constant column is only shifted"


# -- 5: gate
def called(function, *arguments):
    return function(*arguments)


@pytest.mark.task(5)
@pytest.mark.parametrize("seed", [5, 6])
def test_gate_sums_what_is_there(space, seed):
    operator, x, has = a4.gate_case(called, space["Gate"], seed)
    fused, weights = operator(x, has)
    right, shares = a4.gated(operator, x, has)
    assert torch.allclose(weights, shares, atol=1e-5), "softmax over the modalities that are present"
    assert torch.allclose(fused, right, atol=1e-5), "the weighted sum of the projected vectors"
    assert not weights[4].any(), "nothing present: weights of zero"
    assert not fused[4].any(), "nothing present: a vector of zeros"


@pytest.mark.task(5)
def test_order_of_the_features(space):
    operator, x, has = a4.gate_case(called, space["Gate"], 7)
    fused, weights = operator(x, has)
    turned, other = operator({m: x[m] for m in reversed(list(x))}, has)
    assert torch.allclose(turned, fused, atol=1e-6), "the order of the features does not change the vector"
    assert torch.allclose(other.flip(1), weights, atol=1e-6), "weights come in the order of the features"


@pytest.mark.task(5)
@pytest.mark.parametrize("value", [1e8, float("inf"), float("nan")])
def test_absent_has_no_influence(space, value):
    operator, x, has = a4.gate_case(called, space["Gate"], 8)
    fused, weights = operator(x, has)
    broken = {m: torch.where(has[m][:, None], v, torch.tensor(value)) for m, v in x.items()}
    again, shares = operator(broken, has)
    assert torch.equal(again, fused), "what stands in an absent row has no influence on the vectors"
    assert torch.equal(shares, weights), "what stands in an absent row has no influence on the weights"


@pytest.mark.task(5)
def test_gate_learns(space):
    operator, x, has = a4.gate_case(called, space["Gate"], 9)
    operator(x, has)[0].square().sum().backward()
    for m, layer in operator.score.items():
        gradient = layer.weight.grad
        assert gradient is not None, f"the layer score of {m} takes part"
        assert torch.isfinite(gradient).all(), "gradients are finite"
        assert gradient.abs().max() > 0, f"the layer score of {m} learns"


# -- 6: attention
@pytest.mark.task(6)
def test_attention_of_many_things(space):
    rng = np.random.default_rng(6)
    query, keys, values = rng.normal(size=7), rng.normal(size=(9, 5, 7)), rng.normal(size=(9, 5, 2))
    present = rng.random((9, 5)) < 0.6
    present[3] = False
    seen, weights = space["attend"](query, keys, values, present)
    right, shares = a4.attended(query, keys, values, present)
    assert np.asarray(weights) == pytest.approx(shares), "softmax over what is present, scores over root d"
    assert np.asarray(seen) == pytest.approx(right), "the weighted sum of the values"


@pytest.mark.task(6)
def test_attention_with_large_scores(space):
    keys = np.array([[[9000.0], [8990.0], [0.0]]])
    _, weights = space["attend"](np.array([1.0]), keys, keys, np.ones((1, 3), bool))
    assert np.asarray(weights)[0] == pytest.approx([1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10)), 0]), "no overflow"


# -- 7: graph
@pytest.mark.task(7)
@pytest.mark.parametrize("k", [1, 5])
def test_graph_of_random_things(space, k):
    rng = np.random.default_rng(70 + k)
    x = rng.normal(size=(40, 6))
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    x[[3, 17]] = 0
    got = space["item_graph"](x.copy(), k)
    got = got.toarray() if hasattr(got, "toarray") else np.asarray(got)
    assert not np.diag(got).any(), "no thing is its own neighbour"
    assert not got[[3, 17]].any(), "what is absent has no neighbours"
    assert not got[:, [3, 17]].any(), "what is absent is nobody's neighbour"
    assert got == pytest.approx(item_graph(x, k).toarray(), abs=1e-5), "edges over the roots of both degrees"


@pytest.mark.task(7)
def test_only_positive_cosines(space):
    x = np.array([[1.0, 0], [-1, 0], [0.6, 0.8]])
    got = space["item_graph"](x, 2)
    got = got.toarray() if hasattr(got, "toarray") else np.asarray(got)
    assert (got > 0).tolist() == [[False, False, True], [False] * 3, [True, False, False]], "cosines above 0 only"


# -- 8: step
@pytest.mark.task(8)
@pytest.mark.parametrize("n", [1, 3])
def test_one_step(space, n):
    rng = np.random.default_rng(8)
    Q, graphs = rng.normal(size=(6, 4)), {f"m{i}": rng.random((6, 6)) for i in range(n)}
    right = Q + sum(S @ Q for S in graphs.values()) / n
    assert np.asarray(space["propagate"](Q, graphs)) == pytest.approx(right), "own vector plus the mean of the steps"


# -- 9: control
@pytest.mark.task(9)
@pytest.mark.parametrize("seed", [1, 2])
def test_dealing_out(space, seed):
    rng = np.random.default_rng(90 + seed)
    has = {"a": rng.random(90) < 0.7, "b": rng.random(90) < 0.4, "c": np.ones(90, bool)}
    given = {m: np.where(mask[:, None], rng.normal(size=(90, 3)), 0) for m, mask in has.items()}
    order = {m: given[m] for m in ("c", "a", "b")}
    got, again = (space["deal_out"]({m: x.copy() for m, x in order.items()}, has, seed) for _ in range(2))
    complaint = a4.dealt_badly(order, has, got, again)
    assert complaint is None, complaint


@pytest.mark.task(9)
def test_verdicts(space):
    got = [space["verdict"](*x) for x in ((0.1, 1e-4, 0.2), (0.1, -1e-4, 0.2), (-0.1, -0.2, -1e-4), (-0.1, -0.3, 0.1))]
    assert got == ["helps", "no evidence", "hurts", "no evidence"], "the interval decides, not the difference"


@pytest.mark.task(9)
@pytest.mark.parametrize("way", ["own", "none", "shuffled"])
def test_effect_of_content(space, work, way):
    shop = work if way == "own" else a4.with_control(work, way)
    got, right = space["content_effect"](shop), a4.effect(shop)
    for name in ("real", "shuffled", "none"):
        assert got[name] == pytest.approx(right[name], abs=3e-4), f"NDCG@20 on the test part, {name} vectors"
    assert got["difference"] == pytest.approx(right["difference"], abs=3e-4), "real minus the better control"
    wide = 0.12 * (right["ci_high"] - right["ci_low"]) + 1e-4
    assert got["ci_low"] == pytest.approx(right["ci_low"], abs=wide), "the paired interval"


# -- 10: missing
@pytest.mark.task(10)
@pytest.mark.parametrize("way", ["own", "anew"])
@pytest.mark.parametrize("how", ["mask", "zeros"])
def test_missing_pictures(space, work, way, how):
    shop = work if way == "own" else dealt(work, 10)
    got = space["missing_curve"](shop)[how]
    assert np.asarray(got, float) == pytest.approx(np.array(a4.curve(shop)[how]), abs=3e-4), f"the curve: {how}"


@pytest.mark.task(10)
def test_ends_of_the_curve(space, work):
    got = space["missing_curve"](work)
    alone = models.create("contentknn").fit(work.split.train, features=work.features.only("text"))
    alone = work.judge(alone.score(np.arange(work.data.n_users)), work.split.test)["ndcg@20"]
    assert got["mask"][0] == pytest.approx(got["zeros"][0], abs=1e-6), "nothing lost: the same"
    assert got["mask"][-1] == pytest.approx(alone, abs=3e-4), "everything lost, with a mask: text alone"
