"""Recommenders that smooth embeddings over the graph of users and items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..checks import whole
from ..training.graph import SparseMatrix, WeightedEdges, mean_of_layers, normalise
from .torch_base import Embeddings, FactorRecommender, to_numpy


class LightGCN(FactorRecommender):
    """Embeddings averaged over the neighbours in the user-item graph, layer by layer (He et al., 2020).

    Layer ``l + 1`` of a user is the sum of layer ``l`` of its items, each divided by the square root of both degrees,
    and the other way round; no weights, no activation. The final vectors are the mean of all layers, the embeddings
    themselves (layer 0) included, and are learned as in BPR. The graph is propagated once for each batch, so large
    batches make quick epochs.

    Parameters
    ----------
    dim : int, default 64
    layers : int, default 2
        How many steps a taste travels along the graph.
    l2, negatives, n_negatives, loss
        See :class:`~mmrec_lib.models.torch_base.FactorRecommender`; ``l2`` is on layer 0.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)
        After propagation.
    """

    name = "lightgcn"

    def __init__(
        self, dim: int = 64, layers: int = 2, l2: float = 0.01, negatives: str = "uniform", n_negatives: int = 1,
        loss: str = "bpr", epochs: int = 100, batch_size: int = 8192, learning_rate: float = 0.01,
        weight_decay: float = 0.0, metric: str = "ndcg@20", eval_every: int = 5, patience: int = 5, seed: int = 0,
        device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(
            dim, l2, negatives, n_negatives, loss, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, metric=metric, eval_every=eval_every, patience=patience, seed=seed,
            device=device,
        )  # fmt: skip
        self.layers = whole("layers", layers)

    def _build(self, train, features):
        graph = SparseMatrix(normalise(self.seen_), self._device)
        return Propagated(train.n_users, train.n_items, self.dim, self.layers, graph)


class Propagated(Embeddings):
    """Embeddings whose ``forward`` is the mean of their layers over ``graph``, the normalised ``(n_users, n_items)``.

    The square graph of users and items has this matrix and its transpose as its only blocks; two rectangular products
    do the work of one square product in half the time, as each reads from a smaller table.
    """

    def __init__(self, n_users: int, n_items: int, dim: int, layers: int, graph: SparseMatrix) -> None:
        super().__init__(n_users, n_items, dim)
        self.layers, self.graph = layers, graph

    def forward(self) -> tuple[Tensor, Tensor]:
        return mean_of_layers(self.user, self.item, self.graph, self.layers)


def propagate(users: Tensor, items: Tensor, layers: int, to_users, to_items) -> tuple[Tensor, Tensor]:
    """The mean of layers 0 to ``layers``; ``to_users(items)`` and ``to_items(users)`` make the next layer."""
    user_sum, item_sum = users, items
    for _ in range(layers):
        users, items = to_users(items), to_items(users)
        user_sum, item_sum = user_sum + users, item_sum + items
    return user_sum / (layers + 1), item_sum / (layers + 1)


class LightGAT(FactorRecommender):
    """LightGCN whose neighbours count according to learned attention.

    The attention score of an edge is ``a . LeakyReLU(U x_user + V x_item)``, the form of GATv2 (Brody et al., 2022;
    graph attention: Veličković et al., 2018), on the embeddings (layer 0). A softmax over the neighbours of the
    receiving node makes weights of it, and these, times the number of neighbours, multiply LightGCN's weights. So with
    equal scores (``a = 0``, as training begins) the model is LightGCN, and attention has to earn its difference.

    Parameters
    ----------
    dim : int, default 64
    layers : int, default 2
    attention_dim : int, default 8
        Length of ``a``.
    l2, negatives, n_negatives, loss
        See :class:`~mmrec_lib.models.torch_base.FactorRecommender`.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)
        After propagation.
    user_attention_, item_attention_ : float32 (n_edges,)
        For each training pair, in the order of ``seen_``: the weight of the item among the user's items, and of the
        user among the item's users. Each sums to one over the neighbours.
    user_embeddings_, item_embeddings_ : float32 (n_users, dim), (n_items, dim)
        Before propagation (layer 0), so that one can propagate them again with other weights.
    """

    name = "lightgat"

    def __init__(
        self, dim: int = 64, layers: int = 2, attention_dim: int = 8, l2: float = 0.01, negatives: str = "uniform",
        n_negatives: int = 1, loss: str = "bpr", epochs: int = 100, batch_size: int = 8192,
        learning_rate: float = 0.01, weight_decay: float = 0.0, metric: str = "ndcg@20", eval_every: int = 5,
        patience: int = 5, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(
            dim, l2, negatives, n_negatives, loss, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, metric=metric, eval_every=eval_every, patience=patience, seed=seed,
            device=device,
        )  # fmt: skip
        self.layers = whole("layers", layers)
        self.attention_dim = whole("attention_dim", attention_dim)

    def _build(self, train, features):
        return Attentive(self.seen_, self.dim, self.layers, self.attention_dim, self._device)

    def _keep(self, module):
        to_users, to_items = module.attention()
        kept = {
            "user_attention_": to_users,
            "item_attention_": to_items,
            "user_embeddings_": module.user,
            "item_embeddings_": module.item,
        }
        return super()._keep(module) | {name: to_numpy(value) for name, value in kept.items()}


class Attentive(Embeddings):
    """Embeddings averaged over their layers, with attention on the edges of ``seen`` ``(n_users, n_items)``."""

    def __init__(self, seen, dim: int, layers: int, attention_dim: int, device: torch.device) -> None:
        super().__init__(*seen.shape, dim)
        self.layers, self.edges = layers, WeightedEdges(seen, device)
        self.from_user = nn.Linear(dim, attention_dim)
        self.from_item = nn.Linear(dim, attention_dim, bias=False)
        self.vector = nn.Parameter(torch.zeros(attention_dim))
        degree_u = torch.bincount(self.edges.users, minlength=seen.shape[0]).to(torch.float32)
        degree_i = torch.bincount(self.edges.items, minlength=seen.shape[1]).to(torch.float32)
        # weight of LightGCN times the number of neighbours of the receiver: sqrt(d_receiver / d_sender)
        ratio = (degree_u[self.edges.users] / degree_i[self.edges.items]).sqrt()
        self._user_scale, self._item_scale = ratio, 1 / ratio

    def attention(self) -> tuple[Tensor, Tensor]:
        """Weights of all edges among the receiving user's items, and among the receiving item's users."""
        u = self.from_user(self.user).index_select(0, self.edges.users)
        i = self.from_item(self.item).index_select(0, self.edges.items)
        scores = nn.functional.leaky_relu(u + i, 0.2) @ self.vector
        return self.edges.softmax(scores, "users"), self.edges.softmax(scores, "items")

    def forward(self) -> tuple[Tensor, Tensor]:
        for_users, for_items = self.attention()
        for_users, for_items = for_users * self._user_scale, for_items * self._item_scale
        return propagate(
            self.user,
            self.item,
            self.layers,
            lambda items: self.edges.to_users(for_users, items),
            lambda users: self.edges.to_items(for_items, users),
        )
