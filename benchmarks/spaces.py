"""Where to look: the hyperparameters that the search may change, by model; a search begins with the defaults."""

from __future__ import annotations

SPACES: dict[str, dict] = {
    "userknn": {
        "k": ("logint", 20, 1000),
        "similarity": ["cosine", "jaccard", "tfidf", "bm25"],
        "shrinkage": ("log", 0.1, 100.0),
    },
    "itemknn": {
        "k": ("logint", 20, 1000),
        "similarity": ["cosine", "jaccard", "tfidf", "bm25"],
        "shrinkage": ("log", 0.1, 3000.0),
        "alpha": ("float", 0.2, 0.8),
    },
    "rp3beta": {"alpha": ("float", 0.2, 1.6), "beta": ("float", 0.0, 0.9), "k": ("logint", 20, 1000)},
    "ease": {"l2": ("log", 10.0, 5000.0)},
    "slim": {"l1": ("log", 0.1, 30.0), "l2": ("log", 1.0, 1000.0)},
    "als": {
        "dim": ("logint", 8, 128),
        "alpha": ("log", 0.5, 100.0),
        "l2": ("log", 0.5, 500.0),
        "nu": ("float", 0.0, 1.0),
    },
    "biasedmf": {"dim": ("logint", 4, 128), "l2": ("log", 0.01, 1.0)},
    "bpr": {
        "dim": [32, 64],
        "learning_rate": ("log", 1e-3, 1e-2),
        "l2": ("log", 1e-3, 0.1),
        "negatives": ["uniform", "hard"],
        "n_negatives": [1, 2, 4],
        "batch_size": 4096,
        "epochs": 60,
        "patience": 2,
    },
    "lightgcn": {
        "learning_rate": ("log", 3e-3, 6e-2),
        "l2": ("log", 1e-3, 6e-2),
        "layers": [1, 2, 3],
        "dim": 32,
        "negatives": "hard",
        "n_negatives": 4,
        "epochs": 50,
        "patience": 2,
    },
    "neumf": {
        "dim": [16, 32],
        "dropout": ("float", 0.0, 0.5),
        "l2": ("log", 1e-3, 0.1),
        "learning_rate": ("log", 1e-3, 1e-2),
        "n_negatives": [1, 2, 4],
        "epochs": 40,
        "eval_every": 4,
        "patience": 2,
    },
    "multvae": {
        "hidden": [128, 256],
        "dim": [32, 64, 128],
        "dropout": ("float", 0.2, 0.7),
        "beta": ("float", 0.05, 0.6),
        "learning_rate": ("log", 5e-4, 5e-3),
        "epochs": 120,
        "eval_every": 5,
        "patience": 4,
    },
}

# On the larger graphs an epoch takes seconds, and a search has few trials: fewer dimensions, and a start that is known
# to be sensible there. Sparse data want a strong penalty.
LARGE: dict[str, dict] = {
    "bpr": {
        "learning_rate": ("log", 1e-3, 1e-2),
        "l2": ("log", 0.02, 0.4),
        "batch_size": [2048, 4096, 8192],
        "epochs": 200,
        "eval_every": 10,
        "patience": 2,
    },
    "lightgcn": {
        "learning_rate": ("log", 3e-3, 3e-2),
        "l2": ("log", 0.005, 0.05),
        "layers": [2, 3],
        "epochs": 100,
        "eval_every": 10,
        "patience": 2,
    },
}
LARGE_START: dict[str, dict] = {
    "bpr": {"learning_rate": 2e-3, "l2": 0.1, "batch_size": 4096},
    "lightgcn": {"learning_rate": 0.01, "l2": 0.02, "layers": 3},
}


def space(model: str, n_interactions: int) -> dict:
    """Where to look for a model's parameters, on a data set of that many training interactions."""
    return LARGE.get(model, SPACES[model]) if n_interactions > 100_000 else SPACES[model]


def start(model: str, n_interactions: int) -> dict:
    """Parameters of the first trial, where they are not the defaults."""
    return LARGE_START.get(model, {}) if n_interactions > 100_000 else {}
