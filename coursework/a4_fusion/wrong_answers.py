"""Wrong answers as students give them: the public check of the task must notice each, and say why."""

from mmrec_lib.coursework.grading import Wrong

LATE = """
def late_fusion(work):
    clicks, content = (late.calibrate(s, "zscore", work.seen) for s in (work.clicks, work.content))

    def judge(weight, part):
        return work.judge((1 - weight) * clicks + weight * content, part)

    weight = max(np.linspace(0, 1, 11), key=lambda w: judge(w, work.split.valid)["ndcg@20"])
    fused, alone = judge(weight, work.split.test), work.judge(work.clicks, work.split.test)
    row = mm.evaluation.compare(fused, alone, "ndcg@20").loc["ndcg@20"]
    return {"weight": float(weight), "ndcg": fused["ndcg@20"],
            **{name: float(row[name]) for name in ("difference", "ci_low", "ci_high")}}
"""

GATE = """
class Gate(nn.Module):
    def __init__(self, dims, dim):
        super().__init__()
        self.project = nn.ModuleDict({m: nn.Linear(size, dim) for m, size in dims.items()})
        self.score = nn.ModuleDict({m: nn.Linear(dim, 1) for m in dims})

    def forward(self, features, mask):
        present = torch.stack([mask[m] for m in features], dim=1)
        tokens = torch.stack([self.project[m](x.masked_fill(~mask[m][:, None], 0))
                              for m, x in features.items()], dim=1)
        logits = torch.cat([self.score[m](tokens[:, i]) for i, m in enumerate(features)], dim=1)
        logits = logits.masked_fill(~present, torch.finfo(logits.dtype).min)
        weights = logits.softmax(dim=1) * present
        return (tokens * weights[..., None]).sum(dim=1), weights
"""

GRAPH = """
def item_graph(unit, k):
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    edges = np.zeros(cosines.shape)
    np.put_along_axis(edges, nearest, 1, axis=1)
    edges[cosines <= 0] = 0
    chosen, chosen_by = edges.sum(axis=1), edges.sum(axis=0)
    return edges / np.sqrt(np.maximum(chosen, 1)[:, None] * np.maximum(chosen_by, 1))
"""

CONTROL = """
def deal_out(vectors, has, seed):
    rng = np.random.default_rng(seed)
    masks = np.stack([np.asarray(has[m], bool) for m in vectors], axis=1)
    source = np.arange(len(masks))
    for pattern in np.unique(masks, axis=0):
        rows = np.flatnonzero((masks == pattern).all(axis=1))
        source[rows] = rng.permutation(rows)
    return {m: x[source] for m, x in vectors.items()}

def verdict(difference, low, high):
    return "helps" if low > 0 else "hurts" if high < 0 else "no evidence"

def content_effect(work):
    reports = {}
    for variant in ("real", "shuffled", "none"):
        model = mm.models.create("sideease", l2=50, content=5)
        model.fit(work.split.train, features=control_features(work.features, variant, seed=0))
        reports[variant] = work.judge(model.score(np.arange(work.data.n_users)), work.split.test)
    best = max(("shuffled", "none"), key=lambda variant: reports[variant]["ndcg@20"])
    row = mm.evaluation.compare(reports["real"], reports[best], "ndcg@20").loc["ndcg@20"]
    return {**{variant: report["ndcg@20"] for variant, report in reports.items()},
            **{name: float(row[name]) for name in ("difference", "ci_low", "ci_high")}}
"""


def changed(source: str, old: str, new: str) -> str:
    """A right answer with one mistake."""
    if old not in source:
        raise ValueError(f"{old!r} does not occur")
    return source.replace(old, new)


def zscores(over: str) -> str:
    """Z-scores with another mean and deviation."""
    return f"def zscores(scores, seen):\n    return (scores - scores.mean({over})) / (scores.std({over}) + 1e-12)\n"


WRONG = [
    Wrong(1, "counts what is seen", zscores("axis=1, keepdims=True"), "seen does not count"),
    Wrong(
        2,
        "argsort taken for ranks",
        """
def reciprocal_rank(parts, k):
    return sum(1 / (k + 1 + (-part).argsort(axis=1)) for part in parts)
""",
        "argsort of argsort",
    ),
    Wrong(
        3,
        "weight chosen on test",
        changed(LATE, "judge(w, work.split.valid)", "judge(w, work.split.test)"),
        "chosen on the test part",
    ),
    Wrong(
        3,
        "adds raw scores",
        changed(
            LATE,
            '(late.calibrate(s, "zscore", work.seen) for s in (work.clicks, work.content))',
            "(work.clicks, work.content)",
        ),
        "raw scores",
    ),
    Wrong(
        4,
        "puts raw vectors side by side",
        """
def side_by_side(vectors, has):
    return np.hstack(list(vectors.values()))
""",
        "loudest modality",
    ),
    Wrong(
        4,
        "counts zeros as measurements",
        """
def side_by_side(vectors, has):
    parts = []
    for x in vectors.values():
        x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-8)
        parts.append(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
    return np.hstack(parts)
""",
        "counted as measurements",
    ),
    Wrong(
        5,
        "softmax of one logit",
        changed(
            changed(GATE, "self.score[m](tokens[:, i])", "self.score[m](tokens[:, i]).softmax(dim=-1)"),
            "logits.softmax(dim=1) * present",
            "logits.clamp(min=0) * present",
        ),
        "always one",
    ),
    Wrong(
        5,
        "mask after the softmax",
        changed(GATE, "        logits = logits.masked_fill(~present, torch.finfo(logits.dtype).min)\n", ""),
        "after the softmax",
    ),
    Wrong(
        5,
        "nan of an absent modality comes through",
        changed(GATE, "x.masked_fill(~mask[m][:, None], 0)", "x"),
        "no influence",
    ),
    Wrong(
        6,
        "no root of d",
        """
def attend(query, keys, values, present):
    scores = np.where(present, keys @ query, -1e9)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True)) * present
    weights = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    return (weights[..., None] * values).sum(axis=1), weights
""",
        "root of the length",
    ),
    Wrong(
        6,
        "mask after the softmax",
        """
def attend(query, keys, values, present):
    scores = keys @ query / np.sqrt(len(query))
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = shares / shares.sum(axis=1, keepdims=True) * present
    return (weights[..., None] * values).sum(axis=1), weights
""",
        "before the softmax",
    ),
    Wrong(
        7,
        "a thing is its own neighbour",
        changed(GRAPH, "    np.fill_diagonal(cosines, -np.inf)\n", ""),
        "own neighbour",
    ),
    Wrong(
        7,
        "rows that sum to one",
        changed(
            GRAPH,
            "np.sqrt(np.maximum(chosen, 1)[:, None] * np.maximum(chosen_by, 1))",
            "np.maximum(chosen, 1)[:, None]",
        ),
        "roots of both degrees",
    ),
    Wrong(
        8,
        "forgets what the thing had",
        """
def propagate(Q, graphs):
    return sum(S @ Q for S in graphs.values()) / len(graphs)
""",
        "keep what the thing had",
    ),
    Wrong(
        9,
        "shuffles each modality by itself",
        changed(
            CONTROL,
            "    return {m: x[source] for m, x in vectors.items()}",
            """
    rows = {m: np.flatnonzero(has[m]) for m in vectors}
    dealt = {m: x.copy() for m, x in vectors.items()}
    for m in vectors:
        dealt[m][rows[m]] = vectors[m][rng.permutation(rows[m])]
    return dealt""",
        ),
        "travel together",
    ),
    Wrong(
        9,
        "verdict by the sign",
        changed(
            CONTROL,
            '"helps" if low > 0 else "hurts" if high < 0 else "no evidence"',
            '"helps" if difference > 0 else "hurts"',
        ),
        "interval holds zero",
    ),
    Wrong(
        9,
        "compares with the shuffled control alone",
        changed(
            CONTROL,
            'best = max(("shuffled", "none"), key=lambda variant: reports[variant]["ndcg@20"])',
            'best = "shuffled"',
        ),
        "best of the controls",
    ),
    Wrong(
        10,
        "the mask says that all pictures are there",
        """
def missing_curve(work):
    found = {"mask": [], "zeros": []}
    for share in (0, 0.25, 0.5, 0.75, 1):
        rest = drop_modality(work.features, share, "image", seed=0).only("text", "image")
        image = np.where(rest.mask["image"][:, None], rest["image"], 0)
        zeros = mm.data.Features({"text": rest["text"], "image": image})
        model = mm.models.create("contentknn").fit(work.split.train, features=zeros)
        value = work.judge(model.score(np.arange(work.data.n_users)), work.split.test)["ndcg@20"]
        found["mask"].append(value)
        found["zeros"].append(value)
    return found
""",
        "other treatment",
    ),
]
