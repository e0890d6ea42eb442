"""Sparse graphs for propagation: built from index arrays, multiplied with dense vectors, with gradients.

On a CPU, torch differentiates a sparse product slowly, because it forms the gradient of the sparse operand or sorts a
transposed one. The graph is known beforehand, so both directions are stored, and the backward pass is a forward
product with the transpose (for a symmetric graph: with the same matrix).
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..errors import DataError, ParameterError


def user_item_graph(seen: sparse.csr_matrix) -> sparse.csr_matrix:
    """Adjacency of the bipartite graph, symmetric CSR ``(n_users + n_items,) * 2``; users come first.

    ``seen`` is ``(n_users, n_items)``; entry values are kept.
    """
    seen = seen.tocsr()
    back = seen.T.tocsr()
    n_users, n_items = seen.shape
    return sparse.csr_matrix(
        (
            np.concatenate([seen.data, back.data]),
            np.concatenate([seen.indices + n_users, back.indices]).astype(np.int32),
            np.concatenate([seen.indptr, seen.nnz + back.indptr[1:]]).astype(np.int32),
        ),
        shape=(n_users + n_items,) * 2,
    )


def normalise(matrix: sparse.csr_matrix, how: str = "both") -> sparse.csr_matrix:
    """Divide the entries by the degrees of their nodes; a node without an edge stays without.

    ``how="both"``: entry ``(a, b)`` over ``sqrt(degree of row a * degree of column b)`` (Kipf and Welling, 2017);
    ``how="rows"``: over the degree of the row, so that rows sum to one. A degree is the sum of the entries, which must
    not be negative. Works for a square graph and for its user-item half alike. Returns float32 CSR, int32 indices.
    """
    if how not in ("both", "rows"):
        raise ParameterError(f"how={how!r}: choose 'both' or 'rows'")
    matrix = matrix.tocsr()
    if matrix.nnz and matrix.data.min() < 0:
        raise DataError("normalise: the graph has a negative weight; degrees need weights of at least zero")
    counts = np.diff(matrix.indptr)
    rows = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    scale = _inverse(rows, 0.5 if how == "both" else 1.0)
    data = matrix.data * np.repeat(scale, counts)
    if how == "both":
        columns = np.bincount(matrix.indices, weights=matrix.data, minlength=matrix.shape[1]).astype(np.float64)
        data *= _inverse(columns, 0.5)[matrix.indices]
    arrays = (data.astype(np.float32), matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
    return sparse.csr_matrix(arrays, shape=matrix.shape)


def _inverse(degrees: np.ndarray, power: float) -> np.ndarray:
    out = np.zeros_like(degrees)
    np.power(degrees, -power, out=out, where=degrees > 0)
    return out


class SparseMatrix:
    """A constant sparse matrix that multiplies dense tensors: ``matrix @ dense``, differentiable in ``dense``.

    Parameters
    ----------
    matrix : SciPy sparse matrix (n, m)
    device : torch.device
        Where the dense tensors live. CUDA and CPU use torch's CSR product (SciPy's on a CPU without MKL); other
        devices gather and add.
    symmetric : bool, default False
        The matrix equals its transpose, and is stored once.

    Attributes
    ----------
    shape : (int, int)
    T : SparseMatrix
        The transpose; ``matrix.T.T is matrix``.
    """

    def __init__(self, matrix: sparse.spmatrix, device: torch.device | str = "cpu", symmetric: bool = False) -> None:
        csr = matrix.tocsr().astype(np.float32)
        if symmetric and csr.shape[0] != csr.shape[1]:
            raise ParameterError(f"a matrix of shape {csr.shape} cannot be symmetric")
        self._set(csr, torch.device(device))
        if symmetric:
            self.T = self
        else:
            self.T = object.__new__(SparseMatrix)
            self.T._set(csr.T.tocsr(), torch.device(device))
            self.T.T = self

    def _set(self, csr: sparse.csr_matrix, device: torch.device) -> None:
        self.shape = csr.shape
        self.kind = _kernel(device)
        if self.kind == "scipy":
            self._matrix = csr
        elif self.kind == "csr":
            index = _int32(csr.indptr, device), _int32(csr.indices, device)
            self._matrix = _csr(*index, torch.from_numpy(csr.data).to(device), csr.shape)
        else:
            rows = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
            self._rows = torch.from_numpy(rows).to(device)
            self._columns = torch.from_numpy(csr.indices.astype(np.int64)).to(device)
            self._values = torch.from_numpy(csr.data).to(device)[:, None]

    def __matmul__(self, dense: Tensor) -> Tensor:
        return _Product.apply(dense, self)

    def product(self, dense: Tensor, plus: Tensor | None = None) -> Tensor:
        """``matrix @ dense``, and ``plus`` added to it, without a gradient."""
        if self.kind == "csr" and dense.device.type == "cpu":
            # in place: torch.mm fills, copies and adds around the product, which takes longer than the product
            out = dense.new_empty(self.shape[0], dense.shape[1]) if plus is None else plus.clone()
            return out.addmm_(self._matrix, dense, beta=0 if plus is None else 1)
        if self.kind == "scipy":
            out = torch.from_numpy(self._matrix @ dense.numpy())
        elif self.kind == "csr":
            out = torch.mm(self._matrix, dense)
        else:
            out = dense.new_zeros(self.shape[0], dense.shape[1])
            out.index_add_(0, self._rows, dense[self._columns] * self._values)
        return out if plus is None else out.add_(plus)


class _Product(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)  # sums over many neighbours need precision
    def forward(ctx, dense: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.matrix = matrix
        return matrix.product(dense.detach().contiguous())

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx, grad: Tensor):
        return ctx.matrix.T.product(grad.contiguous()), None


def mean_of_layers(users: Tensor, items: Tensor, graph: SparseMatrix, layers: int) -> tuple[Tensor, Tensor]:
    """The mean of layers 0 to ``layers`` of users and items; a layer is a step along ``graph`` ``(n_users, n_items)``.

    With the symmetric graph ``A`` of users and items this is ``(I + A + ... + A^layers) / (layers + 1)``, computed from
    the inside as ``x + A (x + A (...))``. The map is its own transpose, so the gradient is the same computation.
    """
    return _MeanOfLayers.apply(users, items, graph, layers)


class _MeanOfLayers(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx, users: Tensor, items: Tensor, graph: SparseMatrix, layers: int) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.layers = graph, layers
        first_u, first_i = users.detach() / (layers + 1), items.detach() / (layers + 1)
        u, i = first_u, first_i
        for _ in range(layers):
            u, i = graph.product(i, first_u), graph.T.product(u, first_i)
        return u, i

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx, grad_users: Tensor, grad_items: Tensor):
        with torch.no_grad():
            grads = mean_of_layers(grad_users.contiguous(), grad_items.contiguous(), ctx.graph, ctx.layers)
        return *grads, None, None


class WeightedEdges:
    """The edges of a user-item graph whose weights are learned: softmax over neighbours, and products.

    Parameters
    ----------
    seen : CSR matrix (n_users, n_items)
        The edges, in the order of its entries.
    device : torch.device

    Attributes
    ----------
    users, items : int64 tensors (n_edges,)
        The two ends of each edge.
    """

    def __init__(self, seen: sparse.csr_matrix, device: torch.device | str = "cpu") -> None:
        seen = seen.tocsr()
        self.shape, self.device = seen.shape, torch.device(device)
        users = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
        self.users = torch.from_numpy(users).to(device)
        self.items = torch.from_numpy(seen.indices.astype(np.int64)).to(device)
        order = np.argsort(seen.indices, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(seen.indices, minlength=seen.shape[1]))])
        self._order = torch.from_numpy(order).to(device)
        self._forward = (_int32(seen.indptr, device), _int32(seen.indices, device), seen.shape)
        self._backward = (_int32(starts, device), _int32(users[order], device), seen.shape[::-1])

    def softmax(self, scores: Tensor, over: str) -> Tensor:
        """Softmax of the edges' ``scores`` ``(n_edges,)`` among the edges of a user (``over="users"``) or an item."""
        ends, n = (self.users, self.shape[0]) if over == "users" else (self.items, self.shape[1])
        with torch.no_grad():  # subtracting a constant changes nothing but the range
            highest = scores.new_full((n,), -torch.inf).scatter_reduce(0, ends, scores, "amax")
        weights = (scores - highest.index_select(0, ends)).exp()
        total = torch.zeros_like(highest).index_add(0, ends, weights)
        return weights / total.index_select(0, ends)

    def to_users(self, weights: Tensor, items: Tensor) -> Tensor:
        """For each user, the sum of its items' vectors times the edges' ``weights``; differentiable in both."""
        return _WeightedProduct.apply(weights, items, self, False)

    def to_items(self, weights: Tensor, users: Tensor) -> Tensor:
        """For each item, the sum of its users' vectors times the edges' ``weights``; differentiable in both."""
        return _WeightedProduct.apply(weights, users, self, True)

    def product(self, weights: Tensor, dense: Tensor, to_items: bool) -> Tensor:
        """The product alone, without a gradient."""
        if _kernel(self.device) == "csr":
            indptr, indices, shape = self._backward if to_items else self._forward
            values = weights[self._order] if to_items else weights
            return torch.mm(_csr(indptr, indices, values, shape), dense)
        ends, starts = (self.items, self.users) if to_items else (self.users, self.items)
        out = dense.new_zeros(self.shape[1 if to_items else 0], dense.shape[1])
        return out.index_add_(0, ends, dense[starts] * weights[:, None])

    def dots(self, users: Tensor, items: Tensor) -> Tensor:
        """Dot product of the two ends' vectors for each edge, without a gradient."""
        if _kernel(self.device) == "csr":
            # computes only the entries of users @ items.T that are edges: 12 times as fast as gathering both ends
            zeros = torch.zeros(len(self.users), device=self.device)
            pattern = _csr(*self._forward[:2], zeros, self.shape)
            return torch.sparse.sampled_addmm(pattern, users, items.T, beta=0.0).values()
        return (users.index_select(0, self.users) * items.index_select(0, self.items)).sum(dim=1)


class _WeightedProduct(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx, weights: Tensor, dense: Tensor, edges: WeightedEdges, to_items: bool) -> Tensor:
        weights, dense = weights.detach().contiguous(), dense.detach().contiguous()
        ctx.edges, ctx.to_items = edges, to_items
        ctx.save_for_backward(weights, dense)
        return edges.product(weights, dense, to_items)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx, grad: Tensor):
        weights, dense = ctx.saved_tensors
        edges, grad = ctx.edges, grad.contiguous()
        by_weight = edges.dots(dense, grad) if ctx.to_items else edges.dots(grad, dense)
        return by_weight, edges.product(weights, grad, not ctx.to_items), None, None


def _int32(array: np.ndarray, device) -> Tensor:
    return torch.from_numpy(array.astype(np.int32)).to(device)


def _csr(indptr: Tensor, indices: Tensor, values: Tensor, shape) -> Tensor:
    """A torch CSR tensor. Indices are int32, as the CPU's product wants: int64 is converted at each call."""
    with warnings.catch_warnings():  # "CSR support is in beta state"
        warnings.filterwarnings("ignore", category=UserWarning)
        return torch.sparse_csr_tensor(indptr, indices, values, size=shape, check_invariants=False)


def _kernel(device: torch.device) -> str:
    if device.type == "cpu":
        return "csr" if torch.backends.mkl.is_available() else "scipy"
    return "csr" if device.type == "cuda" else "gather"
