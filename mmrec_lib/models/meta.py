"""Meta-learning: a start from which a few gradient steps on somebody's first clicks lead to a model of that person.

Both models score an item by a small network on its content, plus the logarithm of its popularity. What they learn is
not one network for everybody but the network that each person's own begins with. The loss of a person is that of a
softmax over all items, so nothing is sampled: the same history gives the same scores.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import ranking
from ..checks import above, whole
from .cold import content_matrix
from .torch_base import ModuleRecommender


class MeLU(ModuleRecommender):
    """A shared layer over the content, and a head that each person adapts in a few gradient steps.

    Lee et al., KDD 2019: in training a person's items are divided at random; the head takes ``steps`` gradient steps on
    one part, the *support*, and the loss on the other part, the *query*, is followed back through these steps to the
    layer and to the start of the head. For a newcomer the steps are taken on all that is known; the layer stays. Lee
    et al. also embed what is known of the person; here the content of the items is all there is.

    Parameters
    ----------
    hidden : int, default 32
        Units of the shared layer.
    steps : int, default 3
        Gradient steps for a person.
    local_rate : float, default 3
        Their length. Above 0.
    components : int or None, default 128
        Principal components kept of each modality; None: all dimensions.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`; a batch is of people.

    Attributes
    ----------
    content_ : float32 (n_items, width)
        What the network sees, all modalities side by side.
    log_popularity_ : float32 (n_items,)
        An item that nobody met counts as one of average popularity.
    weights_... : float32 arrays
        The start of everybody's network, by layer.
    """

    name = "melu"
    histories = "exact"
    needs_features = True
    scores_new_items = True

    def __init__(
        self, hidden: int = 32, steps: int = 3, local_rate: float = 3.0, components: int | None = 128, epochs: int = 30,
        batch_size: int = 64, learning_rate: float = 0.005, weight_decay: float = 0.0, metric: str = "ndcg@20",
        eval_every: int = 5, patience: int = 3, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device)
        self.hidden, self.steps = whole("hidden", hidden), whole("steps", steps)
        self.local_rate = above("local_rate", local_rate, 0)
        self.components = None if components is None else whole("components", components)

    def _prepare(self, train, features) -> None:
        self.content_ = content_matrix(features, self.components)
        known = self.popularity_ > 0
        share = np.where(known, self.popularity_, self.popularity_[known].mean())
        self.log_popularity_ = np.log(share / share.sum()).astype(np.float32)

    def _module(self) -> nn.Module:
        return Start(self.content_.shape[1], self.hidden)

    def _batches(self, rng, epoch):
        people = rng.permutation(np.flatnonzero(np.diff(self.seen_.indptr)))
        for begin in range(0, len(people), self.batch_size):
            rows = self.seen_[people[begin : begin + self.batch_size]]
            yield tuple(self._tensor(part.toarray()) for part in divided(rows, rng))

    def _loss(self, module, batch):
        support, query = batch
        return softmax_loss(self._adapted(module, support), query).mean()

    def _adapted(self, module: Start, support: Tensor) -> Tensor:
        """Scores of all items ``(people, n_items)`` after each person's steps on ``support``, ones and zeros."""
        x = module.layer(self._tensor(self.content_)).relu()
        popular, target = self._tensor(self.log_popularity_), as_shares(support)
        head = module.head.expand(len(support), -1)
        for _ in range(self.steps):
            head = head - self.local_rate * (error(head @ x.T + popular, target) @ x)
        return head @ x.T + popular

    def _scorer(self, module):
        return lambda users: self._scores(module, self.seen_[users])

    def _score_histories(self, histories, users):
        with torch.no_grad():
            return self._scores(self._fitted_network(), histories)

    def _scores(self, module, histories) -> np.ndarray:
        width = self.n_items_ * max(1, self.hidden // 4)  # room for a layer of each person's own
        parts = [
            self._adapted(module, self._tensor(histories[rows].toarray())).cpu().numpy()
            for rows in ranking.blocks(np.arange(histories.shape[0]), width)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.n_items_), np.float32)


class FOMAML(MeLU):
    """The same network, of which each person adapts all weights, trained by the first-order rule.

    Model-agnostic meta-learning (Finn, Abbeel and Levine, ICML 2017) follows the query's loss back through the steps;
    its first-order variant (there, and Nichol, Achiam and Schulman, 2018) takes the gradient at the adapted weights as
    if it were that at the start, which needs no second derivatives. Everything else is as in :class:`MeLU`; a network
    of one's own for each person takes as many times longer as it has units.

    Parameters
    ----------
    hidden, steps, local_rate, components
        See :class:`MeLU`; ``local_rate`` is that of all weights.
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.
    """

    name = "fomaml"

    def __init__(
        self, hidden: int = 16, steps: int = 3, local_rate: float = 1.0, components: int | None = 128, epochs: int = 30,
        batch_size: int = 64, learning_rate: float = 0.005, weight_decay: float = 0.0, metric: str = "ndcg@20",
        eval_every: int = 5, patience: int = 3, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(
            hidden, steps, local_rate, components, epochs, batch_size, learning_rate, weight_decay, metric, eval_every,
            patience, seed, device,
        )  # fmt: skip

    def _adapted(self, module, support):
        x, popular, target = self._tensor(self.content_), self._tensor(self.log_popularity_), as_shares(support)
        start = [module.layer.weight.T, module.layer.bias, module.head]
        own = [weight.detach().expand(len(support), *weight.shape) for weight in start]
        with torch.no_grad():
            for _ in range(self.steps):
                slopes = gradients(x, own, popular, target)
                own = [weight - self.local_rate * slope for weight, slope in zip(own, slopes, strict=True)]
        # the steps are constants: the gradient at the adapted weights reaches the start as it is
        own = [weight + (mine - weight).detach() for weight, mine in zip(start, own, strict=True)]
        return forward(x, own)[1] + popular


class Start(nn.Module):
    """The network that everybody's own begins with: one layer, and a head so small that popularity leads at first."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, hidden)
        self.head = nn.Parameter(torch.randn(hidden) * 0.1)


def forward(x: Tensor, own: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Units ``(people, n_items, hidden)`` and scores ``(people, n_items)`` of each person's own network."""
    layer, bias, head = own
    units = (x @ layer + bias[:, None]).relu()
    return units, (units @ head[..., None])[..., 0]


def gradients(x: Tensor, own: list[Tensor], popular: Tensor, target: Tensor) -> list[Tensor]:
    """Of the softmax loss with respect to layer, bias and head, for all people at once."""
    units, scores = forward(x, own)
    wrong = error(scores + popular, target)
    at_units = wrong[..., None] * own[2][:, None] * (units > 0)
    return [x.T @ at_units, at_units.sum(dim=1), (wrong[:, None] @ units)[:, 0]]


def error(scores: Tensor, target: Tensor) -> Tensor:
    """Gradient of the softmax loss by the scores; zero for people without any target."""
    return (scores.softmax(dim=1) - target) * (target.sum(dim=1, keepdim=True) > 0)


def as_shares(chosen: Tensor) -> Tensor:
    """Rows of ones and zeros divided by their sums; rows of zeros stay."""
    return chosen / chosen.sum(dim=1, keepdim=True).clamp(min=1)


def softmax_loss(scores: Tensor, chosen: Tensor) -> Tensor:
    """Minus the mean log probability of what each person chose, ``(people,)``."""
    return -(F.log_softmax(scores, dim=1) * as_shares(chosen)).sum(dim=1)


def divided(rows, rng: np.random.Generator):
    """Each row of a CSR matrix of ones cut at random in two: support (perhaps empty) and query (at least one)."""
    sizes = np.diff(rows.indptr)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rng.random(len(owner)), owner))
    rank = np.empty(len(owner), np.int64)
    rank[order] = np.arange(len(owner)) - np.repeat(rows.indptr[:-1], sizes)
    in_support = rank < np.floor(rng.random(len(sizes)) * sizes)[owner]
    support, query = rows.copy(), rows.copy()
    support.data, query.data = in_support.astype(np.float32), (~in_support).astype(np.float32)
    return support, query
