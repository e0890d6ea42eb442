"""Wrong answers as students give them: the public check of the task must notice each, and say why."""

from mmrec_lib.coursework.grading import Wrong

TFIDF = """
def idf_weights(known_texts):
    holds = {}
    for text in known_texts:
        for word in set(tokenize(text)):
            holds[word] = holds.get(word, 0) + 1
    return {word: 1 + np.log((1 + len(known_texts)) / (1 + n)) for word, n in holds.items()}

def tfidf(texts, idf):
    column = {word: j for j, word in enumerate(idf)}
    rows = np.zeros((len(texts), len(idf)))
    for i, text in enumerate(texts):
        for word in tokenize(text):
            if word in column:
                rows[i, column[word]] += idf[word]
"""

SOUND = """
def log_mel(wave, filters):
    n = 1 + max(0, int(np.ceil((len(wave) - 1024) / 512)))
    padded = np.zeros((n - 1) * 512 + 1024)
    padded[: len(wave)] = wave
    frames = np.stack([padded[t * 512 : t * 512 + 1024] for t in range(n)])
    h = get_window("hann", 1024)
    power = 4 / h.sum() ** 2 * np.abs(np.fft.rfft(frames * h, axis=1)) ** 2
    return 10 * np.log10(np.maximum(power @ filters, 1e-8))

def sound_vector(wave, filters):
    if not np.any(wave):
        return None
    bands = log_mel(wave, filters)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])
"""

SEARCH = """
def search(queries, items, has, k):
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    items = items / np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-12)
    scores = queries @ items.T
    scores[:, ~np.asarray(has)] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]

def recall_at_k(found, own, k):
    return float((np.asarray(found)[:, :k] == np.asarray(own)[:, None]).any(axis=1).mean())
"""

PROBE = """
def standardise(X, train):
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    return (X - mean) / np.where(deviation > 1e-8, deviation, 1)

def probe(X, y, train, valid, test, penalties):
    X = standardise(X, train)
    models = {C: LogisticRegression(C=C, max_iter=1000).fit(X[train], y[train]) for C in penalties}
    best = max(models, key=lambda C: models[C].score(X[valid], y[valid]))
    right = models[best].predict(X[test]) == y[test]
    return {"C": best, "accuracy": float(right.mean()), "right": right}
"""

LOSS = """
def info_nce(U, V, temperature):
    U = U / np.linalg.norm(U, axis=1, keepdims=True)
    V = V / np.linalg.norm(V, axis=1, keepdims=True)
    S = U @ V.T / temperature
    def log_share(S):
        top = S.max(axis=1, keepdims=True)
        return np.diag(S) - top[:, 0] - np.log(np.exp(S - top).sum(axis=1))
    return float(-(log_share(S).mean() + log_share(S.T).mean()) / 2)
"""

ABSENT = """
def scale_present(vectors, has):
    mean, deviation = vectors[has].mean(axis=0), vectors[has].std(axis=0)
    scaled = (vectors - mean) / np.where(deviation > 1e-8, deviation, 1)
    return np.where(has[:, None], scaled, 0)

def similarity(vectors, has):
    total = shared = 0
    for m, x in vectors.items():
        unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        both = has[m][:, None] & has[m][None, :]
        total = total + np.where(both, unit @ unit.T, 0)
        shared = shared + both
    return total / np.maximum(shared, 1)
"""

COMPARED = """
def compare_encoders(work):
    def judge(modality, k, part):
        model = mm.models.create("contentknn", k=k)
        model.fit(work.split.train, features=work.features.only(modality))
        return mm.evaluation.evaluate(model, part, train=work.split.train, metrics="ndcg", ks=20)

    chosen = {m: max((5, 10, 20, 50), key=lambda k: judge(m, k, work.split.valid)["ndcg@20"])
              for m in ("text", "image")}
    reports = {m: judge(m, k, work.split.test) for m, k in chosen.items()}
    row = mm.evaluation.compare(reports["image"], reports["text"], "ndcg@20").loc["ndcg@20"]
    return {"k": chosen, **{m: report["ndcg@20"] for m, report in reports.items()},
            **{name: float(row[name]) for name in ("difference", "ci_low", "ci_high")}}
"""


def changed(source: str, old: str, new: str) -> str:
    """A right answer with one mistake."""
    if old not in source:
        raise ValueError(f"{old!r} does not occur")
    return source.replace(old, new)


LENGTH = "    length = np.linalg.norm(rows, axis=1, keepdims=True)\n"

WRONG = [
    Wrong(1, "rows not scaled to length 1", TFIDF + "    return rows\n", "length 1"),
    Wrong(1, "divides by a length of zero", TFIDF + LENGTH + "    return rows / length\n", "division by zero"),
    Wrong(
        1,
        "fits anew on the texts that it is given",
        TFIDF.replace("def tfidf(texts, idf):", "def tfidf(texts, idf):\n    words = idf_weights(texts)").replace(
            "+= idf[word]", "+= words[word]"
        )
        + LENGTH
        + "    return rows / np.where(length > 0, length, 1)\n",
        "known texts",
    ),
    Wrong(
        2,
        "does not look at the opacity",
        """
def colour_histogram(pixels):
    red, green, blue = (pixels.reshape(-1, 4)[:, :3].astype(int) * 6 // 256).T
    return np.bincount(36 * red + 6 * green + blue, minlength=216) / red.size
""",
        "opacity",
    ),
    Wrong(
        2,
        "bytes overflow",
        """
def colour_histogram(pixels):
    flat = pixels.reshape(-1, 4)
    red, green, blue = (flat[:, :3] * 6 >> 8).T.astype(int)
    weight = flat[:, 3] if flat[:, 3].any() else np.ones(len(flat))
    counts = np.bincount(36 * red + 6 * green + blue, weights=weight, minlength=216)
    return counts / counts.sum()
""",
        "overflow",
    ),
    Wrong(
        3,
        "cuts the last frame off",
        changed(SOUND, "np.ceil(", "np.floor(").replace(
            "padded[: len(wave)] = wave", "padded[: len(wave)] = wave[: len(padded)]"
        ),
        "last frame",
    ),
    Wrong(3, "silence becomes a vector", changed(SOUND, "if not np.any(wave)", "if len(wave) == 0"), "silen"),
    Wrong(
        4,
        "a product lets nan through",
        """
def mean_pool(states, mask):
    return (states * mask[..., None]).sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
""",
        "np.where",
    ),
    Wrong(
        5,
        "scalar product without lengths",
        """
def search(queries, items, has, k):
    scores = queries @ items.T
    scores[:, ~np.asarray(has)] = -np.inf
    return np.argsort(-scores, axis=1)[:, :k]
"""
        + SEARCH[SEARCH.index("def recall") :],
        "scalar product",
    ),
    Wrong(
        5,
        "finds items without a vector",
        changed(SEARCH, "    scores[:, ~np.asarray(has)] = -np.inf\n", ""),
        "without a vector",
    ),
    Wrong(5, "divides by k", changed(SEARCH, ".mean())", ".mean() / k)"), "do not divide by k"),
    Wrong(
        6,
        "scaler fitted on all rows",
        changed(PROBE, "X[train].mean(axis=0), X[train].std(axis=0)", "X.mean(axis=0), X.std(axis=0)"),
        "only the rows",
    ),
    Wrong(
        6,
        "penalty chosen on test",
        changed(PROBE, "score(X[valid], y[valid])", "score(X[test], y[test])"),
        "chosen by the test rows",
    ),
    Wrong(
        6,
        "standardises the whole table in the probe",
        changed(PROBE, "standardise(X, train)\n    models", "(X - X.mean(0)) / X.std(0)\n    models"),
        "scaler has seen all rows",
    ),
    Wrong(
        7,
        "one direction",
        changed(LOSS, "-(log_share(S).mean() + log_share(S.T).mean()) / 2", "-log_share(S).mean()"),
        "one direction",
    ),
    Wrong(
        8,
        "zeros counted as measurements",
        changed(
            ABSENT, "vectors[has].mean(axis=0), vectors[has].std(axis=0)", "vectors.mean(axis=0), vectors.std(axis=0)"
        ),
        "have one",
    ),
    Wrong(
        8,
        "an absent modality counts as a cosine of 0",
        changed(ABSENT, "np.maximum(shared, 1)", "len(vectors)"),
        "both have",
    ),
    Wrong(
        9,
        "draws a and b apart",
        """
def paired_interval(a, b, n_boot=2000, seed=0):
    rng = np.random.default_rng(seed)
    n = len(a)
    means = a[rng.integers(0, n, (n_boot, n))].mean(1) - b[rng.integers(0, n, (n_boot, n))].mean(1)
    return (a - b).mean(), *np.quantile(means, [0.025, 0.975])
""",
        "drawn apart",
    ),
    Wrong(
        9,
        "spread of people in place of the mean",
        """
def paired_interval(a, b, n_boot=2000, seed=0):
    d = a - b
    return d.mean(), d.mean() - 1.96 * d.std(), d.mean() + 1.96 * d.std()
""",
        "bootstrap means",
    ),
    Wrong(
        10,
        "k chosen on test",
        changed(COMPARED, 'judge(m, k, work.split.valid)["ndcg@20"]', 'judge(m, k, work.split.test)["ndcg@20"]'),
        "chosen on the test part",
    ),
]
