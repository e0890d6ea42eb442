"""Neural collaborative filtering: a network, not a dot product, joins user and item."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import at_least, one_of, whole
from ..errors import ParameterError
from ..training import losses
from .torch_base import ModuleRecommender, PairSampling


class NeuMF(PairSampling, ModuleRecommender):
    """Neural matrix factorisation (He et al., 2017): an element-wise product and a perceptron, joined by a last layer.

    Trained by cross-entropy on observed pairs and ``n_negatives`` unobserved ones for each. A score needs a pass of
    the network for each pair, so a full ranking costs far more than with a dot product; and it is seldom better for
    it (Rendle et al., 2020).

    Parameters
    ----------
    dim : int, default 32
        Length of the vectors of the product part; the perceptron has its own, of the same length.
    layers : tuple of int, default (64, 32)
        Widths of the perceptron's hidden layers.
    dropout : float, default 0.1
        In the perceptron.
    l2 : float, default 0.01
        Weight of the squared length of the embeddings in the batch.
    negatives : {"uniform", "popularity"}, default "uniform"
    n_negatives : int, default 4
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.

    Attributes
    ----------
    weights_... : float32 arrays
        Weights of the network, by layer; ``weights_user_`` and ``weights_item_`` are the embeddings, the product
        part first.
    """

    name = "neumf"

    def __init__(
        self, dim: int = 32, layers: tuple[int, ...] = (64, 32), dropout: float = 0.1, l2: float = 0.01,
        negatives: str = "uniform", n_negatives: int = 4, epochs: int = 30, batch_size: int = 2048,
        learning_rate: float = 0.002, weight_decay: float = 0.0, metric: str = "ndcg@20", eval_every: int = 2,
        patience: int = 3, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device)
        self.dim = whole("dim", dim)
        self.layers = [whole("layers", width) for width in layers]
        if not self.layers:
            raise ParameterError("layers=(): give the width of at least one hidden layer")
        self.dropout, self.l2 = at_least("dropout", dropout, 0, below=1), at_least("l2", l2, 0)
        self.negatives = one_of("negatives", negatives, ("uniform", "popularity"))
        self.n_negatives = whole("n_negatives", n_negatives)

    def _module(self):
        return NeuMFNetwork(self.n_users_, self.n_items_, self.dim, self.layers, self.dropout)

    def _loss(self, module, batch):
        users, positives, negatives = batch
        items = torch.cat([positives[:, None], negatives], dim=1)
        u, i = module.user.index_select(0, users), module.item.index_select(0, items.flatten())
        i = i.view(*items.shape, -1)
        scores = module(u[:, None].expand_as(i), i)
        loss = losses.bce(scores[:, 0], scores[:, 1:])
        return loss + self.l2 / 2 * (u.square().sum() + i.square().sum()) / len(users)

    def _module_scores(self, module, users):
        # the first layer is linear in user and item, so its two parts are computed once and added for each pair
        return module.all_items(module.user[self._tensor(np.asarray(users))])


class NeuMFNetwork(nn.Module):
    """Embeddings ``(..., 2 * dim)`` of users and items to scores ``(...,)``."""

    def __init__(self, n_users: int, n_items: int, dim: int, layers: list[int], dropout: float) -> None:
        super().__init__()
        self.dim = dim
        self.user = nn.Parameter(torch.randn(n_users, 2 * dim) * 0.1)
        self.item = nn.Parameter(torch.randn(n_items, 2 * dim) * 0.1)
        self.from_user = nn.Linear(dim, layers[0])
        self.from_item = nn.Linear(dim, layers[0], bias=False)
        deeper = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(layers)]
        self.deeper = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), *deeper)
        self.last = nn.Linear(dim + layers[-1], 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        d = self.dim
        hidden = self.deeper(self.from_user(users[..., d:]) + self.from_item(items[..., d:]))
        return self.last(torch.cat([users[..., :d] * items[..., :d], hidden], dim=-1)).squeeze(-1)

    def all_items(self, users: Tensor, block: int = 16) -> Tensor:
        """Scores of all items for each user vector, ``(len(users), n_items)``."""
        d = self.dim
        first_u, first_i = self.from_user(users[:, d:]), self.from_item(self.item[:, d:])
        product_weight, hidden_weight = self.last.weight[0, :d], self.last.weight[0, d:]
        scores = (users[:, :d] * product_weight) @ self.item[:, :d].T + self.last.bias
        for start in range(0, len(users), block):  # hidden layers of a few users with all items fit into the cache
            part = slice(start, start + block)
            scores[part] += self.deeper(first_u[part, None] + first_i) @ hidden_weight
        return scores
