"""Wrong answers that students give to assignment 5; tests prove that checks and hidden tests notice each of them."""

from mmrec_lib.coursework.grading import Wrong


def changed(source: str, old: str, new: str) -> str:
    """A right answer with one mistake."""
    assert source.count(old) >= 1, old
    return source.replace(old, new)


LEAKS = """
def leaks(item, part):
    pairs = np.unique(np.column_stack([item, part]), axis=0)
    codes, count = np.unique(pairs[:, 0], return_counts=True)
    return codes[count > 1]
"""
SPLIT = """
def cold_split(item, seed, shares=(0.7, 0.1, 0.2)):
    things = np.random.default_rng(seed).permutation(np.unique(item))
    n_valid, n_test = (round(share * len(things)) for share in shares[1:])
    part = np.zeros(len(item), int)
    part[np.isin(item, things[:n_test])] = 2
    part[np.isin(item, things[n_test:n_test + n_valid])] = 1
    return part
"""
NEIGHBOURS = """
def content_neighbours(clicked, content, has, known, new, k):
    usable = np.flatnonzero(has & known)
    length = np.linalg.norm(content, axis=1, keepdims=True)
    unit = content / np.where(length > 0, length, 1)
    alike = unit[new] @ unit[usable].T
    nearest = np.argsort(-alike, axis=1)[:, :k]
    weights = np.zeros_like(alike)
    np.put_along_axis(weights, nearest, np.take_along_axis(alike, nearest, axis=1), axis=1)
    scores = clicked[:, usable] @ weights.T
    scores[:, ~has[new]] = -np.inf
    return scores
"""
FIT = """
def fit_map(content, Q, rows, l2):
    x_mean, q_mean = content[rows].mean(axis=0), Q[rows].mean(axis=0)
    x, q = content[rows] - x_mean, Q[rows] - q_mean
    return np.linalg.solve(x.T @ x + l2 * np.eye(x.shape[1]), x.T @ q), x_mean, q_mean
"""
PREDICT = """
def predict_vectors(content, has, W, x_mean, q_mean):
    vectors = q_mean + (content - x_mean) @ W
    vectors[~has] = q_mean
    return vectors
"""
LENGTH = """
def same_length(vectors, known):
    length = np.linalg.norm(vectors, axis=1)
    factor = length[known].mean() / length[~known].mean()
    return np.where(known[:, None], vectors, factor * vectors)
"""
NUMBERS = """
def three_numbers(model, test, train, new):
    def ndcg(part, **options):
        return evaluate(model, part, train, metrics="ndcg", ks=20, **options)["ndcg@20"]

    fresh = np.isin(test.item, new)
    return {"new among new": ndcg(test, candidates=new),
            "new among all": ndcg(test.select(fresh)),
            "known among all": ndcg(test.select(~fresh))}
"""
SHUFFLED = """
def shuffled(content, has, seed):
    rows = np.flatnonzero(has)
    result = content.copy()
    result[rows] = content[np.random.default_rng(seed).permutation(rows)]
    return result
"""
GREEDY = """
def greedy_questions(C, n, noise, pool):
    C, asked = C.copy(), []
    for _ in range(n):
        worth = np.full(len(C), -np.inf)
        worth[pool] = ((C**2).sum(axis=0) / (np.diag(C) + noise))[pool]
        worth[asked] = -np.inf
        q = int(worth.argmax())
        asked.append(q)
        C -= np.outer(C[:, q], C[q]) / (C[q, q] + noise)
    return np.array(asked)
"""
READ = """
def read_answers(mean, C, asked, answers, noise):
    inner = C[np.ix_(asked, asked)] + noise * np.eye(len(asked))
    return mean + C[:, asked] @ np.linalg.solve(inner, answers - mean[asked])
"""
LINUCB = """
def linucb_choose(A, b, x, alpha):
    inverse = np.linalg.inv(A)
    wide = np.sqrt(((x @ inverse) * x).sum(axis=1))
    return int((x @ (inverse @ b) + alpha * wide).argmax())


def linucb_update(A, b, x_shown, click):
    return A + np.outer(x_shown, x_shown), b + click * x_shown
"""

WRONG = [
    Wrong(
        1,
        "clicks divided instead of things",
        """
def cold_split(item, seed, shares=(0.7, 0.1, 0.2)):
    return np.random.default_rng(seed).choice(3, len(item), p=shares)
"""
        + LEAKS,
        "you divided events",
    ),
    Wrong(
        1,
        "shares of codes, not of things that occur",
        changed(SPLIT, "np.unique(item)", "np.arange(item.max() + 1)") + LEAKS,
        "things that occur",
    ),
    Wrong(
        1,
        "train and test compared only",
        SPLIT
        + """
def leaks(item, part):
    return np.intersect1d(item[part == 0], item[part == 2])
""",
        "validation leaks as well",
    ),
    Wrong(
        1,
        "validation and test not compared",
        SPLIT
        + """
def leaks(item, part):
    return np.intersect1d(item[part == 0], item[part > 0])
""",
        "validation and test may share",
    ),
    Wrong(
        2,
        "cosine without norms",
        changed(NEIGHBOURS, "content / np.where(length > 0, length, 1)", "content"),
        "dot product",
    ),
    Wrong(2, "zero vectors as neighbours", changed(NEIGHBOURS, "has & known", "known"), "not a zero vector"),
    Wrong(2, "new things as neighbours", changed(NEIGHBOURS, "has & known", "has"), "a new thing is among"),
    Wrong(
        2,
        "a new thing without content gets zeros",
        changed(NEIGHBOURS, "    scores[:, ~has[new]] = -np.inf\n", ""),
        "without content got scores",
    ),
    Wrong(3, "no penalty", changed(FIT, " + l2 * np.eye(x.shape[1])", "") + PREDICT, "penalty is missing"),
    Wrong(3, "fitted on all things", changed(FIT, "[rows]", "") + PREDICT, "all things were used"),
    Wrong(
        3,
        "not centred",
        changed(FIT, "content[rows] - x_mean, Q[rows] - q_mean", "content[rows], Q[rows]") + PREDICT,
        "centre",
    ),
    Wrong(
        3,
        "zero vectors through the map",
        FIT + changed(PREDICT, "    vectors[~has] = q_mean\n", ""),
        "as a zero vector",
    ),
    Wrong(
        4, "each vector on its own", changed(LENGTH, "length[~known].mean()", "length[:, None]"), "one factor for all"
    ),
    Wrong(
        4,
        "upside down",
        changed(LENGTH, "length[known].mean() / length[~known].mean()", "length[~known].mean() / length[known].mean()"),
        "upside down",
    ),
    Wrong(5, "candidates forgotten", changed(NUMBERS, "ndcg(test, candidates=new)", "ndcg(test)"), "candidates=new"),
    Wrong(
        5,
        "only new things compete",
        changed(NUMBERS, "ndcg(test.select(fresh))", "ndcg(test.select(fresh), candidates=new)"),
        "known things compete",
    ),
    Wrong(
        6,
        "mixed within columns",
        """
def shuffled(content, has, seed):
    result = content.copy()
    result[has] = np.random.default_rng(seed).permuted(content[has], axis=0)
    return result
""",
        "whole rows",
    ),
    Wrong(
        6,
        "gaps take part",
        changed(SHUFFLED, "np.flatnonzero(has)", "np.arange(len(has))"),
        "without content took part",
    ),
    Wrong(6, "in place", changed(SHUFFLED, "result = content.copy()", "result = content"), "work on a copy"),
    Wrong(
        7,
        "asks without listening",
        changed(GREEDY, "        C -= np.outer(C[:, q], C[q]) / (C[q, q] + noise)\n", ""),
        "not updated",
    ),
    Wrong(
        7, "pool forgotten", changed(changed(GREEDY, "worth[pool] =", "worth[:] ="), "[pool]", ""), "not in the pool"
    ),
    Wrong(8, "answers not centred", changed(READ, "answers - mean[asked]", "answers"), "subtract mean"),
    Wrong(8, "no noise", changed(READ, " + noise * np.eye(len(asked))", ""), "noise is missing|LinAlgError"),
    Wrong(
        9,
        "no root",
        changed(LINUCB, "np.sqrt(((x @ inverse) * x).sum(axis=1))", "((x @ inverse) * x).sum(axis=1)"),
        "square root",
    ),
    Wrong(9, "never explores", changed(LINUCB, "+ alpha * wide", ""), "greedy"),
    Wrong(9, "A grows with clicks only", changed(LINUCB, "A + np.outer", "A + click * np.outer"), "A does not grow"),
]
