"""Wrong answers as students give them."""

from mmrec_lib.coursework.grading import Wrong

WRONG = [
    Wrong(
        task=1,
        name="the first event of a repeated pair counts as a repeat",
        source="""
def count_repeats(user, item):
    pairs = pd.DataFrame({"user": user, "item": item})
    return int(pairs.duplicated(keep=False).sum())


def leaked_share(train, test):
    return float(np.isin(test.keys(), train.keys()).mean())
""",
        message="its first event is no repeat",
    ),
    Wrong(
        task=1,
        name="leakage by films alone",
        source="""
def count_repeats(user, item):
    return len(user) - len(set(zip(user, item)))


def leaked_share(train, test):
    return float(np.isin(test.item, train.item).mean())
""",
        message="compare films alone",
    ),
    Wrong(
        task=2,
        name="recall divided by k",
        source="""
def recall_at_k(ranked, relevant, k):
    if not relevant:
        return float("nan")
    return len(set(ranked[:k]) & relevant) / k


def precision_at_k(ranked, relevant, k):
    return len(set(ranked[:k]) & relevant) / k
""",
        message="divided by k",
    ),
    Wrong(
        task=2,
        name="precision divided by the length of the list",
        source="""
def recall_at_k(ranked, relevant, k):
    if not relevant:
        return float("nan")
    return len(set(ranked[:k]) & relevant) / len(relevant)


def precision_at_k(ranked, relevant, k):
    return len(set(ranked[:k]) & relevant) / len(ranked[:k])
""",
        message="an empty place is no hit",
    ),
    Wrong(
        task=3,
        name="the ideal list always has k hits",
        source="""
def ndcg_at_k(ranked, relevant, k):
    if not relevant:
        return float("nan")
    discount = 1 / np.log2(np.arange(2, k + 2))
    hits = np.array([film in relevant for film in ranked[:k]], dtype=float)
    return float((hits * discount[: len(hits)]).sum() / discount.sum())
""",
        message="as many hits as there are relevant films",
    ),
    Wrong(
        task=3,
        name="the ideal list is longer than k",
        source="""
def ndcg_at_k(ranked, relevant, k):
    if not relevant:
        return float("nan")
    hits = np.array([film in relevant for film in ranked[:k]], dtype=float)
    dcg = (hits / np.log2(np.arange(2, len(hits) + 2))).sum()
    return float(dcg / (1 / np.log2(np.arange(2, len(relevant) + 2))).sum())
""",
        message="ideal list has k places too",
    ),
    Wrong(
        task=4,
        name="people without held-out films count as zero",
        source="""
def recall_per_person(lists, held_out):
    held = held_out.toarray()
    return np.take_along_axis(held, lists, axis=1).sum(axis=1) / np.maximum(held.sum(axis=1), 1)
""",
        message="not 0 but not defined",
    ),
    Wrong(
        task=4,
        name="a loop over people",
        source="""
def recall_per_person(lists, held_out):
    held, result = held_out.toarray(), []
    for row, mine in zip(held, lists):
        result.append(row[mine].sum() / row.sum() if row.sum() else np.nan)
    return np.array(result)
""",
        message="Python loop",
    ),
    Wrong(
        task=5,
        name="seen films are not hidden",
        source="""
def top_lists(scores, X, k):
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]
""",
        message="must not be on her list",
    ),
    Wrong(
        task=5,
        name="seen films get a score of zero",
        source="""
def top_lists(scores, X, k):
    return np.argsort(-(scores * (X.toarray() == 0)), axis=1, kind="stable")[:, :k]
""",
        message="scores can be negative",
    ),
    Wrong(
        task=6,
        name="a film is its own neighbour",
        source="""
def cosine(X, shrinkage=0):
    together = (X.T @ X).toarray()
    n = np.diag(together)
    below = np.sqrt(np.outer(n, n)) + shrinkage
    return together / np.where(below > 0, below, 1)
""",
        message="its own nearest neighbour",
    ),
    Wrong(
        task=6,
        name="counts without norms",
        source="""
def cosine(X, shrinkage=0):
    together = (X.T @ X).toarray()
    np.fill_diagonal(together, 0)
    return together
""",
        message="without norms",
    ),
    Wrong(
        task=6,
        name="a division by zero for a film that nobody chose",
        source="""
def cosine(X, shrinkage=0):
    together = (X.T @ X).toarray()
    n = np.diag(together)
    similarity = together / (np.sqrt(np.outer(n, n)) + shrinkage)
    np.fill_diagonal(similarity, 0)
    return similarity
""",
        message="contains nan .* division by zero",
    ),
    Wrong(
        task=7,
        name="each film that a person has speaks for its neighbours",
        source="""
def neighbour_scores(X, S, k):
    nearest = np.argsort(-S, axis=1)[:, :k]
    kept = np.zeros_like(S)
    np.put_along_axis(kept, nearest, np.take_along_axis(S, nearest, axis=1), axis=1)
    return X @ kept
""",
        message="candidate listens",
    ),
    Wrong(
        task=7,
        name="all similarities count",
        source="""
def neighbour_scores(X, S, k):
    return X @ S.T
""",
        message="all similarities count",
    ),
    Wrong(
        task=8,
        name="chosen on test",
        source="""
def validation_scores(X, V, settings):
    values = []
    for k, shrinkage in settings:
        lists = top_lists(neighbour_scores(X, cosine(X, shrinkage), k), X, 10)
        values.append(np.nanmean(recall_per_person(lists, split.valid.to_csr())))
    return np.array(values)
""",
        message="does not depend on the argument V",
    ),
    Wrong(
        task=9,
        name="the two models' people are drawn separately",
        source="""
def paired_interval(a, b, n_boot=2000, seed=0):
    keep = ~np.isnan(a) & ~np.isnan(b)
    a, b = a[keep], b[keep]
    rng = np.random.default_rng(seed)
    size = (n_boot, len(a))
    means = a[rng.integers(len(a), size=size)].mean(axis=1) - b[rng.integers(len(a), size=size)].mean(axis=1)
    return (a - b).mean(), *np.percentile(means, [2.5, 97.5])
""",
        message="drawn separately",
    ),
    Wrong(
        task=9,
        name="the spread of people in place of that of the mean",
        source="""
def paired_interval(a, b, n_boot=2000, seed=0):
    d = np.asarray(a) - np.asarray(b)
    d = d[~np.isnan(d)]
    return d.mean(), d.mean() - 1.96 * d.std(), d.mean() + 1.96 * d.std()
""",
        message="spread of people",
    ),
]
