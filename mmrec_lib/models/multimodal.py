"""What recommenders from clicks and content have in common: vectors of content, graphs of items, the base class."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from ..checks import above, at_least, whole
from ..data import Features
from ..training.graph import SparseMatrix, mean_of_layers, normalise
from .content import nearest_by_content, standardise, unit_rows
from .torch_base import Embeddings, FactorRecommender, to_numpy

#: Above so many dimensions the main directions are found by a randomised method (Halko et al., 2011).
_EXACT_UP_TO = 1024
#: Results kept by :func:`remembered`.
_MOST_KEPT = 16
_kept: OrderedDict[str, object] = OrderedDict()


# -- vectors and graphs that depend on the content alone -----------------------------------------------------------


def remembered(make: Callable, arrays: tuple[np.ndarray, ...], *settings):
    """``make(*arrays, *settings)``, kept under a hash of its name, the arrays' content and the settings.

    A search trains many models on the same features; what does not depend on the clicks is computed once. The last
    16 results stay in memory; do not change them in place.
    """
    digest = hashlib.blake2b(repr((make.__module__, make.__qualname__, settings)).encode(), digest_size=16)
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array))
    key = digest.hexdigest()
    if key not in _kept:
        _kept[key] = make(*arrays, *settings)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def prepare(features: Features, components: int | None) -> dict[str, np.ndarray]:
    """Features standardised, turned to their main directions, and scaled to length 1; zeros where there is nothing."""
    return {m: remembered(_main_directions, (x, features.mask[m]), components) for m, x in features.items()}


def _main_directions(vectors: np.ndarray, mask: np.ndarray, components: int | None) -> np.ndarray:
    x = standardise(vectors, mask)
    if components is not None and components < x.shape[1]:
        if x.shape[1] <= _EXACT_UP_TO:
            directions = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :components]  # eigenvalues come in rising order
        else:
            from sklearn.utils.extmath import randomized_svd

            directions = randomized_svd(x, components, n_iter=4, random_state=0)[2].T
        x = x @ directions
    return unit_rows(x).astype(np.float32)


def item_graph(vectors: np.ndarray, k: int) -> sparse.csr_matrix:
    """Each item's ``k`` nearest by cosine, with weight 1 where the cosine is positive, normalised by both degrees.

    ``vectors`` are rows of length 1, or zeros for items without the medium, which have no neighbours. No item is its
    own neighbour. Computed in blocks, so that memory does not grow with the square of the catalogue.
    """
    return remembered(_item_graph, (vectors,), k)


def _item_graph(vectors: np.ndarray, k: int) -> sparse.csr_matrix:
    graph = nearest_by_content(vectors, k)
    graph.data[:] = 1
    return normalise(graph)


# -- the base ------------------------------------------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class MultimodalRecommender(FactorRecommender):
    """Base of models that score by a dot product of vectors made from clicks and content. A subclass writes:

    ``_build(train, features)``
        A module whose ``forward()`` gives the vectors of all users and all items; ``self._content`` (modality to
        prepared vectors, tensors ``(n_items, components)``) and ``self._has`` (``(n_items, 1)``, 1 where there is the
        medium) are there. Vectors of content are constants: they stay out of the optimiser.
    ``_auxiliary(module, vectors, batch)``, where it has a further loss
        ``vectors`` is what ``module()`` gave.

    Negatives are drawn among items that somebody met. Items lack a modality where the features' mask says so; then it
    adds nothing to them. Features whose masks are False throughout leave what the model is without content.

    Parameters
    ----------
    dim : int, default 64
        Length of the vectors.
    components : int or None, default 128
        Principal components kept of each modality; None: all dimensions.
    map_rate : float, default 0.1
        Learning rate of maps (linear layers), as a share of ``learning_rate``. All items pull at a map in each step, an
        embedding waits for its item; at equal rates the maps settle before the embeddings have learned anything.
    modality_dropout : float, default 0
        In training, each item loses each of its modalities with this probability, anew for each batch.
    graph_at_test : int, default 0
        After training, average the vectors over so many steps along the graph of users and items. With a model that
        is trained without the graph this is graph convolution in the test phase only (FastMMRec: Xu et al., 2025).
    l2, negatives, n_negatives, loss
        See :class:`~mmrec_lib.models.torch_base.FactorRecommender`.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, length), (n_items, length)
    """

    needs_features = True
    scores_new_items = True
    _spare_new_items = True

    dim: int = 64
    components: int | None = 128
    map_rate: float = 0.1
    modality_dropout: float = 0.0
    graph_at_test: int = 0
    l2: float = 0.02
    negatives: str = "uniform"
    n_negatives: int = 1
    loss: str = "bpr"
    epochs: int = 100
    batch_size: int = 8192
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    metric: str = "ndcg@20"
    eval_every: int = 5
    patience: int = 5
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        training = ("epochs", "batch_size", "learning_rate", "weight_decay", "metric", "eval_every", "patience", "seed")
        super().__init__(
            self.dim, self.l2, self.negatives, self.n_negatives, self.loss,
            **{name: getattr(self, name) for name in training}, device=self.device,
        )  # fmt: skip
        self.components = None if self.components is None else whole("components", self.components)
        self.map_rate = above("map_rate", self.map_rate, 0)
        self.modality_dropout = at_least("modality_dropout", self.modality_dropout, 0, below=1)
        self.graph_at_test = whole("graph_at_test", self.graph_at_test, least=0)

    def _prepare(self, train, features) -> None:
        super()._prepare(train, features)
        self._vectors = prepare(features, self.components)
        self._content = {m: self._tensor(x) for m, x in self._vectors.items()}
        self._has = {m: self._tensor(features.mask[m][:, None].astype(np.float32)) for m in self._vectors}
        self._clicks = self._module = None

    def _optimizer(self, module):
        maps = {id(p): p for layer in self._slow(module) for p in layer.parameters()}
        rest = [p for p in module.parameters() if id(p) not in maps]
        groups = [{"params": rest, "lr": self.learning_rate}]
        if maps:
            groups.append({"params": list(maps.values()), "lr": self.learning_rate * self.map_rate})
        return torch.optim.AdamW(groups, weight_decay=self.weight_decay, fused=True)

    def _slow(self, module) -> list[nn.Module]:
        """Layers that learn at ``map_rate``."""
        return [m for m in module.modules() if isinstance(m, (nn.Linear, nn.Embedding))]

    def _click_graph(self) -> SparseMatrix:
        """The normalised ``(n_users, n_items)`` half of the graph of clicks."""
        if self._clicks is None:
            self._clicks = SparseMatrix(normalise(self.seen_), self._device)
        return self._clicks

    def _item_graphs(self, k: int) -> list[SparseMatrix]:
        """The graph of each modality's nearest items."""
        return [SparseMatrix(item_graph(x, k), self._device) for x in self._vectors.values()]

    def _loss(self, module, batch):
        vectors = module()
        return self._pair_loss(module, vectors, batch) + self._auxiliary(module, vectors, batch)

    def _auxiliary(self, module, vectors: tuple[Tensor, Tensor], batch) -> Tensor | float:
        return 0.0

    def _final(self, module) -> tuple[Tensor, Tensor]:
        users, items = module()
        if self.graph_at_test:
            users, items = mean_of_layers(users, items, self._click_graph(), self.graph_at_test)
        return users, items

    def _scorer(self, module):
        users, items = self._final(module)
        return lambda block: (users[self._tensor(block)] @ items.T).cpu().numpy()

    def _keep(self, module):
        users, items = self._final(module)
        self._content, self._has, self._vectors = {}, {}, {}  # as large as the data, needed no more
        self._clicks = self._module = None
        return {"user_factors_": to_numpy(users), "item_factors_": to_numpy(items)}


class ContentEmbeddings(Embeddings):
    """Embeddings of users and items, and a linear map from the content of each modality to their space.

    An item that nobody met has no embedding to learn: it starts at zero, and content alone places it.

    Parameters
    ----------
    model : MultimodalRecommender
        Prepared: gives sizes, content and settings.
    bias : bool, default True
        Of the maps; it is added only where there is the medium.
    """

    def __init__(self, model: MultimodalRecommender, bias: bool = True) -> None:
        super().__init__(model.n_users_, model.n_items_, model.dim)
        with torch.no_grad():
            self.item *= torch.from_numpy(model.popularity_ > 0)[:, None]
        # constants, kept in lists so that they are no part of the module's state
        self._inputs = [list(model._content.values()), list(model._has.values())]
        self.modality_dropout = model.modality_dropout
        self.maps = nn.ModuleList(nn.Linear(x.shape[1], model.dim, bias=bias) for x in self._inputs[0])

    @property
    def has(self) -> list[Tensor]:
        """For each modality ``(n_items, 1)``: 1 where the item has it."""
        return self._inputs[1]

    def content(self) -> list[Tensor]:
        """Each modality in the common space, ``(n_items, dim)``; zeros where an item lacks it, or loses it now."""
        return [layer(x) * has for layer, x, has in zip(self.maps, self._inputs[0], self.present(), strict=True)]

    def present(self) -> list[Tensor]:
        """``has``, in training with some entries dropped."""
        if not (self.training and self.modality_dropout):
            return self.has
        return [has * (torch.rand_like(has) >= self.modality_dropout) for has in self.has]
