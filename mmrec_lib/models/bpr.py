"""Matrix factorisation learned from comparisons: the items that a user met against items that the user did not."""

from __future__ import annotations

import numpy as np
import torch

from ..checks import above, at_least, whole
from ..data import Interactions
from ..training import device as devices
from ..training import loop
from .factors import take_in, with_rows
from .fold_in import history_inputs, history_map
from .torch_base import Embeddings, FactorRecommender


class BPR(FactorRecommender):
    """Bayesian personalised ranking with matrix factorisation (Rendle et al., 2009).

    For a user ``u``, an observed item ``i`` and an item ``j`` drawn from the rest, the loss is
    ``-log sigmoid(x_u . y_i - x_u . y_j)``, plus ``l2 / 2`` times the squared lengths of the three vectors.

    Parameters
    ----------
    dim : int, default 64
        Length of the vectors.
    l2 : float, default 0.01
        Weight of the squared length of the vectors of a batch; what decides most on sparse data.
    negatives : {"uniform", "popularity", "hard"}, default "uniform"
        How ``j`` is drawn; "hard" takes the highest scored of ``n_negatives`` uniform draws.
    n_negatives : int, default 1
    loss : {"bpr", "softmax", "bce"}, default "bpr"
    epochs, batch_size, learning_rate, weight_decay, metric, eval_every, patience, seed, device
        See :class:`~mmrec_lib.models.torch_base.TorchRecommender`.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 (n_users, dim), (n_items, dim)
    """

    name = "bpr"

    def __init__(
        self, dim: int = 64, l2: float = 0.01, negatives: str = "uniform", n_negatives: int = 1, loss: str = "bpr",
        epochs: int = 100, batch_size: int = 2048, learning_rate: float = 0.002, weight_decay: float = 0.0,
        metric: str = "ndcg@20", eval_every: int = 5, patience: int = 5, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(
            dim, l2, negatives, n_negatives, loss, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, metric=metric, eval_every=eval_every, patience=patience, seed=seed,
            device=device,
        )  # fmt: skip

    def _build(self, train, features):
        return Embeddings(train.n_users, train.n_items, self.dim)

    def partial_fit(
        self, new: Interactions, epochs: int = 5, replay: float = 1.0, learning_rate: float | None = None
    ) -> BPR:
        """Take new interactions in by a few steps of gradient descent, and return self.

        Steps on new pairs alone pull the vectors away from what was learned before; so old pairs, drawn anew in each
        epoch, are replayed among them (Diaz-Aviles et al., 2012). New users begin at the fold-in of their history, new
        items at the mean of all items. Vectors that no batch needs stay what they were; the others move a little.
        ``history_`` and ``best_epoch_`` remain those of :meth:`fit`.

        Parameters
        ----------
        new : Interactions
            Over the codes of training; higher codes are new users and items and get rows. Pairs that are known
            already are not learned again.
        epochs : int, default 5
            Passes over the new pairs.
        replay : float, default 1
            Old pairs for each new one; 0 for none.
        learning_rate : float, optional
            Default: that of the model.

        Raises
        ------
        NotFittedError, ParameterError
        """
        whole("epochs", epochs)
        at_least("replay", replay, 0)
        rate = self.learning_rate if learning_rate is None else above("learning_rate", learning_rate, 0)
        self._check_users([])  # fitted?
        before, were = self.seen_, self.item_factors_
        history = history_map(before, were, self.user_factors_)
        users, items = take_in(self, new)
        self.user_factors_ = with_rows(self.user_factors_, self.n_users_)
        self.item_factors_ = with_rows(were, self.n_items_)
        known = np.bincount(before.indices, minlength=self.n_items_) > 0
        self.item_factors_[items[~known[items]]] = self.item_factors_[known].mean(axis=0)
        strangers = users[~np.isin(users, np.flatnonzero(np.diff(before.indptr)))]
        self.user_factors_[strangers] = history_inputs(self.seen_[strangers], self.item_factors_) @ history
        if len(users):
            self._descend(before, epochs, replay, rate)
        return self

    def _descend(self, before, epochs: int, replay: float, learning_rate: float) -> None:
        """Steps on the pairs that are not in ``before``, and on as many old ones as ``replay`` asks for."""
        self._device = devices.resolve(self.device)
        self._prepare(None, None)  # negatives: what nobody met up to now
        users, items = self._pairs
        old = before.tocoo()
        is_old = np.isin(users * self.n_items_ + items, old.row.astype(np.int64) * self.n_items_ + old.col)
        fresh, old = np.flatnonzero(~is_old), np.flatnonzero(is_old)
        n_old = min(round(replay * len(fresh)), len(old))

        def batches(epoch: int):
            rng = loop.epoch_rng(self.seed, epoch)
            chosen = np.concatenate([fresh, rng.choice(old, n_old, replace=False)])
            self._pairs = users[chosen], items[chosen]
            return self._batches(rng, epoch)

        with torch.random.fork_rng(devices=[]):  # its random start is replaced
            module = Embeddings(self.n_users_, self.n_items_, self.dim)
        start = {"user": self.user_factors_, "item": self.item_factors_}
        module.load_state_dict({name: torch.from_numpy(vectors) for name, vectors in start.items()})
        module.to(self._device)
        loop.fit(  # without weight_decay, which would move all vectors
            module, batches, lambda batch: self._loss(module, batch), epochs=epochs, learning_rate=learning_rate,
            seed=self.seed, description="BPR",
        )  # fmt: skip
        with torch.no_grad():
            self.user_factors_, self.item_factors_ = self._keep(module).values()
