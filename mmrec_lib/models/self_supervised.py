"""Multimodal recommenders that teach themselves: by views of the same node that must agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import above, at_least, whole
from ..training.graph import SparseMatrix, mean_of_layers
from .multimodal import ContentEmbeddings, MultimodalRecommender
from .multimodal_graphs import contrastive


@dataclass(repr=False, eq=False)
class BM3(MultimodalRecommender):
    """Bootstrapped learning without negative samples (Zhou et al., WWW 2023).

    Two views of each vector differ by dropout: a predictor maps the one, the other is a fixed target. The user's
    prediction must point to the item's target and the other way round; the mapped content of the item must point to the
    same target, and to its own. Nothing is drawn that the user has not met, so no order is learned directly; scores are
    products of predictions. In the paper content takes part in the losses alone; with ``add_content`` it is also a part
    of the item's vector, without which an item that nobody met cannot be placed.

    Parameters
    ----------
    layers : int, default 1
        Steps over the graph of clicks.
    dropout : float, default 0.3
        Of the targets.
    content_loss : float, default 0.5
        Weight of the losses on content.
    add_content : bool, default True
    ranking : float, default 0
        Weight of a ranking loss with negatives beside it, which the paper does without.
    l2 : float, default 0
        On the embeddings of a batch. A cosine has no say in lengths; the steps away from it make the vectors of items
        with many clicks longer, and a penalty would take from the scores what they know of popularity.

    ``negatives``, ``n_negatives`` and ``loss`` matter for ``ranking`` alone. The rest: see
    :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "bm3"

    layers: int = 1
    dropout: float = 0.3
    content_loss: float = 0.5
    add_content: bool = True
    ranking: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers = whole("layers", self.layers, least=0)
        self.dropout = at_least("dropout", self.dropout, 0, below=1)
        self.content_loss = at_least("content_loss", self.content_loss, 0)
        self.ranking = at_least("ranking", self.ranking, 0)

    def _build(self, train, features):
        return Bootstrapped(self, self._click_graph())

    def _slow(self, module):
        # the predictor moves all targets' partners at once; held back, it lets the views collapse to one direction
        return [layer for layer in super()._slow(module) if layer is not module.predictor]

    def _loss(self, module, batch):
        users, items = module.online()
        u, i = users.index_select(0, batch[0]), items.index_select(0, batch[1])
        target_u, target_i = (F.dropout(x.detach(), self.dropout) for x in (u, i))
        predicted_u, predicted_i = module.predictor(u), module.predictor(i)
        loss = apart(predicted_u, target_i) + apart(predicted_i, target_u)
        for content, has in zip(module.content(), module.has, strict=True):
            c, there = content.index_select(0, batch[1]), has.index_select(0, batch[1])[:, 0]
            predicted, own = module.predictor(c), F.dropout(c.detach(), self.dropout)
            loss = loss + self.content_loss * (apart(predicted, target_i, there) + apart(predicted, own, there))
        own = module.user.index_select(0, batch[0]), module.item.index_select(0, batch[1])
        loss = loss + self.l2 / 2 * sum(x.square().sum() for x in own) / len(u)
        return loss + self.ranking * self._pair_loss(module, module(), batch) if self.ranking else loss


def apart(a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of one minus the cosine of the rows; rows of ``weight`` 0 do not count."""
    distance = 1 - F.cosine_similarity(a, b, dim=1)
    return distance.mean() if weight is None else (distance * weight).sum() / len(a)


class Bootstrapped(ContentEmbeddings):
    """Vectors over the graph of clicks, and the predictor that is applied to them at the end."""

    def __init__(self, model, clicks: SparseMatrix) -> None:
        super().__init__(model)
        self.clicks, self.layers, self.add_content = clicks, model.layers, model.add_content
        self.predictor = nn.Linear(model.dim, model.dim)
        nn.init.eye_(self.predictor.weight)

    def online(self) -> tuple[Tensor, Tensor]:
        """Before the predictor; an item's own vector is added once more to what the graph gives."""
        own = self.item + sum(self.content()) if self.add_content else self.item
        users, items = mean_of_layers(self.user, own, self.clicks, self.layers)
        return users, items + own

    def forward(self) -> tuple[Tensor, Tensor]:
        users, items = self.online()
        return self.predictor(users), self.predictor(items)


@dataclass(repr=False, eq=False)
class SLMRec(MultimodalRecommender):
    """Self-supervised learning over modalities (Tao et al., IEEE Transactions on Multimedia 2022).

    Embeddings and each modality's content are smoothed over the graph of clicks, each for itself, and mapped to one
    vector. Two tasks without labels help: the views with some dimensions of the content hidden must agree with the
    views in full, and each modality's view of an item must agree with that of the embeddings.

    Parameters
    ----------
    layers : int, default 2
        Steps over the graph of clicks.
    contrast : float, default 0.01
        Weight of the two tasks.
    temperature : float, default 0.2
    hidden_share : float, default 0.1
        Share of the dimensions that are hidden.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "slmrec"

    layers: int = 2
    contrast: float = 0.01
    temperature: float = 0.2
    hidden_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers, self.contrast = whole("layers", self.layers, least=0), at_least("contrast", self.contrast, 0)
        self.temperature = above("temperature", self.temperature, 0)
        self.hidden_share = at_least("hidden_share", self.hidden_share, 0, below=1)

    def _build(self, train, features):
        return Views(self, self._click_graph())

    def _auxiliary(self, module, vectors, batch):
        if not self.contrast:
            return 0.0
        rows, (ids, *modal) = batch[1], module.item_views
        hidden = module.fuse([ids, *(F.dropout(x, self.hidden_share) for x in modal)])
        total = contrastive(hidden, vectors[1], rows, self.temperature)
        for view in modal:
            total = total + contrastive(module.project(view), module.project(ids), rows, self.temperature) / len(modal)
        return self.contrast * total


class Views(ContentEmbeddings):
    """One view from the embeddings and one from each modality; ``item_views`` after each forward pass."""

    def __init__(self, model, clicks: SparseMatrix) -> None:
        super().__init__(model)
        self.clicks, self.layers = clicks, model.layers
        self.preference = nn.ParameterList(torch.randn(model.n_users_, model.dim) * 0.03 for _ in self.maps)
        self.join = nn.ModuleList(nn.Linear(model.dim, model.dim, bias=False) for _ in range(len(self.maps) + 1))
        for layer in self.join:
            nn.init.eye_(layer.weight)
        self.project = nn.Linear(model.dim, model.dim)
        self.item_views: list[Tensor] = []

    def fuse(self, views: list[Tensor]) -> Tensor:
        """Map each view and add: the same as one map of all views put side by side."""
        return sum(layer(view) for layer, view in zip(self.join, views, strict=True))

    def forward(self) -> tuple[Tensor, Tensor]:
        pairs = [(self.user, self.item), *zip(self.preference, self.content(), strict=True)]
        smooth = [mean_of_layers(users, items, self.clicks, self.layers) for users, items in pairs]
        self.item_views = [items for _, items in smooth]
        return self.fuse([users for users, _ in smooth]), self.fuse(self.item_views)
