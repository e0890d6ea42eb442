"""What recommenders trained by gradient descent have in common: the loop, validation, and keeping what was learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..checks import above, at_least, one_of, whole
from ..errors import DataError
from ..training import device as devices
from ..training import loop, losses
from ..training.sampling import NegativeSampler
from ..training.validation import Validator, parse_metric
from .base import Recommender
from .fold_in import FoldsIn


class TorchRecommender(Recommender):
    """Base of models with an ``nn.Module`` inside. A subclass writes:

    ``_build(train, features)``
        The module, on the CPU. Random initial weights come from torch's generator, which is seeded around this call.
    ``_batches(rng, epoch)``
        The batches of an epoch, drawn with the NumPy generator ``rng``; ``self.seen_`` and ``self._device`` are set.
    ``_loss(module, batch)``
        A scalar tensor.
    ``_scorer(module)``
        A function ``users -> scores`` for validation; what does not depend on the users is computed once, here.
    ``_keep(module)``
        Learned attributes as NumPy arrays, by name (ending in ``_``), from which ``_score`` works.

    Parameters
    ----------
    epochs : int
        Largest number of passes; with validation interactions, training stops earlier.
    batch_size : int
    learning_rate : float
        Of Adam.
    weight_decay : float, default 0
        Decoupled decay of all weights at each step.
    metric : str, default "ndcg@20"
        What early stopping looks at.
    eval_every, patience : int
        Validate every so many epochs; stop after so many validations in a row without a new best.
    seed : int
    device : str, default "auto"

    Attributes
    ----------
    history_ : DataFrame
        Learning curve: epoch, loss, metric, seconds.
    best_epoch_ : int
        The epoch that was kept; to train once more on all interactions, set ``epochs`` to it.
    """

    def __init__(
        self, epochs, batch_size, learning_rate, weight_decay=0.0, metric="ndcg@20", eval_every=5, patience=5, seed=0,
        device="auto",
    ) -> None:  # fmt: skip
        self.epochs = whole("epochs", epochs)
        self.batch_size = whole("batch_size", batch_size)
        self.learning_rate = above("learning_rate", learning_rate, 0)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        self.eval_every = whole("eval_every", eval_every)
        self.patience = whole("patience", patience)
        parse_metric(metric)
        self.metric = metric
        self.seed = whole("seed", seed, least=0)
        self.device = device
        self._checkpoint = None

    def fit_resumable(self, train, checkpoint, features=None, valid=None):
        """Like ``fit``, with a checkpoint in the file ``checkpoint``: when the file exists, training goes on from it.

        The result is the same as that of an uninterrupted ``fit``. Delete the file to start anew.
        """
        self._checkpoint = checkpoint
        try:
            return self.fit(train, features=features, valid=valid)
        finally:
            self._checkpoint = None

    def _fit(self, train, features, valid) -> None:
        self._device = devices.resolve(self.device)
        self._prepare(train, features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = self._build(train, features).to(self._device)
        validator = None if valid is None or not len(valid) else Validator(self.seen_, valid, self.metric)
        result = loop.fit(
            module,
            lambda epoch: self._batches(loop.epoch_rng(self.seed, epoch), epoch),
            lambda batch: self._loss(module, batch),
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            optimizer=self._optimizer(module),
            validate=None if validator is None else lambda: validator(self._scorer(module)),
            eval_every=self.eval_every,
            patience=self.patience,
            checkpoint=self._checkpoint,
            seed=self.seed,
            description=type(self).__name__,
        )
        self.history_, self.best_epoch_ = result.history, result.best_epoch
        with torch.no_grad():
            for name, value in self._keep(module).items():
                setattr(self, name, value)

    def _prepare(self, train, features) -> None:
        """Whatever a model computes once before training."""

    def _optimizer(self, module: nn.Module) -> torch.optim.Optimizer | None:
        """None: Adam with one learning rate, made by the training loop."""
        return None

    def _build(self, train, features) -> nn.Module:
        raise NotImplementedError

    def _batches(self, rng: np.random.Generator, epoch: int) -> Iterable:
        raise NotImplementedError

    def _loss(self, module: nn.Module, batch) -> Tensor:
        raise NotImplementedError

    def _scorer(self, module: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
        raise NotImplementedError

    def _keep(self, module: nn.Module) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    # the learning curve is a table; saved models hold plain lists
    def _state(self) -> dict:
        state = super()._state()
        if "history_" in state:
            state["history_"] = {c: v.tolist() for c, v in state["history_"].items()}
        return state

    def _restore(self, state: dict) -> None:
        super()._restore(state)
        if hasattr(self, "history_"):
            self.history_ = pd.DataFrame(self.history_)


class PairSampling:
    """Batches of observed pairs and unobserved items: ``(users (b,), positives (b,), negatives (b, n_negatives))``."""

    #: Are negatives drawn only among items that somebody met? That nobody met an item says nothing against it, and a
    #: model that can place it by its content must not be taught so.
    _spare_new_items = False

    def _prepare(self, train, features) -> None:
        rows = np.repeat(np.arange(self.n_users_), np.diff(self.seen_.indptr))
        self._drawn = np.flatnonzero(self.popularity_) if self._spare_new_items else np.arange(self.n_items_)
        self._sampler = self._make_sampler()
        if not self._sampler.has_negative[rows].any():  # who met all that was met: new items are all there is
            self._drawn = np.arange(self.n_items_)
            self._sampler = self._make_sampler()
        usable = self._sampler.has_negative[rows]  # who met everything has no order to learn
        if not usable.any():
            raise DataError(f"{type(self).__name__}: every user has met every item; there is nothing to learn from")
        self._pairs = rows[usable], self.seen_.indices[usable]

    def _make_sampler(self) -> NegativeSampler:
        seen = self.seen_ if len(self._drawn) == self.n_items_ else self.seen_[:, self._drawn]
        # hard negatives are chosen in the loss, where scores are at hand, from uniform candidates
        return NegativeSampler(seen, "uniform" if self.negatives == "hard" else self.negatives)

    def _batches(self, rng, epoch):
        users, items = self._pairs
        order = rng.permutation(len(users))
        users, items = users[order], items[order]
        negatives = self._drawn[self._sampler.sample(users, self.n_negatives, rng)]
        columns = [self._tensor(a.astype(np.int64)) for a in (users, items, negatives)]
        yield from zip(*(c.split(self.batch_size) for c in columns), strict=True)


class FactorRecommender(PairSampling, FoldsIn, TorchRecommender):
    """Base of models that score by the dot product of a user's and an item's vector, trained on pairs.

    The module's ``forward()`` gives the vectors of all users and all items, ``(n_users, dim)`` and ``(n_items, dim)``:
    embeddings, or what a graph or content makes of them. It is called once for each training batch, and once for a
    whole validation. A subclass writes ``_build``, and may override ``_loss``; the penalty is on ``module.user``
    and ``module.item``.

    Parameters
    ----------
    dim : int
        Length of the vectors.
    l2 : float
        Weight of the squared length of the embeddings in the batch (half their sum over the batch size).
    negatives : {"uniform", "popularity", "hard"}
        How unobserved items are drawn; "hard" takes the highest scored of ``n_negatives`` uniform draws.
    n_negatives : int
        Unobserved items for each observed one.
    loss : {"bpr", "softmax", "bce"}

    Attributes
    ----------
    user_factors_ : float32 (n_users, dim)
    item_factors_ : float32 (n_items, dim)
    """

    #: Is the penalty on the vectors that are multiplied, and not on the embeddings that they are made of?
    _penalty_on_vectors = False

    def __init__(self, dim, l2, negatives, n_negatives, loss, **training) -> None:
        super().__init__(**training)
        self.dim = whole("dim", dim)
        self.l2 = at_least("l2", l2, 0)
        self.negatives = one_of("negatives", negatives, ("uniform", "popularity", "hard"))
        self.n_negatives = whole("n_negatives", n_negatives)
        self.loss = one_of("loss", loss, ("bpr", "softmax", "bce"))

    def _loss(self, module, batch):
        return self._pair_loss(module, module(), batch)

    def _pair_loss(self, module, vectors: tuple[Tensor, Tensor], batch) -> Tensor:
        """The ranking loss of a batch and the penalty, given the vectors of all users and all items."""
        users, positives, negatives = batch
        items = torch.cat([positives, negatives.flatten()])  # one gather: its gradient is as large as the whole table
        all_users, all_items = vectors
        u, rows = all_users.index_select(0, users), all_items.index_select(0, items)
        p, n = rows[: len(users)], rows[len(users) :].view(*negatives.shape, -1)
        negative = (u[:, None] * n).sum(-1)
        if self.negatives == "hard":
            negative, chosen = negative.max(dim=1, keepdim=True)
            negatives, n = negatives.gather(1, chosen), n.gather(1, chosen[..., None].expand(-1, 1, n.shape[2]))
        loss = self._rank_loss((u * p).sum(-1), negative, positives, negatives)
        if not self.l2:
            return loss
        if all_users is not module.user and not self._penalty_on_vectors:
            # propagated: the penalty is on the embeddings themselves
            items = torch.cat([positives, negatives.flatten()])
            u, p, n = module.user.index_select(0, users), module.item.index_select(0, items), u.new_zeros(1)
        return loss + self.l2 / 2 * sum(x.square().sum() for x in (u, p, n)) / len(users)

    def _rank_loss(self, positive: Tensor, negative: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        if self.loss == "bpr":
            return losses.bpr(positive, negative)
        if self.loss == "bce":
            return losses.bce(positive, negative)
        if self.negatives == "popularity":
            log_q = self._tensor(np.zeros(self.n_items_, np.float32))
            log_q[self._tensor(self._drawn)] = self._tensor(self._sampler.log_q)
            return losses.sampled_softmax(positive, negative, log_q[positives], log_q[negatives])
        return losses.sampled_softmax(positive, negative)

    def _scorer(self, module):
        users, items = module()
        return lambda block: (users[self._tensor(block)] @ items.T).cpu().numpy()

    def _keep(self, module):
        users, items = module()
        return {"user_factors_": to_numpy(users), "item_factors_": to_numpy(items)}

    def _score(self, users):
        return self.user_factors_[users] @ self.item_factors_.T


class ModuleRecommender(TorchRecommender):
    """Base of models that score by running the network. A subclass writes:

    ``_module()``
        The network, from the hyperparameters, ``n_users_`` and ``n_items_`` alone, so that it can be built anew for
        saved weights.
    ``_module_scores(module, users)``
        A tensor ``(len(users), n_items)`` for an array of user codes.

    Learned weights are attributes ``weights_<layer>_`` (dots in torch's names become underscores).
    """

    def _module(self) -> nn.Module:
        raise NotImplementedError

    def _module_scores(self, module: nn.Module, users: np.ndarray) -> Tensor:
        raise NotImplementedError

    def _build(self, train, features):
        return self._module()

    def _scorer(self, module):
        return lambda users: self._module_scores(module, users).float().cpu().numpy()

    def _keep(self, module):
        self._network = module
        return {_attribute(name): to_numpy(value) for name, value in module.state_dict().items()}

    def _score(self, users):
        module = self._fitted_network()
        with torch.no_grad():
            return self._scorer(module)(users)

    def _fitted_network(self) -> nn.Module:
        if self._network is None:  # loaded from a file
            self._device = devices.resolve(self.device)
            module = self._module()
            weights = {name: torch.from_numpy(getattr(self, _attribute(name))) for name in module.state_dict()}
            module.load_state_dict(weights)
            self._network = module.to(self._device).eval()
        return self._network

    _network: nn.Module | None = None


def _attribute(name: str) -> str:
    return f"weights_{name.replace('.', '_')}_"


class Embeddings(nn.Module):
    """A vector for each user and each item, normally distributed at first with standard deviation ``scale``.

    Start small: what is left of the random start is noise in the ranking of those who were seldom seen.
    """

    def __init__(self, n_users: int, n_items: int, dim: int, scale: float = 0.03) -> None:
        super().__init__()
        self.user = nn.Parameter(torch.randn(n_users, dim) * scale)
        self.item = nn.Parameter(torch.randn(n_items, dim) * scale)

    def forward(self) -> tuple[Tensor, Tensor]:
        return self.user, self.item


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A float32 copy on the CPU that does not share memory with the module."""
    return tensor.detach().float().cpu().numpy().copy()
