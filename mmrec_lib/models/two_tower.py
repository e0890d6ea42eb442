"""Two towers: one network makes a vector of the user, one of the item; they meet in a dot product only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from .. import fusion as operators
from ..checks import at_least, one_of, whole
from ..errors import DataError, ParameterError, UnknownNameError
from ..fusion.base import seeded
from ..training import losses
from .fold_in import FoldsIn
from .multimodal import prepare
from .torch_base import TorchRecommender, to_numpy


class TwoTower(FoldsIn, TorchRecommender):
    """Two towers with an in-batch softmax that is corrected for popularity (Yi et al., RecSys 2019).

    The vector of item ``i`` is ``e_i + sum over modalities of W_m x_i^m``, that of user ``u`` is ``e_u + sum over
    modalities of H_m mean of x_j^m over u's other items j``. Features are standardised, reduced, and scaled to length
    1 first. A modality that an item lacks adds nothing to the item, and does not count in the mean; while a pair is
    trained on, its item is left out of the user's mean. An item that nobody met is placed by its content alone.

    The negatives of a pair are the items of the other pairs in its batch, so that an item is drawn as often as it is
    popular; ``log_q`` makes up for it. Towers are linear, and vectors keep their length: on the data of the book
    neither deeper towers nor cosines were needed.

    Parameters
    ----------
    dim : int, default 64
        Length of the vectors.
    use_ids : bool, default True
        Does an item have an embedding of its own? Without, items are their content, which is what new items need.
    users : {"both", "ids", "history"}, default "both"
        What a user's vector is made of: an embedding, the content of what was chosen, or both. Without features,
        embeddings alone.
    components : int or None, default 128
        Principal components kept of each modality; None: all dimensions.
    fusion : str, optional
        Operator that makes one vector of an item's modalities, a name of ``mm.fusion.available()``. Default: the sum
        of one linear map a modality, as above.
    fusion_options : dict, optional
        Further arguments of the operator.
    modality_dropout : float, default 0
        In training, each item loses each of its modalities with this probability, anew for each batch.
    l2 : float, default 0.2
        Weight of the squared length of both towers' vectors (half their sum over the batch size).
    log_q : bool, default True
        Subtract from each score the log probability that the item is in the batch. False pushes popular items down.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)
    history_factors_ : float32 (n_modalities, n_items, dim)
        What each item adds to the mean of a user who chose it; empty where users are embeddings alone.
    has_ : bool (n_modalities, n_items)
        Which items have which modality.
    modalities_ : list of str
        Their order.
    modality_weights_ : float32 (n_items, n_modalities)
        How much each modality counted in an item's vector, as ``fusion`` says; without it, no columns.
    tower_... : float32 arrays
        Weights of the maps from content to an item's vector, by layer; see :meth:`item_content`.

    Raises
    ------
    DataError
        ``fit`` without features where users or items are nothing but content.
    """

    name = "twotower"

    def __init__(
        self, dim: int = 64, use_ids: bool = True, users: str = "both", components: int | None = 128, l2: float = 0.2,
        log_q: bool = True, fusion: str | None = None, fusion_options: dict | None = None,
        modality_dropout: float = 0.0, epochs: int = 100, batch_size: int = 1024, learning_rate: float = 0.005,
        weight_decay: float = 0.0, metric: str = "ndcg@20", eval_every: int = 5, patience: int = 3, seed: int = 0,
        device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device)
        self.dim = whole("dim", dim)
        self.use_ids, self.log_q = bool(use_ids), bool(log_q)
        self.users = one_of("users", users, ("both", "ids", "history"))
        self.components = None if components is None else whole("components", components)
        self.l2 = at_least("l2", l2, 0)
        if fusion is not None and fusion not in operators.available():
            raise UnknownNameError("fusion operator", fusion, operators.available())
        self.fusion, self.fusion_options = fusion, None if fusion_options is None else dict(fusion_options)
        self.modality_dropout = at_least("modality_dropout", modality_dropout, 0, below=1)

    @property
    def scores_new_items(self) -> bool:
        """Yes, once it is fitted with features."""
        return bool(getattr(self, "modalities_", ()))

    @property
    def histories(self) -> str:
        """``"exact"`` where users are the content of what they chose, at least in part: others have no embedding."""
        return "exact" if len(getattr(self, "history_factors_", ())) else "fitted"

    def _prepare(self, train, features) -> None:
        content = {} if features is None else prepare(features, self.components)
        if not content and (not self.use_ids or self.users == "history"):
            setting = "use_ids=False" if not self.use_ids else "users='history'"
            raise DataError(f"TwoTower with {setting} knows items by content alone: call fit(train, features=...)")
        self._content = {m: self._tensor(x) for m, x in content.items()}
        self.modalities_ = list(content)
        self.has_ = np.stack([features.mask[m] for m in content]) if content else np.zeros((0, self.n_items_), bool)
        has = self.has_.astype(np.float32)[..., None]
        self._has = {m: self._tensor(column) for m, column in zip(content, has, strict=True)}
        # sums over each user's items, from which the item of a pair is taken away again: no loop over histories
        self._sums, self._counts = {}, {}
        if self.users != "ids":
            for (m, x), column in zip(content.items(), has, strict=True):
                self._sums[m] = self._tensor(self.seen_ @ x)
                self._counts[m] = self._tensor(self.seen_ @ column)
        share = np.maximum(self.popularity_, 1) / max(self.popularity_.sum(), 1)
        self._log_q = self._tensor(np.log(share).astype(np.float32))

    def _build(self, train, features):
        sizes = {m: x.shape[1] for m, x in self._content.items()}
        user_ids = self.users != "history"
        met = self.popularity_ > 0
        return Towers(*train.shape, self.dim, sizes, user_ids, self.use_ids, self._sums, met, self._operator(sizes))

    def _operator(self, sizes: dict[str, int]) -> nn.Module | None:
        if self.fusion is None or not sizes:
            return None
        return operators.create(self.fusion, sizes, self.dim, seed=self.seed, **(self.fusion_options or {}))

    def _batches(self, rng, epoch):
        rows = np.repeat(np.arange(self.n_users_), np.diff(self.seen_.indptr))
        order = rng.permutation(len(rows))
        users, items = (self._tensor(x[order].astype(np.int64)) for x in (rows, self.seen_.indices))
        yield from zip(users.split(self.batch_size), items.split(self.batch_size), strict=True)

    def _loss(self, module, batch):
        users, items = batch
        u, i = self._user_vectors(module, users, without=items), self._item_vectors(module, items)
        loss = losses.in_batch_softmax(u @ i.T, items, self._log_q[items] if self.log_q else None)
        return loss + self.l2 / 2 * (u.square().sum() + i.square().sum()) / len(users)

    def _item_vectors(self, module, items: Tensor) -> Tensor:
        content, has = {m: x[items] for m, x in self._content.items()}, {m: x[items] for m, x in self._has.items()}
        if module.training and self.modality_dropout:
            has = {m: x * (torch.rand_like(x) >= self.modality_dropout) for m, x in has.items()}
            content = {m: x * has[m] for m, x in content.items()}
        return module.item_tower(items, content, {m: x[:, 0] > 0 for m, x in has.items()})

    def _user_vectors(self, module, users: Tensor, without: Tensor | None = None) -> Tensor:
        means = {}
        for m, sums in self._sums.items():
            total, count = sums[users], self._counts[m][users]
            if without is not None:
                total, count = total - self._content[m][without], count - self._has[m][without]
            means[m] = total / count.clamp(min=1)
        return module.user_tower(users, means)

    def _scorer(self, module):
        items = self._item_vectors(module, torch.arange(self.n_items_, device=self._device))
        return lambda users: (self._user_vectors(module, self._tensor(users)) @ items.T).cpu().numpy()

    def _keep(self, module):
        users = self._user_vectors(module, torch.arange(self.n_users_, device=self._device))
        items = self._item_vectors(module, torch.arange(self.n_items_, device=self._device))
        weights = to_numpy(module.modality_weights(self._content, {m: x[:, 0] > 0 for m, x in self._has.items()}))
        parts = [to_numpy(layer(self._content[m])) for m, layer in zip(self._sums, module.history, strict=True)]
        kept = np.stack(parts) if parts else np.zeros((0, self.n_items_, self.dim), np.float32)
        self._content, self._sums, self._counts, self._has = {}, {}, {}, {}  # as large as the data, needed no more
        factors = {"user_factors_": to_numpy(users), "item_factors_": to_numpy(items)}
        tower = {_tower(k): to_numpy(v) for k, v in module.state_dict().items() if k.startswith(("content.", "fused."))}
        return factors | tower | {"history_factors_": kept, "modality_weights_": weights}

    def _score(self, users):
        return self.user_factors_[users] @ self.item_factors_.T

    def _score_histories(self, histories, users):
        if not len(self.history_factors_):
            return super()._score_histories(histories, users)
        vectors = self._history_vectors(histories)
        if users is not None:  # what their embeddings say stays
            vectors += self.user_factors_[users] - self._history_vectors(self.seen_[users])
        return vectors @ self.item_factors_.T

    def _history_vectors(self, histories: sparse.csr_matrix) -> np.ndarray:
        """What the content of the items adds to the vectors of people who chose them, ``(n, dim)``."""
        vectors = np.zeros((histories.shape[0], self.dim), np.float32)
        for part, has in zip(self.history_factors_, self.has_, strict=True):
            vectors += (histories @ part) / np.maximum(histories @ has.astype(np.float32), 1)[:, None]
        return vectors

    def item_content(self, content: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        """What content adds to the vectors of items, ``(n, dim)``; gradients flow to ``content``.

        ``content`` holds vectors of all modalities as :func:`~mmrec_lib.models.multimodal.prepare` makes them, ``(n,
        components)``, ``has`` which are there, boolean ``(n,)``; all on the CPU. The rows need not be items of the
        catalogue, so one can ask what an item would be without its picture. Raises :class:`ParameterError` for a model
        without content or with other modalities.
        """
        self._check_users([])  # fitted?
        if not self.modalities_ or list(content) != self.modalities_:
            known = ", ".join(self.modalities_) or "no content at all"
            raise ParameterError(
                f"content holds {', '.join(content)}; this TwoTower learned from {known}, in this order"
            )
        sizes = {m: x.shape[1] for m, x in content.items()}
        with seeded(0):  # initial weights are drawn, and replaced
            tower = Towers(0, 0, self.dim, sizes, False, False, (), np.zeros(0, bool), self._operator(sizes)).eval()
        tower.load_state_dict({name: torch.from_numpy(getattr(self, _tower(name))) for name in tower.state_dict()})
        shown = {m: x * has[m][:, None] for m, x in content.items()}
        return tower.item_tower(torch.zeros(0, dtype=torch.int64), shown, has)


class Towers(nn.Module):
    """Embeddings and projections; which of them there are is decided by the model."""

    def __init__(
        self, n_users: int, n_items: int, dim: int, sizes: dict[str, int], user_ids: bool, item_ids: bool,
        history: Sequence[str], met: np.ndarray, fused: nn.Module | None = None, scale: float = 0.03,
    ) -> None:  # fmt: skip
        super().__init__()
        self.user = nn.Parameter(torch.randn(n_users, dim) * scale) if user_ids else None
        # what nobody met has nothing learned, and no random start either
        self.item = nn.Parameter(torch.randn(n_items, dim) * scale * torch.tensor(met)[:, None]) if item_ids else None
        self.fused = fused
        separate = sizes.values() if fused is None else ()
        self.content = nn.ModuleList(nn.Linear(size, dim, bias=False) for size in separate)
        self.history = nn.ModuleList(nn.Linear(sizes[m], dim, bias=False) for m in history)

    def item_tower(self, items: Tensor, content: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        """Vectors of items, from their codes and what each modality shows of them."""
        if self.fused is None:
            return _sum(self.item, items, self.content, content)
        vectors = self.fused(content, has)
        return vectors if self.item is None else vectors + self.item.index_select(0, items)

    def modality_weights(self, content: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        """Of all items ``(n_items, n_modalities)``; no columns without a fusion operator."""
        if self.fused is None:
            return next(self.parameters()).new_zeros(0, 0)
        return self.fused(content, has, return_weights=True)[1]

    def user_tower(self, users: Tensor, means: dict[str, Tensor]) -> Tensor:
        """Vectors of users, from their codes and the means of what they chose."""
        return _sum(self.user, users, self.history, means)


def _tower(name: str) -> str:
    """Attribute of a layer of the item tower: names with dots cannot be saved."""
    return f"tower_{name.replace('.', '_')}_"


def _sum(embedding: Tensor | None, codes: Tensor, layers: nn.ModuleList, inputs: dict[str, Tensor]) -> Tensor:
    parts = [layer(x) for layer, x in zip(layers, inputs.values(), strict=True)]
    if embedding is not None:
        parts.append(embedding.index_select(0, codes))
    return sum(parts[1:], parts[0])
