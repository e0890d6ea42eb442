"""Factor models whose items are described by content as well: visual BPR and its relatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import whole
from .multimodal import ContentEmbeddings, MultimodalRecommender, remembered


@dataclass(repr=False, eq=False)
class VBPR(MultimodalRecommender):
    """Visual Bayesian personalised ranking (He and McAuley, AAAI 2016), for any set of modalities.

    ``score = b_i + p_u . q_i + t_u . E f_i + beta . f_i``: an item has a bias, factors that clicks teach, and factors
    that a linear map ``E`` reads from its content; the user has a taste for both. With several modalities, ``E f_i``
    and ``beta . f_i`` are sums over them.

    Parameters
    ----------
    l2 : float, default 0.02
        On all vectors of a batch.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "vbpr"
    _penalty_on_vectors = True

    map_rate: float = 1.0
    batch_size: int = 4096
    learning_rate: float = 0.005

    def _build(self, train, features):
        return VisualFactors(self)


class VisualFactors(ContentEmbeddings):
    """Users ``[p, t, 1]``, items ``[q, E f, b + beta . f]``."""

    def __init__(self, model) -> None:
        super().__init__(model, bias=False)
        self.taste = nn.Parameter(torch.randn(model.n_users_, model.dim) * 0.03)
        self.bias = nn.Parameter(torch.zeros(model.n_items_, 1))
        self.content_bias = nn.ModuleList(nn.Linear(layer.in_features, 1, bias=False) for layer in self.maps)

    def forward(self) -> tuple[Tensor, Tensor]:
        present = self.present()
        inputs = [x * has for x, has in zip(self._inputs[0], present, strict=True)]
        shown = sum(layer(x) for layer, x in zip(self.maps, inputs, strict=True))
        bias = self.bias + sum(layer(x) for layer, x in zip(self.content_bias, inputs, strict=True))
        ones = torch.ones_like(self.user[:, :1])
        return torch.cat([self.user, self.taste, ones], dim=1), torch.cat([self.item, shown, bias], dim=1)


@dataclass(repr=False, eq=False)
class DeepStyle(MultimodalRecommender):
    """Style: what content shows beyond the category (Liu, Wu and Wang, SIGIR 2017).

    ``score = p_u . (E f_i - c_k(i) + q_i)``, where ``k(i)`` is the item's category: subtracting its vector leaves what
    sets the item apart within the category. Categories are read from the modality ``category`` of the features
    (one-hot rows); without it, items are divided by k-means on their content.

    Parameters
    ----------
    category : str, default "category"
        Modality with the categories.
    n_categories : int, default 32
        Number of clusters where there is no such modality.
    l2 : float, default 0.02
        On all vectors of a batch.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "deepstyle"
    _penalty_on_vectors = True

    category: str = "category"
    n_categories: int = 32
    map_rate: float = 1.0
    batch_size: int = 4096
    learning_rate: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        self.n_categories = whole("n_categories", self.n_categories)

    def _prepare(self, train, features) -> None:
        content = features.only(*(m for m in features if m != self.category))
        super()._prepare(train, content)
        if self.category in features:
            groups, known = features[self.category].argmax(axis=1), features.mask[self.category]
        else:
            vectors = np.concatenate(list(self._vectors.values()), axis=1)
            groups, known = remembered(_clusters, (vectors,), self.n_categories), (vectors != 0).any(axis=1)
        self._groups = self._tensor(groups.astype(np.int64))
        self._known = self._tensor(known[:, None].astype(np.float32))

    def _build(self, train, features):
        return Style(self, self._groups, self._known)


def _clusters(vectors, n: int):
    from sklearn.cluster import KMeans

    n = min(n, len(np.unique(vectors, axis=0)))
    return KMeans(n, n_init=1, random_state=0).fit_predict(vectors)


class Style(ContentEmbeddings):
    """Items ``q + E f - c``; the category counts only where it is known."""

    def __init__(self, model, groups: Tensor, known: Tensor) -> None:
        super().__init__(model, bias=False)
        self.category = nn.Parameter(torch.randn(int(groups.max()) + 1, model.dim) * 0.03)
        self._groups = [groups, known]

    def forward(self) -> tuple[Tensor, Tensor]:
        groups, known = self._groups
        return self.user, self.item + sum(self.content()) - self.category.index_select(0, groups) * known


@dataclass(repr=False, eq=False)
class FM(MultimodalRecommender):
    """Factorisation machine over user, item and content (Rendle, ICDM 2010).

    Each of the three has factors: the user ``p``, the item ``q``, and each dimension of the content a row of ``V``. All
    pairs interact: ``score = p . q + p . V'f + q . V'f + w_i + beta . f + (|V'f|^2 - |V|^2'f^2) / 2``. What does not
    depend on the user is the item's bias; the user's own bias does not change the order and is left out.

    Parameters
    ----------
    l2 : float, default 0.02
        On all vectors of a batch.

    The rest: see :class:`~mmrec_lib.models.multimodal.MultimodalRecommender`.
    """

    name = "fm"
    _penalty_on_vectors = True

    map_rate: float = 1.0
    batch_size: int = 4096
    learning_rate: float = 0.005

    def _build(self, train, features):
        return Machine(self)


class Machine(ContentEmbeddings):
    """Users ``[p, 1]``, items ``[q + V'f, bias]``."""

    def __init__(self, model) -> None:
        super().__init__(model, bias=False)
        self.bias = nn.Parameter(torch.zeros(model.n_items_, 1))
        self.content_bias = nn.ModuleList(nn.Linear(layer.in_features, 1, bias=False) for layer in self.maps)

    def forward(self) -> tuple[Tensor, Tensor]:
        inputs = [x * has for x, has in zip(self._inputs[0], self.present(), strict=True)]
        shown = sum(layer(x) for layer, x in zip(self.maps, inputs, strict=True))
        squares = sum(
            x.square() @ layer.weight.square().sum(0)[:, None] for layer, x in zip(self.maps, inputs, strict=True)
        )
        pairs = (self.item * shown).sum(1, keepdim=True) + (shown.square().sum(1, keepdim=True) - squares) / 2
        bias = self.bias + pairs + sum(layer(x) for layer, x in zip(self.content_bias, inputs, strict=True))
        return torch.cat([self.user, torch.ones_like(self.user[:, :1])], 1), torch.cat([self.item + shown, bias], 1)
