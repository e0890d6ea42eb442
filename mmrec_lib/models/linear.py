"""Linear models: one weight from every item to every other, learned by regression of each item on the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import linalg, sparse
from tqdm import tqdm

from .. import ranking
from ..checks import above, at_least
from .base import Recommender
from .neighbours import neighbour_table


class EASE(Recommender):
    """Ridge regression of each item on all others, in closed form.

    Steck, 2019: minimise ``|X - X B|^2 + l2 |B|^2`` with a zero diagonal. With ``P = (X^T X + l2 I)^-1`` the solution
    is ``B_ij = -P_ij / P_jj``. Time grows with the cube of the number of items, memory with its square (4 bytes a
    cell).

    Parameters
    ----------
    l2 : float, default 300
        Above 0; larger for sparser data.

    Attributes
    ----------
    weights_ : float32 ``(n_items, n_items)``
        Column ``j`` holds the weights with which the user's items speak for item ``j``; they may be negative.
    """

    name = "ease"
    histories = "exact"

    def __init__(self, l2: float = 300.0) -> None:
        self.l2 = above("l2", l2, 0)

    def _fit(self, train, features, valid) -> None:
        try:
            weights = inverse(self._gram(features, np.float32))
        except linalg.LinAlgError:  # l2 too small for the precision of float32
            weights = inverse(self._gram(features, np.float64)).astype(np.float32)
        weights /= -weights.diagonal()
        np.fill_diagonal(weights, 0)
        self.weights_ = weights

    def _gram(self, features, dtype: type) -> np.ndarray:
        return gram(self.seen_, self.l2, dtype)

    def _score_histories(self, histories, users):
        return histories @ self.weights_

    def neighbours(self, item: int, k: int = 10) -> pd.DataFrame:
        """The ``k`` items that speak most for ``item``: DataFrame with columns item, similarity (positive weight).

        Raises :class:`UnknownItemError` for a code that is not below the number of items.
        """
        return neighbour_table(self, "item", item, k, lambda i: self.weights_[:, i])


class SideEASE(EASE):
    """EASE that reads content as well: each dimension of it is one more user who "met" items by so much.

    Jeunen, Van Balen and Goethals, 2020 (collective EASE): the vectors of each modality, scaled, are stacked under the
    interactions, and the regression is solved for both at once; ``X^T X`` becomes ``X^T X + sum_m w_m F_m F_m^T``. Rows
    of ``F_m`` are standardised and have length 1, so that a weight is the number of common users that equal content is
    worth. An item that nobody met has weights from content alone.

    Parameters
    ----------
    l2 : float, default 300
        Above 0; larger for sparser data.
    content : float, default 10
        Weight of each modality, 0 or more.
    weights : dict, optional
        Modality to a factor on its weight, 0 or more; default 1.

    Attributes
    ----------
    weights_ : float32 ``(n_items, n_items)``
        As in :class:`EASE`.
    """

    name = "sideease"
    needs_features = True
    scores_new_items = True

    def __init__(self, l2: float = 300.0, content: float = 10.0, weights: dict[str, float] | None = None) -> None:
        super().__init__(l2)
        self.content = at_least("content", content, 0)
        self.weights = None if weights is None else {m: at_least(f"weights[{m!r}]", w, 0) for m, w in weights.items()}

    def _gram(self, features, dtype: type) -> np.ndarray:
        from .content import joined

        x = joined(features, self.weights).astype(dtype, copy=False)
        return super()._gram(features, dtype) + dtype(self.content) * (x @ x.T)


class SLIM(Recommender):
    """Sparse, non-negative regression of each item on all others.

    Ning and Karypis, 2011: minimise ``|X - X B|^2 / 2 + l2 |B|^2 / 2 + l1 |B|_1`` with ``B >= 0`` and a zero diagonal,
    by coordinate descent on ``X^T X`` for all items at once.

    Parameters
    ----------
    l1 : float, default 2
        0 or more: larger leaves fewer weights.
    l2 : float, default 100
        0 or more: larger makes the weights more even.
    iterations : int, default 50
        Most sweeps over all weights.
    tolerance : float, default 0.005
        A weight that would change by less stays; when all stay, learning ends. Above 0.

    Attributes
    ----------
    weights_ : CSR ``(n_items, n_items)``
        Column ``j`` holds the weights with which the user's items speak for item ``j``.
    """

    name = "slim"
    histories = "exact"

    def __init__(self, l1: float = 2.0, l2: float = 100.0, iterations: int = 50, tolerance: float = 5e-3) -> None:
        self.l1 = at_least("l1", l1, 0)
        self.l2 = at_least("l2", l2, 0)
        self.iterations = ranking.check_k(iterations, "iterations")
        self.tolerance = above("tolerance", tolerance, 0)

    def _fit(self, train, features, valid) -> None:
        products = gram(self.seen_)
        weights = np.zeros_like(products)
        rest = products.copy()
        for _ in tqdm(range(self.iterations), desc="SLIM", disable=None, leave=False):
            if not self._sweep(products, weights, rest):
                break
        self.weights_ = sparse.csr_matrix(weights)

    def _sweep(self, products: np.ndarray, weights: np.ndarray, rest: np.ndarray) -> int:
        """Renew every row of the weights once, in place; return how many weights moved.

        ``rest``, also renewed in place, is what the weights leave unexplained: row ``j`` is
        ``products[j] - weights[:, j] @ products``. Few weights move after the first sweeps, so that renewing only the
        rows concerned is much cheaper than a product of matrices.
        """
        total = 0
        for i in np.flatnonzero(products.diagonal()):
            new = np.maximum(rest[:, i] + products[i, i] * weights[i] - self.l1, 0) / (products[i, i] + self.l2)
            new[i] = 0
            change = new - weights[i]
            moved = np.flatnonzero(np.abs(change) > self.tolerance)
            weights[i, moved] = new[moved]
            rest[moved] -= change[moved, None] * products[i]
            total += len(moved)
        return total

    def _score_histories(self, histories, users):
        return (histories @ self.weights_).toarray()

    def neighbours(self, item: int, k: int = 10) -> pd.DataFrame:
        """As :meth:`EASE.neighbours`."""
        return neighbour_table(self, "item", item, k, lambda i: self.weights_[:, [i]].toarray()[:, 0])


def gram(x: sparse.csr_matrix, l2: float = 0.0, dtype: type = np.float32) -> np.ndarray:
    """``X^T X + l2 I``: how many users each pair of items has in common; dense ``(n_items, n_items)``."""
    products = (x.T @ x).toarray().astype(dtype, copy=False)
    products[np.diag_indices_from(products)] += dtype(l2)
    return products


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix, in its own precision and place, by Cholesky factors.

    Raises ``LinAlgError`` when the matrix is not positive definite within rounding.
    """
    potrf, potri = linalg.get_lapack_funcs(("potrf", "potri"), (matrix,))
    # The transpose has the memory order of LAPACK, which works in its lower triangle: our upper one.
    result, failed = potrf(matrix.T, lower=True, overwrite_a=True, clean=False)
    if not failed:
        result, failed = potri(result, lower=True, overwrite_c=True)
    if failed:
        raise linalg.LinAlgError("the matrix is not positive definite")
    return mirror_upper(result.T)


def mirror_upper(matrix: np.ndarray, size: int = 1024) -> np.ndarray:
    """Copy the upper triangle over the lower one, in place, in squares that fit into the processor's cache."""
    for i in range(0, len(matrix), size):
        rows = slice(i, i + size)
        corner = np.triu(matrix[rows, rows])
        matrix[rows, rows] = corner + np.triu(corner, 1).T
        for j in range(i + size, len(matrix), size):
            cols = slice(j, j + size)
            matrix[cols, rows] = matrix[rows, cols].T
    return matrix
