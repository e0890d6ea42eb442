"""Matrix factorisation learned from comparisons: the items that a user met against items that the user did not."""

from __future__ import annotations

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
