"""Models of cornac and implicit with our ``fit`` and ``score``, so that one search and one evaluator serve all.

Each computes its scores the way its own library does; seen items are masked by the evaluator.
"""

from __future__ import annotations

import numpy as np

# -- cornac ---------------------------------------------------------------------------------------------------------


def cornac_data(train):
    """A cornac data set, and the items that it knows: those of the training part, as cornac's own readers have it.

    Users keep their codes; an item's code there is its place in the returned array.
    """
    from cornac.data import Dataset

    seen = train.to_csr().tocoo()
    known, items = np.unique(seen.col, return_inverse=True)
    codes = (seen.row.astype(int), items, np.ones(seen.nnz))
    sizes = (train.n_users, len(known))
    return Dataset(*sizes, *({i: i for i in range(n)} for n in sizes), codes, seed=0), known


class CornacModel:
    """Base of cornac's models; ``make()`` gives the library's own, ``known_scores(users)`` what it thinks."""

    def fit(self, train, features=None, valid=None):
        data, self.known = cornac_data(train)
        self.n_items = train.n_items
        self.model = self.make()
        self.model.fit(data)
        return self

    def score(self, users):
        scores = np.full((len(users), self.n_items), -np.inf, np.float32)  # what it does not know comes last
        scores[:, self.known] = self.known_scores(users)
        return scores


class CornacEASE(CornacModel):
    def __init__(self, lamb: float = 500.0, posB: bool = True) -> None:
        self.params = {"lamb": lamb, "posB": posB}

    def make(self):
        from cornac.models import EASE

        return EASE(**self.params, verbose=False)

    def known_scores(self, users):
        return self.model.U[users] @ self.model.B


class CornacItemKNN(CornacModel):
    def __init__(self, k: int = 20, similarity: str = "cosine", weighting: str | None = None, amplify: float = 1.0):
        self.params = {"k": k, "similarity": similarity, "weighting": weighting, "amplify": amplify}

    def make(self):
        from cornac.models import ItemKNN

        return ItemKNN(**self.params, num_threads=1, verbose=False)

    def known_scores(self, users):
        return np.nan_to_num(np.stack([self.model.score(int(u)) for u in users]))


class CornacBPR(CornacModel):
    def __init__(self, k: int = 10, max_iter: int = 100, learning_rate: float = 0.001, lambda_reg: float = 0.01):
        self.params = {"k": k, "max_iter": max_iter, "learning_rate": learning_rate, "lambda_reg": lambda_reg}

    def make(self):
        from cornac.models import BPR

        return BPR(**self.params, num_threads=1, seed=1)

    def known_scores(self, users):
        return self.model.u_factors[users] @ self.model.i_factors.T + self.model.i_biases


# -- implicit -------------------------------------------------------------------------------------------------------


class ImplicitFactors:
    """Base of implicit's factor models; ``make()`` gives the library's own."""

    def __init__(self, **params) -> None:
        self.params = params

    def fit(self, train, features=None, valid=None):
        self.model = self.make()
        self.model.fit(train.to_csr(), show_progress=False)
        return self

    def score(self, users):
        return self.model.user_factors[users] @ self.model.item_factors.T


class ImplicitALS(ImplicitFactors):
    def make(self):
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(**self.params, num_threads=1, random_state=0)


class ImplicitBPR(ImplicitFactors):
    def make(self):
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        return BayesianPersonalizedRanking(**self.params, num_threads=1, random_state=0)


class ImplicitNeighbours:
    """The item-item models of implicit; ``weighting`` is none, cosine, tfidf or bm25."""

    def __init__(self, weighting: str = "cosine", K: int = 20, K1: float = 1.2, B: float = 0.75) -> None:
        self.weighting, self.K, self.own = weighting, K, {"K1": K1, "B": B} if weighting == "bm25" else {}

    def fit(self, train, features=None, valid=None):
        from implicit import nearest_neighbours as nn

        classes = {
            "none": nn.ItemItemRecommender,
            "cosine": nn.CosineRecommender,
            "tfidf": nn.TFIDFRecommender,
            "bm25": nn.BM25Recommender,
        }
        self.model = classes[self.weighting](K=self.K, num_threads=1, **self.own)
        self.seen = train.to_csr().astype(np.float64)  # its compiled code knows no other type
        self.model.fit(self.seen, show_progress=False)
        return self

    def score(self, users):
        return (self.seen[users] @ self.model.similarity).toarray()


#: Where the search of a peer begins, when not at random: a setting that is known to do well, as our own searches have.
STARTS: dict[str, dict] = {
    "cornac BPR": {"k": 64, "max_iter": 200, "learning_rate": 0.03, "lambda_reg": 0.02},
    "implicit BPR": {"factors": 64, "iterations": 200, "learning_rate": 0.03, "regularization": 0.02},
}

#: Family to peer to (class, where to look). Nothing is searched where that is empty.
PEERS: dict[str, dict[str, tuple[type, dict]]] = {
    "ease": {"cornac EASE": (CornacEASE, {"lamb": ("log", 10.0, 5000.0), "posB": [True, False]})},
    "itemknn": {
        # averages ratings, which are all one here, so that no setting helps; its defaults stand in the table
        "cornac ItemKNN": (CornacItemKNN, {}),
        "implicit item-item": (
            ImplicitNeighbours,
            {
                "weighting": ["none", "cosine", "tfidf", "bm25"],
                "K": ("logint", 20, 1000),
                "K1": ("float", 0.1, 100.0),
                "B": ("float", 0.0, 1.0),
            },
        ),
    },
    "als": {
        "implicit ALS": (
            ImplicitALS,
            {
                "factors": ("logint", 8, 128),
                "regularization": ("log", 0.01, 100.0),
                "alpha": ("log", 0.5, 100.0),
                "iterations": ("int", 5, 40),
            },
        ),
    },
    "bpr": {
        "cornac BPR": (
            CornacBPR,
            {
                "k": ("logint", 16, 128),
                "max_iter": ("logint", 50, 400),
                "learning_rate": ("log", 5e-3, 0.2),
                "lambda_reg": ("log", 3e-3, 0.1),
            },
        ),
        "implicit BPR": (
            ImplicitBPR,
            {
                "factors": ("logint", 16, 128),
                "iterations": ("logint", 50, 400),
                "learning_rate": ("log", 5e-3, 0.2),
                "regularization": ("log", 3e-3, 0.1),
            },
        ),
    },
}
