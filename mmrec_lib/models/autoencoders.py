"""Recommenders that rebuild a person's whole row of interactions from itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import at_least, whole
from .torch_base import ModuleRecommender


class MultVAE(ModuleRecommender):
    """Variational autoencoder with a multinomial likelihood (Liang et al., 2018).

    A user's row, scaled to length one and with items dropped at random, is encoded to the mean and variance of a
    normal distribution; a vector drawn from it is decoded to scores of all items. The loss is the negative
    log-likelihood of the row under the softmax of the scores, plus ``beta`` times the Kullback-Leibler divergence from
    the standard normal distribution. ``beta`` grows from 0 over the first ``annealing_epochs``.

    As it encodes rows, not identities, it serves a new user as soon as there is a row.

    Parameters
    ----------
    hidden : int, default 256
        Width of the hidden layer of encoder and decoder.
    dim : int, default 64
        Length of the latent vector.
    dropout : float, default 0.5
        Share of a row's items that are hidden from the encoder in training.
    beta : float, default 0.2
    annealing_epochs : int, default 20
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`; a batch is a number of users.

    Attributes
    ----------
    weights_... : float32 arrays
        Weights of the network, by layer.
    """

    name = "multvae"
    histories = "exact"

    def __init__(
        self, hidden: int = 256, dim: int = 64, dropout: float = 0.5, beta: float = 0.2, annealing_epochs: int = 20,
        epochs: int = 100, batch_size: int = 256, learning_rate: float = 0.001, weight_decay: float = 0.0,
        metric: str = "ndcg@20", eval_every: int = 5, patience: int = 5, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device)
        self.hidden, self.dim = whole("hidden", hidden), whole("dim", dim)
        self.dropout, self.beta = at_least("dropout", dropout, 0, below=1), at_least("beta", beta, 0)
        self.annealing_epochs = whole("annealing_epochs", annealing_epochs, least=0)

    def _module(self):
        return VAE(self.n_items_, self.hidden, self.dim, self.dropout)

    def _batches(self, rng, epoch):
        weight = self.beta * min(1.0, epoch / max(self.annealing_epochs, 1))
        users = rng.permutation(np.flatnonzero(np.diff(self.seen_.indptr)))
        for start in range(0, len(users), self.batch_size):
            yield self._rows(users[start : start + self.batch_size]), weight

    def _loss(self, module, batch):
        rows, weight = batch
        scores, mean, log_variance = module(rows)
        return multinomial_loss(scores, rows) + weight * kl_divergence(mean, log_variance)

    def _module_scores(self, module, users):
        return module(self._rows(users))[0]

    def _score_histories(self, histories, users):
        module = self._fitted_network()
        with torch.no_grad():
            return module(self._tensor(histories.toarray()))[0].float().cpu().numpy()

    def _rows(self, users: np.ndarray) -> Tensor:
        return self._tensor(self.seen_[users].toarray())


class VAE(nn.Module):
    """Rows ``(batch, n_items)`` to scores of the same shape, and mean and log variance ``(batch, dim)``."""

    def __init__(self, n_items: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.Sequential(nn.Linear(n_items, hidden), nn.Tanh(), nn.Linear(hidden, 2 * dim))
        self.decoder = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, n_items))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(self.dropout(nn.functional.normalize(rows))).chunk(2, dim=1)
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(latent), mean, log_variance


def multinomial_loss(scores: Tensor, rows: Tensor) -> Tensor:
    """Negative log-likelihood of the rows under the softmax of the scores: summed over items, mean over users."""
    return -(scores.log_softmax(dim=1) * rows).sum(dim=1).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of normal distributions from the standard one: summed over dimensions, mean over users."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
