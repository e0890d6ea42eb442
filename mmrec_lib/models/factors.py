"""Matrix factorisation by alternating least squares: users and items as vectors whose products are the scores.

With the items fixed, each user's best vector is the solution of a small system of equations, and the other way
round. The systems of all users are built by sparse products and solved in batches.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from tqdm import tqdm

from .. import ranking
from ..checks import above, at_least, whole
from ..data import Interactions
from .base import Recommender

#: The systems of one batch of rows should stay below this many bytes.
BATCH_BYTES = 64 * 2**20


class ALS(Recommender):
    """Factorisation for implicit feedback: every pair counts, those that met count more.

    Hu, Koren and Volinsky, 2008: minimise the sum over all pairs of ``c (y - p_u . q_i)^2``, with ``y = 1`` and
    ``c = 1 + alpha`` where user and item met, else ``y = 0`` and ``c = 1``, plus ``l2 w_u |p_u|^2 + l2 w_i |q_i|^2``.
    The weights ``w`` are the sum of the row's ``c`` to the power ``nu``, relative to the mean of that sum (Rendle et
    al., 2022): 0 is the original.

    Parameters
    ----------
    dim : int, default 64
        Length of the vectors.
    alpha : float, default 1
        Extra confidence in what met. Above 0.
    l2 : float, default 20
        Above 0.
    nu : float, default 0
        0 or more: larger holds users and items with many interactions closer to zero.
    iterations : int, default 10
        Rounds of solving for the users and then for the items.
    seed : int, default 0

    Attributes
    ----------
    user_factors_, item_factors_ : float32 ``(n_users, dim)``, ``(n_items, dim)``
    """

    name = "als"
    histories = "exact"

    def __init__(
        self,
        dim: int = 64,
        alpha: float = 1.0,
        l2: float = 20.0,
        nu: float = 0.0,
        iterations: int = 10,
        seed: int = 0,
    ) -> None:
        self.dim = ranking.check_k(dim, "dim")
        self.alpha = above("alpha", alpha, 0)
        self.l2 = above("l2", l2, 0)
        self.nu = at_least("nu", nu, 0)
        self.iterations = ranking.check_k(iterations, "iterations")
        self.seed = seed

    def _fit(self, train, features, valid) -> None:
        by_user, by_item = self.seen_, self.seen_.T.tocsr()
        rng = np.random.default_rng(self.seed)
        self.item_factors_ = rng.normal(0, 0.1 / self.dim**0.5, (self.n_items_, self.dim)).astype(np.float32)
        for _ in tqdm(range(self.iterations), desc="ALS", disable=None, leave=False):
            self.user_factors_ = self._solve(by_user, self.item_factors_, self._penalty(by_user, self.n_users_))
            self.item_factors_ = self._solve(by_item, self.user_factors_, self._penalty(by_item, self.n_items_))
        self.user_factors_ = self.fold_in(by_user)

    def fold_in(self, histories: sparse.csr_matrix) -> np.ndarray:
        """Vectors of users with the given histories (CSR ``(n, n_items)`` of ones), items unchanged.

        For people who came after training; ``vectors @ model.item_factors_.T`` are their scores.
        """
        return self._solve(histories, self.item_factors_, self._penalty(histories, self.n_users_))

    def partial_fit(self, new: Interactions, sweeps: int = 1) -> ALS:
        """Take new interactions in without learning everything again, and return self.

        Only rows that met something new are solved anew: users, items, ..., users, each exactly, given all others as
        they are (fold-in of both sides; compare Rendle and Schmidt-Thieme, 2008, and He et al., 2016). All other
        vectors stay what they were, to the bit; what was seen and the popularity are brought up to date.

        Parameters
        ----------
        new : Interactions
            Over the codes of training; higher codes are new users and items and get rows. Pairs that are known
            already change nothing.
        sweeps : int, default 1
            How often users and then items are solved, before the users' last time.

        Raises
        ------
        NotFittedError, ParameterError
        """
        whole("sweeps", sweeps)
        users, items = take_in(self, new)
        self.user_factors_ = with_rows(self.user_factors_, self.n_users_)
        self.item_factors_ = with_rows(self.item_factors_, self.n_items_)
        by_user, by_item = self.seen_[users], self.seen_.T.tocsr()[items]
        for _ in range(sweeps):
            self.user_factors_[users] = self.fold_in(by_user)
            penalty = self._penalty(by_item, self.n_items_)
            self.item_factors_[items] = self._solve(by_item, self.user_factors_, penalty)
        self.user_factors_[users] = self.fold_in(by_user)
        return self

    def _penalty(self, x: sparse.csr_matrix, n_rows: int) -> np.ndarray:
        """``l2 w`` of each row of ``x``; the mean is that of training, of ``n_rows`` rows."""
        confidence = x.shape[1] + self.alpha * np.diff(x.indptr)
        mean = x.shape[1] + self.alpha * self.seen_.nnz / n_rows
        return self.l2 * (confidence / mean) ** self.nu

    def _solve(self, x: sparse.csr_matrix, other: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        everything = other.T @ other
        return solve_rows(x * np.float32(self.alpha), x * np.float32(1 + self.alpha), other, penalty, everything)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self.user_factors_[users] @ self.item_factors_.T

    def _score_histories(self, histories, users):
        return self.fold_in(histories) @ self.item_factors_.T


class BiasedMF(Recommender):
    """Factorisation for ratings: ``mean + b_u + b_i + p_u . q_i``.

    Koren, Bell and Volinsky, 2009; fitted by alternating ridge regressions as in Zhou et al., 2008: the penalty of a
    user or item is ``l2`` for each of its ratings. Learns from ``train.value``; of a repeated pair the last counts.
    Ratings are not preferences: expect :meth:`predict` to be good and rankings to be worse than those of :class:`ALS`.

    Parameters
    ----------
    dim : int, default 16
        Length of the vectors; 0 leaves the biases alone.
    l2 : float, default 0.15
        Penalty a rating. Above 0.
    iterations : int, default 20
        Rounds of solving for the users and then for the items.
    seed : int, default 0

    Attributes
    ----------
    mean_ : float
    scale_ : list of two floats
        Smallest and largest rating in training.
    user_biases_, item_biases_ : float32 ``(n_users,)``, ``(n_items,)``
    user_factors_, item_factors_ : float32 ``(n_users, dim)``, ``(n_items, dim)``
    """

    name = "biasedmf"
    histories = "exact"
    reads_values = True

    def __init__(self, dim: int = 16, l2: float = 0.15, iterations: int = 20, seed: int = 0) -> None:
        self.dim = 0 if dim == 0 else ranking.check_k(dim, "dim")
        self.l2 = above("l2", l2, 0)
        self.iterations = ranking.check_k(iterations, "iterations")
        self.seed = seed

    def _fit(self, train, features, valid) -> None:
        ratings = train.to_csr(values=True)
        self.mean_ = float(ratings.data.mean())
        self.scale_ = [float(ratings.data.min()), float(ratings.data.max())]
        ratings.data -= np.float32(self.mean_)
        by_item = ratings.T.tocsr()
        rng = np.random.default_rng(self.seed)
        self.item_biases_ = np.zeros(self.n_items_, np.float32)
        self.item_factors_ = rng.normal(0, 0.1, (self.n_items_, self.dim)).astype(np.float32)
        for _ in tqdm(range(self.iterations), desc="BiasedMF", disable=None, leave=False):
            self.user_factors_, self.user_biases_ = self._solve(ratings, self.item_factors_, self.item_biases_)
            self.item_factors_, self.item_biases_ = self._solve(by_item, self.user_factors_, self.user_biases_)
        self.user_factors_, self.user_biases_ = self._solve(ratings, self.item_factors_, self.item_biases_)

    def _score_histories(self, histories, users):
        ratings = histories.copy()
        ratings.data -= np.float32(self.mean_)
        factors, biases = self._solve(ratings, self.item_factors_, self.item_biases_)
        return self.mean_ + biases[:, None] + self.item_biases_ + factors @ self.item_factors_.T

    def _solve(self, ratings: sparse.csr_matrix, factors: np.ndarray, biases: np.ndarray):
        """Factors and biases of the rows of ``ratings`` (less the mean), given those of its columns."""
        met, targets = ratings.copy(), ratings.copy()
        met.data[:] = 1
        targets.data -= biases[ratings.indices]
        with_one = np.column_stack([factors, np.ones_like(biases)])  # whose weight is the bias
        solution = solve_rows(met, targets, with_one, self.l2 * np.maximum(np.diff(ratings.indptr), 1))
        return np.ascontiguousarray(solution[:, :-1]), solution[:, -1].copy()

    def _score(self, users: np.ndarray) -> np.ndarray:
        offsets = self.mean_ + self.user_biases_[users, None] + self.item_biases_
        return offsets + self.user_factors_[users] @ self.item_factors_.T

    def predict(self, users, items) -> np.ndarray:
        """Ratings of pairs, float32 ``(n,)``, within the scale seen in training.

        For a user or item without training ratings the respective bias and factors are zero.

        Raises
        ------
        NotFittedError
        UnknownUserError, UnknownItemError
            Codes that the model does not know.
        DataError
            ``users`` and ``items`` of different length.
        """
        self._check_users([])  # fitted?
        pairs = Interactions(users, items, n_users=self.n_users_, n_items=self.n_items_)
        u, i = pairs.user, pairs.item
        products = np.einsum("nd,nd->n", self.user_factors_[u], self.item_factors_[i])
        return np.clip(self.mean_ + self.user_biases_[u] + self.item_biases_[i] + products, *self.scale_)


# -- new interactions for a fitted model ----------------------------------------------------------------------------


def take_in(model: Recommender, new: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """Bring what a fitted model has seen up to date: ``n_users_``, ``n_items_``, ``seen_``, ``popularity_``.

    Returns the codes of the users and of the items with a pair that was not there, each once and sorted. Raises
    :class:`NotFittedError`.
    """
    model._check_users([])  # fitted?
    shape = max(model.n_users_, new.n_users), max(model.n_items_, new.n_items)
    old = model.seen_
    starts = np.pad(old.indptr, (0, shape[0] - model.n_users_), mode="edge")  # new users met nothing so far
    old = sparse.csr_matrix((old.data, old.indices, starts), shape)
    given = Interactions(new.user, new.item, n_users=shape[0], n_items=shape[1]).to_csr()
    fresh = (given - given.multiply(old)).tocsr()
    fresh.eliminate_zeros()
    seen = (old + fresh).tocsr()
    seen.sort_indices()
    model.n_users_, model.n_items_ = shape
    model.seen_ = seen
    model.popularity_ = np.bincount(seen.indices, minlength=shape[1]).astype(np.float32)
    return np.flatnonzero(np.diff(fresh.indptr)), np.unique(fresh.indices)


def with_rows(vectors: np.ndarray, n: int) -> np.ndarray:
    """A copy with ``n`` rows, the added ones zero: who reads the old array meanwhile is not disturbed."""
    return np.concatenate([vectors, np.zeros((n - len(vectors), vectors.shape[1]), vectors.dtype)])


# -- least squares for many rows at once ---------------------------------------------------------------------------


def solve_rows(
    weights: sparse.csr_matrix,
    targets: sparse.csr_matrix,
    other: np.ndarray,
    penalty: np.ndarray,
    everything: np.ndarray | None = None,
) -> np.ndarray:
    """Solve ``(everything + sum_c weights_rc y_c y_c^T + penalty_r I) x_r = sum_c targets_rc y_c`` for each row ``r``.

    ``y_c`` are the rows of ``other``, float32 ``(n_columns, dim)``; so is the result, ``(n_rows, dim)``.
    """
    dim = other.shape[1]
    constant = np.zeros((dim, dim), np.float32) if everything is None else everything
    right = targets @ other
    solution = np.empty_like(right)
    for rows in ranking.blocks(np.arange(weights.shape[0]), dim * dim, BATCH_BYTES):
        rows = slice(rows[0], rows[-1] + 1)
        left = outer_sums(weights[rows], other) + constant
        left[:, np.arange(dim), np.arange(dim)] += penalty[rows, None].astype(np.float32)
        solution[rows] = np.linalg.solve(left, right[rows, :, None])[..., 0]
    return solution


def outer_sums(weights: sparse.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """``sum_c weights_rc y_c y_c^T`` for each row: ``(n_rows, dim, dim)``; a loop over dimensions, not over rows."""
    dim = vectors.shape[1]
    sums = np.empty((weights.shape[0], dim, dim), np.float32)
    for d in range(dim):
        sums[:, d, d:] = weights @ (vectors[:, d, None] * vectors[:, d:])
        sums[:, d:, d] = sums[:, d, d:]
    return sums
