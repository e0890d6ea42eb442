"""Neighbourhood models: recommend what similar users liked, or what is similar to what the user liked.

All three learn one sparse matrix, ``similarity_``: row ``i`` holds the ``k`` nearest neighbours of user or item
``i``, never ``i`` itself. A recommended item is thus explained by those of its own neighbours that the user met.
Every interaction counts as a positive; rating values are not used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import sparse

from .. import ranking
from ..checks import at_least, between, one_of
from ..errors import UnknownItemError, UnknownUserError
from .base import Recommender

SIMILARITIES = ("cosine", "jaccard", "tfidf", "bm25")


class ItemKNN(Recommender):
    """Score of an item: the sum of its similarities to those of its neighbours that the user met.

    Sarwar et al., 2001; Deshpande and Karypis, 2004. With ``c_ij`` users who met both items and ``n_i`` who met
    ``i``, cosine is ``c_ij / (n_i^alpha n_j^(1 - alpha) + shrinkage)`` and Jaccard
    ``c_ij / (n_i + n_j - c_ij + shrinkage)``. Shrinkage pulls similarities that rest on few users towards zero.

    Parameters
    ----------
    k : int, default 200
        Neighbours kept for each item.
    similarity : {"cosine", "jaccard", "tfidf", "bm25"}, default "cosine"
        ``"tfidf"`` and ``"bm25"`` are cosines in which users who met many items count less; see :func:`weights`.
    shrinkage : float, default 0
        0 or more, in units of users.
    alpha : float, default 0.5
        0 to 1: how much of the divisor is the popularity of the item that is scored (Aiolli, 2013). 0.5 is the
        ordinary, symmetric cosine; less favours popular items. Jaccard does not use it.

    Attributes
    ----------
    similarity_ : CSR ``(n_items, n_items)``
    """

    name = "itemknn"
    histories = "exact"

    def __init__(self, k: int = 200, similarity: str = "cosine", shrinkage: float = 0.0, alpha: float = 0.5) -> None:
        self.k = ranking.check_k(k)
        self.similarity = one_of("similarity", similarity, SIMILARITIES)
        self.shrinkage = at_least("shrinkage", shrinkage, 0)
        self.alpha = between("alpha", alpha, 0, 1)

    def _fit(self, train, features, valid) -> None:
        self.similarity_ = nearest(self.seen_.T.tocsr(), self.k, self.similarity, self.shrinkage, self.alpha)

    def _score_histories(self, histories, users):
        return (histories @ self.similarity_.T).toarray()

    def neighbours(self, item: int, k: int = 10) -> pd.DataFrame:
        """The ``k`` nearest items, nearest first: DataFrame with columns item, similarity.

        Raises :class:`UnknownItemError` for a code that is not below the number of items.
        """
        return neighbour_table(self, "item", item, k, lambda i: self.similarity_[[i]].toarray()[0])


class UserKNN(Recommender):
    """Score of an item: the sum of the similarities of those among the user's neighbours who met it.

    Resnick et al., 1994; Herlocker et al., 1999. Similarities as in :class:`ItemKNN`, with the roles of users and
    items exchanged.

    Parameters
    ----------
    k : int, default 50
        Neighbours kept for each user.
    similarity : {"cosine", "jaccard", "tfidf", "bm25"}, default "cosine"
    shrinkage : float, default 0
        0 or more, in units of items.

    Attributes
    ----------
    similarity_ : CSR ``(n_users, n_users)``
    """

    name = "userknn"
    histories = "exact"

    def __init__(self, k: int = 50, similarity: str = "cosine", shrinkage: float = 0.0) -> None:
        self.k = ranking.check_k(k)
        self.similarity = one_of("similarity", similarity, SIMILARITIES)
        self.shrinkage = at_least("shrinkage", shrinkage, 0)

    def _fit(self, train, features, valid) -> None:
        self.similarity_ = nearest(self.seen_, self.k, self.similarity, self.shrinkage)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return (self.similarity_[users] @ self.seen_).toarray()

    def _score_histories(self, histories, users):
        own = np.full(histories.shape[0], -1) if users is None else users
        near = nearest(self.seen_, self.k, self.similarity, self.shrinkage, rows=histories, own=own)
        return (near @ self.seen_).toarray()

    def neighbours(self, user: int, k: int = 10) -> pd.DataFrame:
        """The ``k`` nearest users, nearest first: DataFrame with columns user, similarity.

        Raises :class:`UnknownUserError` for a code that is not below the number of users.
        """
        return neighbour_table(self, "user", user, k, lambda i: self.similarity_[[i]].toarray()[0])


class RP3beta(Recommender):
    """Three steps of a random walk, user to item to user to item, with popular ends held back.

    Cooper et al., 2014 (P3alpha); Paudel et al., 2016 (RP3beta). A walk from item ``j`` arrives at ``i`` with weight
    ``sum over users u of both of (1 / n_j)^alpha (1 / n_u)^alpha``, divided by ``n_i^beta``.

    Parameters
    ----------
    alpha : float, default 0.6
        Power of the transition probabilities, 0 or more: 1 is the plain walk.
    beta : float, default 0.5
        Penalty on popular items, 0 or more: 0 is none.
    k : int, default 100
        Neighbours kept for each item.

    Attributes
    ----------
    similarity_ : CSR ``(n_items, n_items)``
        Not symmetric: row ``i`` says from which items a walk arrives at ``i``.
    """

    name = "rp3beta"
    histories = "exact"

    def __init__(self, alpha: float = 0.6, beta: float = 0.5, k: int = 100) -> None:
        self.alpha = at_least("alpha", alpha, 0)
        self.beta = at_least("beta", beta, 0)
        self.k = ranking.check_k(k)

    def _fit(self, train, features, valid) -> None:
        per_user, per_item = counts(self.seen_)
        arrive = sparse.diags_array(per_item**-self.beta) @ self.seen_.T @ sparse.diags_array(per_user**-self.alpha)
        leave = self.seen_ @ sparse.diags_array(per_item**-self.alpha)
        self.similarity_ = top_k_product(arrive.tocsr(), leave.tocsr(), self.k)

        # the user's own step has the same probability for all of her items, so that it does not change the order

    _score_histories = ItemKNN._score_histories
    neighbours = ItemKNN.neighbours


# -- similarity, shared by the models ------------------------------------------------------------------------------


def nearest(
    x: sparse.csr_matrix, k: int, similarity: str, shrinkage: float, alpha: float = 0.5,
    rows: sparse.csr_matrix | None = None, own: np.ndarray | None = None,
) -> sparse.csr_matrix:  # fmt: skip
    """CSR with the ``k`` rows of ``x`` (ones) that are most similar to each row, itself left out.

    With ``rows``, those that are most similar to each of these; ``own`` says which row of ``x`` each of them is, -1 for
    none.
    """
    scale = sparse.diags_array(weights(x, similarity))
    weighted = (x @ scale).tocsr()
    asking = weighted if rows is None else (rows @ scale).tocsr()
    squares, others = (np.asarray(m.multiply(m).sum(axis=1)).ravel() for m in (asking, weighted))
    left, right = squares**alpha, others ** (1 - alpha)

    def normalise(rows: np.ndarray, cols: np.ndarray, dot: np.ndarray) -> np.ndarray:
        if similarity == "jaccard":
            return dot / (squares[rows] + others[cols] - dot + shrinkage)
        return dot / (left[rows] * right[cols] + shrinkage)

    return top_k_product(asking, weighted.T.tocsr(), k, normalise, own)


def weights(x: sparse.csr_matrix, similarity: str) -> np.ndarray:
    """How much each column of ``x`` counts in the similarity of its rows, float32 ``(n_columns,)``.

    With ``n`` entries in the column: 1 for cosine and Jaccard; TF-IDF ``log(1 + n_rows / n)``; BM25 the damping by
    document length ``1 / (1 + 1.2 (0.25 + 0.75 n / mean n))``. The column is the document, since a damping by row
    would cancel in the cosine when all entries are ones.
    """
    n = counts(x)[1]
    if similarity == "tfidf":
        return np.log1p(x.shape[0] / n)
    if similarity == "bm25":
        return 1 / (1 + 1.2 * (0.25 + 0.75 * n / n.mean()))
    return np.ones_like(n)


def counts(x: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Entries per row and per column as float32, at least 1 so that they can be divided by."""
    per_column = np.bincount(x.indices, minlength=x.shape[1])
    return tuple(np.maximum(n, 1).astype(np.float32) for n in (np.diff(x.indptr), per_column))


def top_k_product(
    left: sparse.csr_matrix, right: sparse.csr_matrix, k: int, transform: Callable | None = None,
    own: np.ndarray | None = None,
) -> sparse.csr_matrix:  # fmt: skip
    """The ``k`` largest entries of each row of ``left @ right`` off its diagonal, computed in blocks of rows.

    ``transform(rows, columns, values)`` gives the values to compare, if not those of the product. None may be
    negative. ``own`` names another column to leave out for each row, -1 for none.
    """
    n = left.shape[0]
    own = np.arange(n) if own is None else own
    parts = []
    for block in ranking.blocks(np.arange(n), right.shape[1]):
        product = (left[block[0] : block[-1] + 1] @ right).tocsr()
        product.sort_indices()  # so that of equal values the smaller code comes first
        rows = np.repeat(block, np.diff(product.indptr))
        off = own[rows] != product.indices
        rows, cols, values = rows[off], product.indices[off], product.data[off]
        if transform is not None:
            values = transform(rows, cols, values)
        values = values.astype(np.float32)
        # One integer key sorts ten times as fast as (row, value): the bits of floats from zero up are in their order.
        order = np.argsort((rows << 32) - values.view(np.int32), kind="stable")
        rank = np.arange(len(order)) - np.searchsorted(rows, rows)  # rows stay where they are
        best = order[rank < k]
        parts.append((rows[best], cols[best], values[best]))
    rows, cols, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sparse.coo_matrix((values, (rows, cols)), shape=(n, right.shape[1])).tocsr()


def neighbour_table(model: Recommender, kind: str, code: int, k: int, similarities: Callable) -> pd.DataFrame:
    """The ``k`` largest positive values of ``similarities(code)``, as columns ``kind`` and similarity."""
    model._check_users([])  # fitted?
    ranking.check_k(k)
    n, error = (model.n_users_, UnknownUserError) if kind == "user" else (model.n_items_, UnknownItemError)
    if not 0 <= code < n:
        raise error(f"{kind} {code} is unknown: the model knows codes 0 to {n - 1}")
    values = similarities(int(code))
    best = np.argsort(-values, kind="stable")[:k]
    best = best[values[best] > 0]
    return pd.DataFrame({kind: best, "similarity": values[best]})
