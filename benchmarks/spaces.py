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

# Models that learn from clicks and content, by what they have of their own.
_ADDED = {
    "vbpr": {"map_rate": [0.1, 1.0]},
    "deepstyle": {"map_rate": [0.1, 1.0]},
    "fm": {"map_rate": [0.1, 1.0]},
    "mmgcn": {"layers": [1, 2], "map_rate": [0.003, 0.03, 0.3]},
    "grcn": {"layers": [1, 2, 3], "routing": [1, 3]},
    "lattice": {"layers": [1, 2, 3], "keep": [0.9, 1.0], "item_layers": [1, 2]},
    "freedom": {
        "layers": [1, 2, 3],
        "edge_dropout": ("float", 0.0, 0.8),
        "content_loss": ("log", 0.01, 1.0),
        "item_layers": [1, 2],
    },
    "mgcn": {"layers": [1, 2, 3], "contrast": ("log", 1e-4, 0.1)},
    "bm3": {
        "l2": 0.0,
        "layers": [1, 2, 3],
        "dropout": ("float", 0.1, 0.6),
        "content_loss": ("log", 0.05, 2.0),
        "ranking": [0.0, 1.0],
    },
    "slmrec": {"layers": [1, 2, 3], "contrast": ("log", 1e-4, 0.1), "map_rate": [0.01, 0.1]},
    "diffmm": {
        "layers": [1, 2, 3],
        "residual": [0.0, 0.1, 0.5],
        "generated": [0.0, 0.1],
        "contrast": ("log", 1e-4, 0.1),
    },
}
# With many clicks a person, hard negatives pay, and a few passes are enough.
_FEW_PASSES = {
    "learning_rate": ("log", 4e-3, 4e-2),
    "l2": ("log", 1e-3, 0.2),
    "batch_size": 2048,
    "negatives": "hard",
    "n_negatives": 4,
    "epochs": 40,
    "eval_every": 4,
    "patience": 3,
}
SPACES |= {
    "contentknn": {"k": ("logint", 10, 300)},
    "contentprofile": {"how": ["ridge", "mean"], "l2": ("log", 30.0, 30000.0)},
    "sideease": {"l2": ("log", 10.0, 1000.0), "content": ("log", 0.1, 100.0)},
    "twotower": {
        "dim": 32,
        "learning_rate": ("log", 2e-3, 2e-2),
        "l2": ("log", 0.02, 0.5),
        "fusion": ["concat", "gate", "joint"],
        "batch_size": 512,
        "epochs": 40,
        "eval_every": 4,
        "patience": 2,
    },
    "mmvae": {
        "hidden": [64, 128, 256],
        "dropout": ("float", 0.2, 0.7),
        "beta": ("float", 0.1, 0.8),
        "learning_rate": ("log", 1e-3, 1e-2),
        "batch_size": 128,
        "epochs": 80,
        "eval_every": 10,
        "patience": 2,
    },
} | {model: _FEW_PASSES | added for model, added in _ADDED.items()}

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
#: Where a search begins, if not at the defaults; found by hand on the validation part.
START: dict[str, dict] = (
    {
        "contentprofile": {"l2": 1000.0},
        "sideease": {"l2": 50.0, "content": 5.0},
        "twotower": {"l2": 0.13, "learning_rate": 0.004},
        "bm3": {"learning_rate": 0.005, "ranking": 1.0},
    }
    | {
        model: {"learning_rate": 0.02, "l2": 0.003}
        for model in ("mmgcn", "grcn", "lattice", "freedom", "mgcn", "slmrec", "diffmm")
    }
    | {model: {"learning_rate": 0.01, "l2": 0.05} for model in ("vbpr", "deepstyle", "fm")}
)
#: The same on sparse data (fewer than ten clicks a person).
SPARSE_START: dict[str, dict] = {
    "ease": {"l2": 40.0},
    "rp3beta": {"alpha": 0.6, "beta": 0.05, "k": 500},
    "lightgcn": {"learning_rate": 0.007, "l2": 0.03, "layers": 4, "batch_size": 4096},
    "sideease": {"l2": 40.0, "content": 1.0},
    "vbpr": {"l2": 0.05, "graph_at_test": 3},
    "mmgcn": {"learning_rate": 0.005, "l2": 0.03, "layers": 1, "map_rate": 0.03, "batch_size": 4096},
    "grcn": {"learning_rate": 0.01, "l2": 0.05, "layers": 3, "routing": 1},
    "lattice": {"learning_rate": 0.005, "l2": 0.03, "layers": 3, "keep": 0.9, "batch_size": 4096},
    "freedom": {
        "learning_rate": 0.005,
        "l2": 0.03,
        "layers": 4,
        "edge_dropout": 0.3,
        "content_loss": 0.03,
        "batch_size": 4096,
    },
    "mgcn": {"learning_rate": 0.005, "l2": 0.03, "layers": 4, "batch_size": 4096},
    "bm3": {"learning_rate": 0.003, "ranking": 1.0, "layers": 3, "dropout": 0.3, "content_loss": 0.1},
    "slmrec": {"learning_rate": 0.01, "l2": 0.05, "layers": 4, "contrast": 0.001, "map_rate": 0.1},
    "diffmm": {
        "learning_rate": 0.005,
        "l2": 0.03,
        "layers": 4,
        "residual": 0.0,
        "generated": 0.0,
        "contrast": 0.01,
        "batch_size": 4096,
    },
}
LARGE_START: dict[str, dict] = {
    "bpr": {"learning_rate": 2e-3, "l2": 0.1, "batch_size": 4096},
    "lightgcn": {"learning_rate": 0.01, "l2": 0.02, "layers": 3},
}


#: For the ranking of new items among themselves. ``base_params.dim`` is the ``dim`` within ``base_params``.
_BASE = {
    "base_params.dim": [32, 64, 128],
    "base_params.alpha": ("log", 2.0, 100.0),
    "base_params.l2": ("log", 2.0, 60.0),
}
NEW_ITEMS: dict[str, dict] = {
    "coldmap": _BASE | {"l2": ("log", 1.0, 100.0)},
    "dropoutnet": _BASE | {"dropout": ("float", 0.3, 0.9), "epochs": [10, 30, 60, 120], "eval_every": 1000},
    "clcrec": {
        "learning_rate": ("log", 2e-3, 2e-2),
        "l2": ("log", 0.003, 0.1),
        "mix": ("float", 0.3, 0.9),
        "content_loss": ("log", 0.02, 1.0),
        "epochs": [10, 20, 40],
        "eval_every": 1000,
    },
    "categorypop": {"smoothing": ("log", 0.1, 100.0), "n_clusters": ("logint", 20, 200)},
    "contentknn": {"k": ("logint", 5, 300)},
    "contentprofile": {"how": "ridge", "l2": ("log", 100.0, 100000.0)},
    "sideease": {"l2": ("log", 30.0, 3000.0), "content": ("log", 0.3, 100.0)},
}
_BASE_START = {"base_params.dim": 64, "base_params.alpha": 10.0, "base_params.l2": 20.0}
NEW_ITEMS_START: dict[str, dict] = {
    "coldmap": _BASE_START,
    "dropoutnet": _BASE_START,
    "contentprofile": {"l2": 3000.0},
    "sideease": {"l2": 300.0, "content": 5.0},
}
NEW_ITEMS_SPARSE_START = {
    "coldmap": _BASE_START | {"base_params.alpha": 30.0},
    "dropoutnet": _BASE_START | {"base_params.alpha": 30.0, "epochs": 10},
    "clcrec": {"epochs": 10},
}

#: Sparse data sets want smoothing over the graph more than comparison with hard negatives.
SPARSE: dict[str, dict] = {
    "lightgcn": {
        "learning_rate": ("log", 3e-3, 2e-2),
        "l2": ("log", 0.01, 0.2),
        "layers": [2, 3, 4],
        "batch_size": [4096, 8192],
        "epochs": 120,
        "patience": 3,
    },
}
# Embeddings that few clicks teach want a strong penalty, slow learning and more passes.
_MANY_PASSES = {
    "learning_rate": ("log", 2e-3, 1.5e-2),
    "l2": ("log", 0.01, 0.2),
    "batch_size": [8192, 4096],
    "epochs": 200,
    "eval_every": 5,
    "patience": 4,
}
SPARSE |= {model: _MANY_PASSES | added for model, added in _ADDED.items()}
for _model in ("grcn", "lattice", "freedom", "mgcn", "bm3", "slmrec", "diffmm"):
    SPARSE[_model] |= {"layers": [2, 3, 4]}  # where few meet, smoothing has to reach further
SPARSE["vbpr"] |= {"graph_at_test": [0, 2, 3]}


def space(model: str, split) -> dict:
    """Where to look for a model's parameters on a data set."""
    if len(split.train) > 100_000:
        return LARGE.get(model, SPACES[model])
    return SPARSE.get(model, SPACES[model]) if _sparse(split) else SPACES[model]


def start(model: str, split) -> dict:
    """Parameters of the first trial, where they are not the defaults."""
    if len(split.train) > 100_000:
        return LARGE_START.get(model, {})
    return (SPARSE_START if _sparse(split) else START).get(model, {})


def start_for_new_items(model: str, split) -> dict:
    """Parameters of the first trial of a search for new items, where they are not the defaults."""
    sparse = NEW_ITEMS_SPARSE_START.get(model) if _sparse(split) else None
    return sparse or NEW_ITEMS_START.get(model, {})


def _sparse(split) -> bool:
    return len(split.train) < 10 * split.train.n_users
