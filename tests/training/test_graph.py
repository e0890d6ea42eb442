import math

import numpy as np
import pytest
import torch
from scipy import sparse

from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.training import graph as graphs
from mmrec_lib.training.graph import SparseMatrix, WeightedEdges, normalise, user_item_graph

SEEN = sparse.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1]], np.float32))
KERNELS = ["csr", "scipy", "gather"] if torch.backends.mkl.is_available() else ["scipy", "gather"]


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch):
    """Each way of multiplying, on the CPU."""
    monkeypatch.setattr(graphs, "_kernel", lambda device: request.param)


def test_normalise_by_hand():
    # users have degrees 2, 1, 2; items 1, 3, 1
    expected = [[1 / 2**0.5, 1 / 6**0.5, 0], [0, 1 / 3**0.5, 0], [0, 1 / 6**0.5, 1 / 2**0.5]]
    np.testing.assert_allclose(normalise(SEEN).toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(normalise(SEEN, "rows").toarray(), [[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]])


def test_a_node_without_an_edge_stays_without():
    matrix = normalise(sparse.csr_matrix(np.array([[1.0, 0], [0, 0]])))
    np.testing.assert_array_equal(matrix.toarray(), [[1, 0], [0, 0]])


def test_square_graph_has_the_matrix_and_its_transpose_as_blocks():
    square = user_item_graph(SEEN)
    expected = np.block([[np.zeros((3, 3)), SEEN.toarray()], [SEEN.toarray().T, np.zeros((3, 3))]])
    np.testing.assert_array_equal(square.toarray(), expected)
    assert square.indices.dtype == square.indptr.dtype == np.int32
    # the half, normalised by itself, is the block of the normalised whole
    np.testing.assert_allclose(normalise(square).toarray()[:3, 3:], normalise(SEEN).toarray())


def test_normalise_refuses_what_has_no_degree():
    with pytest.raises(DataError, match="negative weight"):
        normalise(sparse.csr_matrix(np.array([[-1.0, 2.0]])))
    with pytest.raises(ParameterError, match="rows"):
        normalise(SEEN, "columns")


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("symmetric", [False, True])
def test_product_and_gradient_agree_with_dense(symmetric):
    matrix = normalise(user_item_graph(SEEN)) if symmetric else normalise(SEEN)
    product = SparseMatrix(matrix, symmetric=symmetric)
    dense = torch.from_numpy(matrix.toarray())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(matrix.shape[1], 4, generator=generator, requires_grad=True)
    weight = torch.randn(matrix.shape[0], 4, generator=generator)
    (gradient,) = torch.autograd.grad(((product @ x) * weight).sum(), x)
    (expected,) = torch.autograd.grad(((dense @ x) * weight).sum(), x)
    torch.testing.assert_close(product @ x, dense @ x)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.usefixtures("kernel")
def test_transpose():
    product = SparseMatrix(SEEN)
    torch.testing.assert_close(product.T @ torch.eye(3), torch.from_numpy(SEEN.toarray().T))
    assert product.T.T is product
    symmetric = SparseMatrix(user_item_graph(SEEN), symmetric=True)
    assert symmetric.T is symmetric


def test_a_rectangle_is_not_symmetric():
    with pytest.raises(ParameterError, match="symmetric"):
        SparseMatrix(sparse.csr_matrix((2, 3)), symmetric=True)


def test_edge_softmax_by_hand():
    edges = WeightedEdges(SEEN)  # edges: 0-0, 0-1, 1-1, 2-1, 2-2
    scores = torch.tensor([0.0, math.log(3), 5.0, 1e4, 1e4])  # also large scores stay finite
    torch.testing.assert_close(edges.softmax(scores, "users"), torch.tensor([0.25, 0.75, 1.0, 0.5, 0.5]))
    by_item = edges.softmax(torch.tensor([7.0, 0.0, math.log(2), 0.0, 1.0]), "items")
    torch.testing.assert_close(by_item, torch.tensor([1.0, 0.25, 0.5, 0.25, 1.0]))


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("direction", ["to_users", "to_items"])
def test_weighted_product_and_both_gradients_agree_with_dense(direction):
    edges = WeightedEdges(SEEN)
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(5, generator=generator, requires_grad=True)
    x = torch.randn(3, 2, generator=generator, requires_grad=True)
    upstream = torch.randn(3, 2, generator=generator)
    dense = torch.zeros(3, 3).index_put((edges.users, edges.items), weights)
    expected = (dense if direction == "to_users" else dense.T) @ x
    actual = getattr(edges, direction)(weights, x)
    torch.testing.assert_close(actual, expected)
    for found, wanted in zip(
        torch.autograd.grad((actual * upstream).sum(), (weights, x)),
        torch.autograd.grad((expected * upstream).sum(), (weights, x)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_mean_of_layers_and_its_gradient_are_those_of_the_dense_formula(kernel, layers):
    rng = np.random.default_rng(layers)
    seen = sparse.csr_matrix((rng.random((5, 4)) < 0.5).astype(np.float32))
    dense = torch.from_numpy(graphs.normalise(graphs.user_item_graph(seen)).toarray())
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    powers = [torch.linalg.matrix_power(dense, power) @ x for power in range(layers + 1)]
    expected = sum(powers) / (layers + 1)
    matrix = graphs.SparseMatrix(graphs.normalise(seen))
    y = x.detach().clone().requires_grad_()
    users, items = graphs.mean_of_layers(y[:5], y[5:], matrix, layers)
    torch.testing.assert_close(torch.cat([users, items]), expected)
    weights = torch.arange(27.0).reshape(9, 3)
    (expected * weights).sum().backward()
    (users * weights[:5]).sum().add((items * weights[5:]).sum()).backward()
    torch.testing.assert_close(y.grad, x.grad)


def test_product_adds_without_changing_what_is_added(kernel):
    matrix = graphs.SparseMatrix(sparse.csr_matrix(np.array([[0, 2], [1, 0]], np.float32)))
    dense, plus = torch.tensor([[1.0], [10.0]]), torch.tensor([[0.5], [0.25]])
    assert matrix.product(dense, plus).tolist() == [[20.5], [1.25]]
    assert plus.tolist() == [[0.5], [0.25]]
