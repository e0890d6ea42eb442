"""Assignment 4, fusion: personal things, people and scores, and the public checks."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np

from .. import evaluation, models
from ..data import Features, Interactions, Split, split
from ..evaluation import control_features
from ..fusion import late
from ..fusion.missing import drop_modality
from ..models.multimodal import item_graph
from .a3 import shop, vectors
from .checking import Assignment, Failed, call, close, shown

assignment = Assignment("a4", "Fusion", hours=(5, 8))

WEIGHTS = np.linspace(0, 1, 11)
SHARES = (0, 0.25, 0.5, 0.75, 1)


# -- personal data ---------------------------------------------------------------------------------------------------
class Table:
    """A matrix of scores, one row a person, as a recommender."""

    def __init__(self, scores) -> None:
        self.scores = np.asarray(scores)

    def score(self, users) -> np.ndarray:
        """Rows of the people."""
        return self.scores[users]


@assignment.personal
def personal(seed: int) -> dict:
    """Things, people, vectors, and the scores of two models of one student."""
    data = shop(seed)
    parts = split(data, "random", seed=0)
    features = vectors(data, np.arange(data.n_items))
    people = np.arange(data.n_users)

    def judge(scores, part):
        return evaluation.evaluate(Table(scores), part, train=parts.train, metrics="ndcg", ks=20, n_boot=200)

    return {
        "data": data,
        "split": parts,
        "features": features,
        "seen": parts.train.to_csr().toarray() > 0,
        "clicks": models.create("ease", l2=25).fit(parts.train).score(people),
        "content": models.create("contentprofile", l2=1000).fit(parts.train, features=features).score(people),
        "judge": judge,
    }


# -- checks ----------------------------------------------------------------------------------------------------------
@assignment.task(1, "Scores to one scale", points=7, needs=["zscores"])
def scales(space) -> None:
    """Two people by hand, what is seen, equal scores, and the student's own models."""
    function = space["zscores"]
    scores = np.array([[2.0, 4, 6, 100], [5, 5, 5, 5]])
    seen = np.array([[False, False, False, True], [False] * 4])
    one = np.sqrt(8 / 3)
    right = np.array([[-2 / one, 0, 2 / one, 96 / one], [0, 0, 0, 0]])
    everybody = (scores - scores.mean()) / scores.std()
    with np.errstate(all="ignore"):
        whole = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
        columns = (scores - scores.mean(0)) / scores.std(0)
    typical = [
        (everybody, "one mean for all people; each person (row) has a mean and a deviation of their own"),
        (columns, "each person (row) has a mean and a deviation, not each thing (column)"),
        (np.where([[True], [False]], whole, 0), "what a person has seen does not count in mean and deviation"),
        (whole, "what a person has seen does not count in mean and deviation"),
    ]
    with np.errstate(all="ignore"):
        got = call(function, scores.copy(), seen.copy())
    close(got, right, "zscores of two people", typical, atol=1e-6)
    work = space.work
    for name in ("clicks", "content"):
        right = late.calibrate(getattr(work, name), "zscore", work.seen)
        close(call(function, getattr(work, name), work.seen), right, f"zscores(work.{name}, work.seen)", atol=1e-3)


@assignment.task(2, "Ranks", points=6, needs=["reciprocal_rank"])
def ranks(space) -> None:
    """Four things by hand, as in the chapter, and random lists."""
    function = space["reciprocal_rank"]
    first, second = np.array([[0.9, 0.5, 0.4, 0.1]]), np.array([[10.0, 30, 20, 40]])

    def fused(parts, k, start=1, order=None):
        return sum(1 / (k + start + (order or _ranks)(-part)) for part in parts)

    typical = [
        (fused([first, second], 0.5, start=0), "ranks begin with 1, not with 0"),
        (fused([-first, -second], 0.5), "the highest score has rank 1"),
        (
            fused([first, second], 0.5, order=lambda x: x.argsort(axis=1)),
            "argsort says which thing is at a place; you need the place of each thing (argsort of argsort)",
        ),
    ]
    got = call(function, [first, second], k=0.5)
    close(got, fused([first, second], 0.5), "reciprocal_rank of two lists, k=0.5", typical)
    rng = np.random.default_rng(0)
    parts = [rng.permuted(np.tile(np.arange(9.0), (4, 1)), axis=1) for _ in range(3)]
    typical = [
        (fused(parts, 60, start=0), "ranks begin with 1, not with 0"),
        (fused([-part for part in parts], 60), "the highest score has rank 1"),
        (
            fused(parts, 60, order=lambda x: x.argsort(axis=1)),
            "argsort says which thing is at a place; you need the place of each thing (argsort of argsort)",
        ),
    ]
    close(call(function, parts, k=60), fused(parts, 60), "reciprocal_rank of three lists of four people", typical)


@assignment.task(3, "A weight, chosen on validation", points=10, needs=["late_fusion"])
def late_weight(space) -> None:
    """The student's own clicks, and clicks for which validation and test prefer different weights."""
    for work, whose in ((space.work, "your data"), (opposed(space.work), "clicks that were dealt out differently")):
        got = call(space["late_fusion"], work)
        _keys(got, ("weight", "ndcg", "difference", "ci_low", "ci_high"), "late_fusion")
        right, by_test = fused_late(work), fused_late(work, choose="test")
        raw, turned = fused_late(work, calibration="none"), 1 - right["weight"]
        for mistake, hint in (
            (raw, "raw scores were added; bring both to one scale first"),
            (by_test, "this weight was chosen on the test part; choose it on `valid`"),
        ):
            names = ("weight", "ndcg")
            told = not np.allclose([right[n] for n in names], [mistake[n] for n in names], rtol=0, atol=3e-4)
            if told and np.allclose([got[n] for n in names], [mistake[n] for n in names], rtol=0, atol=2e-5):
                raise Failed(
                    f"late_fusion(work) on {whose}: weight {got['weight']:.1f}, NDCG {got['ndcg']:.4f}: {hint}"
                )
        hints = {turned: "the weight belongs to content, 1 - weight to clicks"}
        close(got["weight"], right["weight"], f'late_fusion(work)["weight"] on {whose}', hints, atol=1e-6)
        close(got["ndcg"], right["ndcg"], f'late_fusion(work)["ndcg"] on {whose}', atol=3e-4)
        hint = {-right["difference"]: "fused minus clicks alone"}
        close(got["difference"], right["difference"], f'late_fusion(work)["difference"] on {whose}', hint, atol=3e-4)
        _ends(got, right, "late_fusion", whose)


@assignment.task(4, "Side by side", points=7, needs=["side_by_side"])
def concatenation(space) -> None:
    """Loud and quiet modalities, absent ones, and the student's own."""
    given = {"text": np.array([[1.0, 0], [3, 0], [5, 3]]), "audio": np.array([[100.0], [300], [0]])}
    has = {"text": np.ones(3, bool), "audio": np.array([True, True, False])}
    right = joined(given, has)
    unmasked = joined(given, {m: np.ones(3, bool) for m in given})
    typical = [
        (np.hstack(list(given.values())), "nothing was scaled: the loudest modality decides alone"),
        (np.hstack([_scaled(x, has[m]) for m, x in given.items()]), "scale each modality's part of a row to length 1"),
        (unmasked, "zeros of what is absent were counted as measurements"),
        (
            np.where(np.repeat([[True], [True], [False]], 3, axis=1) | [True, True, False], unmasked, 0),
            "mean and deviation run over the things that have the modality",
        ),
        (_unit(np.hstack([_scaled(x, has[m]) for m, x in given.items()])), "length 1 for each part, not for the row"),
    ]
    copies = {m: x.copy() for m, x in given.items()}, {m: x.copy() for m, x in has.items()}
    close(call(space["side_by_side"], *copies), right, "side_by_side of three things", typical, atol=1e-6)
    features = space.work.features
    got = call(space["side_by_side"], dict(features), features.mask)
    close(got, joined(features, features.mask), "side_by_side of your things", atol=1e-3)


@assignment.task(5, "A gate", points=12, needs=["Gate"])
def gate(space) -> None:
    """Weights by hand, what is absent, nothing at all, and gradients."""
    import torch

    operator, x, has = gate_case(call, space["Gate"], 0)
    x = {m: v.requires_grad_() for m, v in x.items()}
    fused, weights = _pair(call(operator, x, has), "Gate(...)(features, mask)")
    right, shares = gated(operator, x, has)
    if tuple(weights.shape) != tuple(shares.shape):
        raise Failed(
            f"the weights have shape {tuple(weights.shape)}, expected {tuple(shares.shape)}: things, modalities"
        )
    if torch.allclose(weights[:2].detach(), torch.ones_like(weights[:2])):
        raise Failed("all weights are 1: the softmax of one logit is always one; take it over the modalities")
    total = weights.sum(dim=1).detach()
    if not torch.allclose(total[:4], torch.ones(4), atol=1e-5):
        raise Failed(
            f"the weights of a thing without sound sum to {total[2]:.3f}, expected 1: a mask after the softmax loses "
            "what the absent modality had; set its logit to -inf before"
        )
    close(weights, shares, "the weights of five things", atol=1e-5)
    close(fused, right, "the fused vectors of five things", atol=1e-5)
    for value in (1e6, float("nan")):
        other = {m: torch.where(has[m][:, None], v.detach(), torch.tensor(value)) for m, v in x.items()}
        changed, _ = _pair(call(operator, other, has), "Gate(...)(features, mask)")
        if not torch.equal(changed.detach(), fused.detach()):
            raise Failed(
                f"with {value:g} in place of what is absent the fused vectors change: it must have no influence; "
                "overwrite it with zeros (masked_fill) before the first layer"
            )
    fused.square().sum().backward()
    if not all(p.grad is not None and torch.isfinite(p.grad).all() for p in operator.parameters()):
        raise Failed("some gradients are missing or not finite: does every layer take part, and is -inf kept away?")
    if max(float(layer.weight.grad.abs().max()) for layer in operator.score.values()) == 0:
        raise Failed("the layers `score` have a gradient of exactly 0: they do not influence the result")


@assignment.task(6, "Attention", points=7, needs=["attend"])
def attention(space) -> None:
    """Weights by hand, masks, large scores, nothing left."""
    function = space["attend"]
    keys = np.array([[[1.0, 0], [0, 1], [1, 1]]])
    query, everything = np.array([np.sqrt(2) * np.log(2), 0.0]), np.ones((1, 3), bool)
    right = np.array([[0.4, 0.2, 0.4]])
    plain = np.exp(keys @ query)
    typical = [
        (plain / plain.sum(), "divide the scores by the root of the length of the query"),
        (np.ones((1, 3)), "the softmax runs over the tokens of one thing"),
    ]
    seen, weights = _pair(call(function, query, keys, keys, everything), "attend")
    close(weights, right, "the weights of three tokens", typical, atol=1e-6)
    close(seen, [[0.8, 0.6]], "what the query sees in three tokens", atol=1e-6)
    rng = np.random.default_rng(0)
    keys, values, query = rng.normal(size=(6, 4, 3)), rng.normal(size=(6, 4, 5)), rng.normal(size=3)
    present = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]], bool)
    seen_right, right = attended(query, keys, values, present)
    with np.errstate(all="ignore"):
        seen, weights = _pair(call(function, query, keys, values, present), "attend")
    weights = np.asarray(weights, float)
    if weights.shape == right.shape and np.isnan(weights[5]).any():
        raise Failed("a thing of which nothing is present has nan; expected weights and result 0")
    everything = attended(query, keys, values, np.ones_like(present))[1]
    typical = [
        (everything, "absent tokens have weight 0"),
        (everything * present, "mask before the softmax: the weights of what is present sum to 1"),
    ]
    close(weights, right, "the weights of six things with a mask", typical, atol=1e-6)
    close(seen, seen_right, "what the query sees in six things", atol=1e-6)
    with np.errstate(all="ignore"):
        seen, weights = _pair(call(function, 4000 * query, keys, values, present), "attend")
    if not np.isfinite(np.asarray(weights, float)).all():
        raise Failed("with a long query the weights are nan: subtract the largest score before the exponential")


@assignment.task(7, "A graph of things", points=9, needs=["item_graph"])
def graph(space) -> None:
    """Five things by hand, and the student's own pictures and sounds."""
    x = _unit(np.array([[1, 0], [0.9, 0.3], [0.8, 0.5], [0.1, 1], [0, 0]]))
    edges = np.array([[0, 1, 1, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0] * 5], float)
    out, into = edges.sum(1), edges.sum(0)
    right = edges / np.sqrt(np.outer(np.maximum(out, 1), np.maximum(into, 1)))
    loops = np.zeros((5, 5))
    for i, near in enumerate([[0, 1], [1, 2], [2, 1], [3, 2]]):
        loops[i, near] = 1
    typical = [
        (edges, "divide each edge by the roots of both degrees"),
        (edges / np.maximum(out, 1)[:, None], "rows that sum to 1; divide by the roots of both degrees instead"),
        (edges / np.sqrt(np.outer(np.maximum(out, 1), np.maximum(out, 1))), "the second degree counts who chose j"),
        (loops, "a thing is its own neighbour"),
        (right.T, "row i holds the neighbours of thing i"),
    ]
    got = _array(call(space["item_graph"], x.copy(), k=2), "item_graph")
    if got.shape == (5, 5):
        if np.diag(got).any():
            raise Failed("item_graph of five things: a thing is its own neighbour; leave the diagonal out")
        if got[4].any() or got[:, 4].any():
            raise Failed("item_graph of five things: the row of zeros is absent, it has no neighbours and is nobody's")
    close(got, right, "item_graph of five things, k=2", typical, atol=1e-6)
    for m, k in (("image", 7), ("audio", 4)):
        unit = np.unique(unit_of(space.work, m), axis=0)  # copies of a file would be ties, in any order
        got = _array(call(space["item_graph"], unit, k=k), "item_graph")
        close(got, item_graph(unit, k).toarray(), f"item_graph of your things by {m}, k={k}", atol=1e-5)


@assignment.task(8, "One step", points=4, needs=["propagate"])
def step(space) -> None:
    """One number a thing, two graphs."""
    S = np.array([[0, 0.5, 0.5], [1, 0, 0], [0, 0, 0]])
    T = np.array([[0, 0, 0], [0, 0, 1], [0, 0.5, 0]])
    Q = np.array([[8.0, 1], [0, 2], [4, -1]])
    step_, away = (S @ Q + T @ Q) / 2, (S.T @ Q + T.T @ Q) / 2
    typical = [
        (step_, "keep what the thing had: add it"),
        (Q + 2 * step_, "the mean over the graphs, not the sum"),
        (Q + away, "a thing hears its neighbours: S @ Q, not S.T @ Q"),
    ]
    close(call(space["propagate"], Q.copy(), {"text": S, "image": T}), Q + step_, "propagate(Q, two graphs)", typical)


@assignment.task(9, "The control", points=10, needs=["deal_out", "verdict", "content_effect"])
def control(space) -> None:
    """Vectors in the wrong places, three verdicts, and the student's own things."""
    rng = np.random.default_rng(0)
    given = {"text": rng.normal(size=(60, 2)), "audio": rng.normal(size=(60, 3))}
    has = {"text": np.ones(60, bool), "audio": np.arange(60) % 3 == 0}
    given["audio"][~has["audio"]] = 0
    got = call(space["deal_out"], {m: x.copy() for m, x in given.items()}, has, seed=1)
    again = call(space["deal_out"], {m: x.copy() for m, x in given.items()}, has, seed=1)
    complaint = dealt_badly(given, has, got, again)
    if complaint:
        raise Failed(f"deal_out of 60 things: {complaint}")
    for numbers, right in (
        ((0.02, 0.01, 0.03), "helps"),
        ((0.02, -0.01, 0.05), "no evidence"),
        ((-0.02, -0.03, -0.01), "hurts"),
    ):
        said = f"verdict{numbers}"
        close(call(space["verdict"], *numbers), right, said, {"helps": "the interval holds zero", "hurts": "no"})
    _effects(space, space.work, "your data")
    for better in ("none", "shuffled"):
        _effects(space, with_control(space.work, better), f"clicks for which {better!r} is the better control")


def _effects(space, work, whose: str) -> None:
    got, right = call(space["content_effect"], work), effect(work)
    _keys(got, ("real", "shuffled", "none", "difference", "ci_low", "ci_high"), "content_effect")
    for name in ("real", "shuffled", "none"):
        close(got[name], right[name], f'content_effect(work)["{name}"] on {whose}', atol=3e-4)
    worse = min(("shuffled", "none"), key=right.get)
    hint = {right["real"] - right[worse]: "compare with the best of the controls, not with the weaker one"}
    hint[-right["difference"]] = "real minus control"
    close(got["difference"], right["difference"], f'content_effect(work)["difference"] on {whose}', hint, atol=3e-4)
    _ends(got, right, "content_effect", whose)


@assignment.task(10, "When the picture is missing", points=7, needs=["missing_curve"])
def missing(space) -> None:
    """Two treatments of the same gaps."""
    got, right = call(space["missing_curve"], space.work), curve(space.work)
    _keys(got, ("mask", "zeros"), "missing_curve")
    for how in ("mask", "zeros"):
        hint = [(right["mask" if how == "zeros" else "zeros"], "this is the curve of the other treatment")]
        close(got[how], right[how], f'missing_curve(work)["{how}"]', hint, atol=3e-4)


# -- what the checks (and the hidden tests) compare with -------------------------------------------------------------
def fused_late(work, choose: str = "valid", calibration: str = "zscore") -> dict:
    """What ``late_fusion`` returns; another ``choose`` or ``calibration`` is a mistake."""
    kept = work.__dict__.setdefault("_late", {})
    if (choose, calibration) not in kept:
        parts = [late.calibrate(scores, calibration, work.seen) for scores in (work.clicks, work.content)]

        def judged(weight, part):
            return work.judge((1 - weight) * parts[0] + weight * parts[1], getattr(work.split, part))

        weight = max(WEIGHTS, key=lambda w: judged(w, choose)["ndcg@20"])
        fused, clicks = judged(weight, "test"), work.judge(work.clicks, work.split.test)
        kept[choose, calibration] = {"weight": float(weight), "ndcg": fused["ndcg@20"], **_paired(fused, clicks)}
    return kept[choose, calibration]


def opposed(work) -> SimpleNamespace:
    """The same shop with held-out clicks dealt out so that validation likes content and the test part does not."""
    if "_opposed" not in work.__dict__:
        held = Interactions.concat([work.split.valid, work.split.test])
        content, clicks = (work.judge(x, held).per_user["ndcg@20"] for x in (work.content, work.clicks))
        gain = (content - clicks).reindex(np.arange(work.data.n_users)).fillna(0).to_numpy()
        first = gain[held.user] > np.quantile(gain[np.unique(held.user)], 0.6)
        work.__dict__["_opposed"] = _with_parts(work, held.select(first), held.select(~first))
    return work.__dict__["_opposed"]


def joined(given, has) -> np.ndarray:
    """Each modality scaled over the things that have it, its rows to length 1, side by side."""
    return np.hstack([_unit(_scaled(np.asarray(x, float), np.asarray(has[m]))) for m, x in given.items()])


def gate_case(calling, Gate, seed: int):
    """A gate, vectors of five things, and masks: two complete ones, one without sound, one without text, one empty."""
    import torch

    dims = {"text": 3, "image": 4, "audio": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        operator = calling(Gate, dims, 6)
        for name, inner in (("project", dict(dims)), ("score", dict.fromkeys(dims, 6))):
            layers = getattr(operator, name, None)
            if not isinstance(layers, torch.nn.ModuleDict) or set(layers) != set(dims):
                raise Failed(f"Gate needs `self.{name}`, an nn.ModuleDict with a layer for each modality of dims")
            for m, layer in layers.items():
                shape = (6, inner[m]) if name == "project" else (1, 6)
                if tuple(getattr(getattr(layer, "weight", None), "shape", ())) != shape:
                    raise Failed(f'self.{name}["{m}"] must be nn.Linear({shape[1]}, {shape[0]})')
        x = {m: torch.randn(5, d) for m, d in dims.items()}
    has = {
        "text": torch.tensor([True, True, True, False, False]),
        "image": torch.tensor([True, True, True, True, False]),
        "audio": torch.tensor([True, True, False, True, False]),
    }
    return operator, x, has


def gated(operator, x, has):
    """What a gate with these layers must give: fused vectors and weights."""
    import torch

    tokens = torch.stack([operator.project[m](v.masked_fill(~has[m][:, None], 0)) for m, v in x.items()], dim=1)
    scores = torch.cat([operator.score[m](tokens[:, i]) for i, m in enumerate(x)], dim=1)
    present = torch.stack([has[m] for m in x], dim=1)
    weights = scores.masked_fill(~present, torch.finfo(scores.dtype).min).softmax(dim=1) * present
    return (tokens * weights[..., None]).sum(dim=1), weights


def attended(query, keys, values, present):
    """What the query sees in each thing, and its weights."""
    scores = np.where(present, keys @ query / np.sqrt(len(query)), -np.inf)
    top = np.where(present.any(1), scores.max(axis=1), 0)[:, None]
    shares = np.exp(scores - top)
    weights = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    return (weights[..., None] * values).sum(axis=1), weights


def unit_of(work, modality: str) -> np.ndarray:
    """A modality scaled over the things that have it, rows of length 1, zeros elsewhere."""
    return _unit(_scaled(work.features[modality].astype(float), work.features.mask[modality]))


def dealt_badly(given, has, got, again) -> str | None:
    """What is wrong with vectors that were dealt out, in a sentence."""
    if not isinstance(got, Mapping) or set(got) != set(given):
        return f"expected a dictionary with {', '.join(map(repr, given))}, got {shown(got)}"
    n = len(next(iter(has.values())))
    before, after = ({m: np.asarray(x[m], float) for m in given} for x in (given, got))
    for m in given:
        if after[m].shape != before[m].shape:
            return f"{m!r} has shape {after[m].shape}, expected {before[m].shape}"
        if after[m][~has[m]].any() or not after[m][has[m]].any(axis=1).all():
            return f"things exchange vectors only with things that have the same modalities; {m!r} came to others"
    rows = {m: {tuple(row): i for i, row in enumerate(before[m]) if has[m][i]} for m in given}
    source = {m: [rows[m].get(tuple(after[m][i]), -1) if has[m][i] else None for i in range(n)] for m in given}
    for m in given:
        came = [s for s in source[m] if s is not None]
        if sorted(came) != sorted(rows[m].values()):
            return f"the vectors of {m!r} are not the same set as before: exchange them, each once"
    for i in range(n):
        if len({source[m][i] for m in given if has[m][i]}) > 1:
            return "the vectors of one thing must travel together: text and sound that belong to one thing stay a pair"
    first = next(iter(given))
    if np.mean([source[first][i] == i for i in range(n)]) > 0.3:
        return "most things still have their own vectors"
    if any(not np.array_equal(np.asarray(again[m], float), after[m]) for m in given):
        return "the same seed gives two results: draw with np.random.default_rng(seed)"
    return None


def controls(work, part) -> dict:
    """Reports of SideEASE on real vectors, shuffled ones and none."""
    reports = {}
    for variant in ("real", "shuffled", "none"):
        model = models.create("sideease", l2=50, content=5)
        model.fit(work.split.train, features=control_features(work.features, variant, seed=0))
        reports[variant] = work.judge(model.score(np.arange(work.data.n_users)), part)
    return reports


def effect(work) -> dict:
    """What ``content_effect`` returns."""
    if "_effect" not in work.__dict__:
        reports = controls(work, work.split.test)
        best = max(("shuffled", "none"), key=lambda v: reports[v]["ndcg@20"])
        scores = {variant: report["ndcg@20"] for variant, report in reports.items()}
        work.__dict__["_effect"] = {**scores, **_paired(reports["real"], reports[best])}
    return work.__dict__["_effect"]


def with_control(work, better: str) -> SimpleNamespace:
    """The same shop with held-out clicks dealt out so that a certain control is the better one on the test part."""
    kept = work.__dict__.setdefault("_with_control", {})
    if not kept:
        held = Interactions.concat([work.split.valid, work.split.test])
        reports = controls(work, held)
        none, shuffled = (reports[name].per_user["ndcg@20"] for name in ("none", "shuffled"))
        gain = (none - shuffled).reindex(np.arange(work.data.n_users)).fillna(0).to_numpy()
        first = gain[held.user] > np.median(gain[np.unique(held.user)])
        kept["none"] = _with_parts(work, held.select(~first), held.select(first))
        kept["shuffled"] = _with_parts(work, held.select(first), held.select(~first))
    return kept[better]


def _with_parts(work, valid, test) -> SimpleNamespace:
    names = ("data", "features", "seen", "clicks", "content", "judge")
    parts = Split(work.split.train, valid, test, how="random")
    return SimpleNamespace(split=parts, **{name: getattr(work, name) for name in names})


def curve(work) -> dict:
    """What ``missing_curve`` returns."""
    if "_curve" not in work.__dict__:
        found = {"mask": [], "zeros": []}
        for share in SHARES:
            rest = drop_modality(work.features, share, "image", seed=0).only("text", "image")
            gone = np.where(rest.mask["image"][:, None], rest["image"], 0)
            zeros = Features({"text": rest["text"], "image": gone})
            for how, features in (("mask", rest), ("zeros", zeros)):
                model = models.create("contentknn").fit(work.split.train, features=features)
                found[how].append(work.judge(model.score(np.arange(work.data.n_users)), work.split.test)["ndcg@20"])
        work.__dict__["_curve"] = found
    return work.__dict__["_curve"]


# -- small helpers ---------------------------------------------------------------------------------------------------
def _paired(a, b) -> dict:
    row = evaluation.compare(a, b, "ndcg@20").loc["ndcg@20"]
    return {name: float(row[name]) for name in ("difference", "ci_low", "ci_high")}


def _ends(got, right, name: str, whose: str) -> None:
    wide = 0.12 * (right["ci_high"] - right["ci_low"]) + 1e-4
    for end in ("ci_low", "ci_high"):
        close(got[end], right[end], f'{name}(work)["{end}"] on {whose}', rtol=0, atol=wide)


def _unit(x) -> np.ndarray:
    x = np.asarray(x, float)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _scaled(x, has) -> np.ndarray:
    deviation = x[has].std(axis=0)
    return np.where(has[:, None], (x - x[has].mean(axis=0)) / np.where(deviation > 1e-8, deviation, 1), 0)


def _ranks(x) -> np.ndarray:
    """Place of each entry in its row, the smallest first, from 0."""
    return x.argsort(axis=1).argsort(axis=1)


def _array(value, what: str) -> np.ndarray:
    value = value.toarray() if hasattr(value, "toarray") else value
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise Failed(f"{what} gives {shown(value)}; expected an array") from None


def _pair(got, what: str):
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Failed(f"{what} gives {shown(got)}; expected two things: the result and the weights")
    return got


def _keys(got, names, what: str) -> None:
    if not isinstance(got, Mapping) or any(name not in got for name in names):
        raise Failed(f"{what} gives {shown(got)}; expected a dictionary with {', '.join(map(repr, names))}")
