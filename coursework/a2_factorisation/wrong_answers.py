"""Wrong answers that students give to assignment 2; tests prove that checks and hidden tests notice each of them."""

from mmrec_lib.coursework.grading import Wrong

PREDICT = """
def predict(mean, b_user, b_item, P, Q, users, items):
    return mean + b_user[users] + b_item[items] + (P[users] * Q[items]).sum(axis=1)
"""
ALS = """
def als(X, dim, alpha, l2, rounds=10, seed=0):
    Q = np.random.default_rng(seed).normal(0, 0.1 / np.sqrt(dim), (X.shape[1], dim))
    for _ in range(rounds):
        P = als_step(X, Q, alpha, l2)
        Q = als_step(X.T, P, alpha, l2)
    return als_step(X, Q, alpha, l2), Q
"""
NUMERIC = """
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += h
        down[place] -= h
        gradient[place] = (f(up) - f(down)) / (2 * h)
    return gradient
"""
BPR_LOSS = """
def bpr_loss(positive, negative):
    return float(np.logaddexp(0, negative - positive).mean())
"""
STEP = """
def train_step(P, Q, optimiser, users, positive, negative, l2):
    p, q_i, q_j = P[users], Q[positive], Q[negative]
    difference = (p * (q_i - q_j)).sum(dim=1)
    penalty = (p**2).sum(dim=1) + (q_i**2).sum(dim=1) + (q_j**2).sum(dim=1)
    loss = (F.softplus(-difference) + l2 / 2 * penalty).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
"""
LOOP = """
def train_bpr(train, dim, l2, learning_rate=0.03, epochs=10, batch_size=512, seed=0,
              step=train_step, sample=sample_negatives):
    rng = np.random.default_rng(seed)
    seen = train.to_csr().toarray() > 0
    P, Q = (torch.tensor(rng.normal(0, 0.1, (n, dim)), dtype=torch.float32, requires_grad=True)
            for n in (train.n_users, train.n_items))
    optimiser = torch.optim.Adam([P, Q], lr=learning_rate)
    for _ in range(epochs):
        order = rng.permutation(len(train))
        for begin in range(0, len(order), batch_size):
            batch = order[begin:begin + batch_size]
            users, positive = train.user[batch], train.item[batch]
            negative = sample(users, seen, rng)
            codes = (torch.as_tensor(c, dtype=torch.int64) for c in (users, positive, negative))
            step(P, Q, optimiser, *codes, l2)
    return P.detach().numpy(), Q.detach().numpy()
"""


def changed(source: str, old: str, new: str) -> str:
    """A right answer with one mistake."""
    assert source.count(old) >= 1, old
    return source.replace(old, new)


LOSS = """
def mf_loss(mean, b_user, b_item, P, Q, users, items, ratings, l2):
    error = ratings - predict(mean, b_user, b_item, P, Q, users, items)
    penalty = b_user[users] ** 2 + b_item[items] ** 2
    penalty = penalty + (P[users] ** 2).sum(axis=1) + (Q[items] ** 2).sum(axis=1)
    return float(0.5 * (error**2 + l2 * penalty).sum())
"""
GRADIENT = """
def rating_gradient(mean, b_u, b_i, p, q, r, l2):
    e = r - (mean + b_u + b_i + p @ q)
    return -e + l2 * b_u, -e + l2 * b_i, -e * q + l2 * p, -e * p + l2 * q
"""
USER = """
def als_user(Q, items, alpha, l2):
    own = Q[items]
    left = Q.T @ Q + alpha * own.T @ own + l2 * np.eye(Q.shape[1])
    return np.linalg.solve(left, (1 + alpha) * own.sum(axis=0))
"""
TRIPLE = """
def bpr_gradient(p, q_i, q_j, l2):
    g = np.exp(-np.logaddexp(0, p @ (q_i - q_j)))
    return -g * (q_i - q_j) + l2 * p, -g * p + l2 * q_i, g * p + l2 * q_j
"""
INTERVAL = """
def paired_interval(a, b, n_boot=2000, seed=0):
    gap = np.asarray(a) - np.asarray(b)
    rows = np.random.default_rng(seed).integers(len(gap), size=(n_boot, len(gap)))
    low, high = np.percentile(gap[rows].mean(axis=1), [2.5, 97.5])
    return float(gap.mean()), float(low), float(high)
"""
NEWCOMER = """
def for_newcomer(Q, items, alpha, l2, k=10, solve=als_user):
    scores = Q @ solve(Q, items, alpha, l2)
    scores[items] = -np.inf
    return np.argsort(-scores)[:k]
"""

WRONG = [
    Wrong(1, "regularisation forgotten", PREDICT + changed(LOSS, " + l2 * penalty", ""), "regularisation is missing"),
    Wrong(1, "regularisation subtracted", PREDICT + changed(LOSS, "+ l2 * penalty", "- l2 * penalty"), "wrong sign"),
    Wrong(1, "no mean rating", changed(PREDICT, "mean + b_user", "b_user") + LOSS, "mean"),
    Wrong(
        1,
        "penalty once a person and film",
        PREDICT
        + """
def mf_loss(mean, b_user, b_item, P, Q, users, items, ratings, l2):
    error = ratings - predict(mean, b_user, b_item, P, Q, users, items)
    penalty = (b_user**2).sum() + (b_item**2).sum() + (P**2).sum() + (Q**2).sum()
    return 0.5 * ((error**2).sum() + l2 * penalty)
""",
        "once a rating",
    ),
    Wrong(2, "uphill", changed(GRADIENT, "e = r - (", "e = -r + (") + NUMERIC, "error has the wrong sign"),
    Wrong(2, "regularisation forgotten", changed(GRADIENT, "l2 *", "0 *") + NUMERIC, "regularisation is missing"),
    Wrong(
        2,
        "one-sided differences",
        GRADIENT + changed(changed(NUMERIC, "down[place] -= h", "pass"), "(2 * h)", "h"),
        "one-sided",
    ),
    Wrong(3, "no identity", changed(USER, " + l2 * np.eye(Q.shape[1])", ""), "identity is missing"),
    Wrong(3, "penalty on every cell", changed(USER, "l2 * np.eye(Q.shape[1])", "l2"), "on the diagonal"),
    Wrong(3, "zeros left out", changed(USER, "Q.T @ Q + ", ""), "zeros are missing"),
    Wrong(
        4,
        "a loop over people",
        """
def als_step(X, Q, alpha, l2):
    return np.array([als_user(Q, np.flatnonzero(row), alpha, l2) for row in X])
"""
        + ALS,
        "one system at a time",
    ),
    Wrong(
        4,
        "P of the round before",
        """
def als_step(X, Q, alpha, l2):
    d = Q.shape[1]
    outer = (Q[:, :, None] * Q[:, None, :]).reshape(len(Q), d * d)
    left = Q.T @ Q + l2 * np.eye(d) + alpha * (X @ outer).reshape(len(X), d, d)
    return np.linalg.solve(left, (1 + alpha) * (X @ Q)[:, :, None])[:, :, 0]
"""
        + changed(ALS, "return als_step(X, Q, alpha, l2), Q", "return P, Q"),
        "solve for the people once more",
    ),
    Wrong(
        5,
        "negatives that are seen",
        """
def sample_negatives(users, seen, rng):
    return rng.integers(seen.shape[1], size=len(users))
""",
        "has chosen",
    ),
    Wrong(
        5,
        "redraws once and hopes",
        """
def sample_negatives(users, seen, rng):
    items = rng.integers(seen.shape[1], size=len(users))
    wrong = seen[users, items]
    items[wrong] = rng.integers(seen.shape[1], size=wrong.sum())
    return items
""",
        "has chosen",
    ),
    Wrong(
        5,
        "a generator of its own",
        """
def sample_negatives(users, seen, rng):
    rng = np.random.default_rng(0)
    items = rng.integers(seen.shape[1], size=len(users))
    while (wrong := seen[users, items]).any():
        items[wrong] = rng.integers(seen.shape[1], size=wrong.sum())
    return items
""",
        "rng that is passed in",
    ),
    Wrong(6, "swapped", changed(BPR_LOSS, "negative - positive", "positive - negative") + TRIPLE, "swapped"),
    Wrong(
        6,
        "overflow",
        """
def bpr_loss(positive, negative):
    return float(-np.log(1 / (1 + np.exp(-(positive - negative)))).mean())
"""
        + TRIPLE,
        "overflow",
    ),
    Wrong(6, "regularisation forgotten", BPR_LOSS + changed(TRIPLE, "l2 *", "0 *"), "regularisation is missing"),
    Wrong(6, "gradient swapped", BPR_LOSS + changed(TRIPLE, "g = np", "g = -np"), "swapped in the gradient"),
    Wrong(7, "gradients never cleared", changed(STEP, "    optimiser.zero_grad()\n", ""), "zero_grad"),
    Wrong(7, "swapped", changed(STEP, "softplus(-difference)", "softplus(difference)"), "swapped"),
    Wrong(7, "sum over the batch", changed(STEP, ").mean()", ").sum()"), "mean over the batch"),
    Wrong(7, "whole tables penalised", changed(STEP, "(p**2).sum(dim=1)", "(P**2).sum()"), "vectors of the batch only"),
    Wrong(8, "last batch forgotten", changed(LOOP, "len(order), batch", "len(order) - batch_size + 1, batch"), "last"),
    Wrong(8, "never shuffled", changed(LOOP, "rng.permutation(len(train))", "np.arange(len(train))"), "shuffle"),
    Wrong(8, "the seed is not used", changed(LOOP, "np.random.default_rng(seed)", "np.random.default_rng()"), "differ"),
    Wrong(
        8,
        "negatives not filtered",
        changed(LOOP, "sample(users, seen, rng)", "rng.integers(train.n_items, size=len(users))"),
        "chosen by the person",
    ),
    Wrong(
        9,
        "tuned on test",
        """
def choose(settings, fit, judge, split):
    scores = [judge(fit(setting, split.train), split.test) for setting in settings]
    return settings[int(np.argmax(scores))], scores
""",
        "tuned on test",
    ),
    Wrong(
        10,
        "not paired",
        """
def paired_interval(a, b, n_boot=2000, seed=0):
    rng = np.random.default_rng(seed)
    n = len(a)
    means = [a[rng.integers(n, size=n)].mean() - b[rng.integers(n, size=n)].mean() for _ in range(n_boot)]
    low, high = np.percentile(means, [2.5, 97.5])
    return a.mean() - b.mean(), low, high
""",
        "paired",
    ),
    Wrong(10, "spread of single people", changed(INTERVAL, "gap[rows].mean(axis=1)", "gap"), "single people"),
    Wrong(10, "b minus a", changed(INTERVAL, "np.asarray(a) - np.asarray(b)", "np.subtract(b, a)"), "a minus b"),
    Wrong(11, "chosen films come again", changed(NEWCOMER, "    scores[items] = -np.inf\n", ""), "already"),
    Wrong(11, "worst first", changed(changed(NEWCOMER, "-np.inf", "np.inf"), "(-scores)", "(scores)"), "worst"),
]  # fmt: skip
