"""Models that count a click the more, the less likely it was that the item was shown at all."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ..checks import at_least, one_of
from .linear import EASE, gram, inverse

WEIGHTS = ("popularity", "value")


class PropensityEASE(EASE):
    """EASE whose targets are clicks divided by their propensity, the chance that the item was shown.

    A click on what is rarely shown stands for many people who would have clicked, had they seen it: with
    ``T = clicks / propensity`` the squared error of ``X B`` against ``T`` has the same expectation as against what
    people would click if everything were shown (Saito et al., 2020, for clicks; Schnabel et al., 2016, for ratings).
    Minimises ``|T - X B|^2 + l2 |B|^2`` with a zero diagonal: with ``P = (X^T X + l2 I)^-1`` and ``C = P X^T T``,
    ``B_ij = C_ij - P_ij C_jj / P_jj``. Where all weights are equal, it ranks as EASE.

    Parameters
    ----------
    l2 : float, default 300
        Above 0; larger for sparser data.
    weights : {"popularity", "value"}, default "popularity"
        ``"popularity"``: the propensity is unknown and taken to be ``(n_i / max n) ** power``, with ``n_i`` people who
        met the item; then the weight is the same for a whole column, and the scores are those of EASE divided by
        it. ``"value"``: ``train.value`` holds the weight of each click, 1 over its propensity, as a log that knows its
        propensities gives it; of a repeated pair the last value counts. Negative values count as 0.
    power : float, default 0.5
        0 or more: 0 leaves popularity alone. ``"value"`` does not use it.
    clip : float, default 10
        At least 1: larger weights are set to it. Without a bound a few clicks decide everything: the bound trades
        bias for variance.

    Attributes
    ----------
    weights_ : float32 ``(n_items, n_items)``
        As in :class:`EASE`.
    """

    name = "propensityease"

    def __init__(self, l2: float = 300.0, weights: str = "popularity", power: float = 0.5, clip: float = 10.0) -> None:
        super().__init__(l2)
        self.weights = one_of("weights", weights, WEIGHTS)
        self.power = at_least("power", power, 0)
        self.clip = at_least("clip", clip, 1)

    def _fit(self, train, features, valid) -> None:
        # float64: the diagonal is a difference of numbers that nearly agree where l2 is small
        inverted = inverse(gram(self.seen_, self.l2, np.float64))
        weights = inverted @ (self.seen_.T @ self._targets(train)).toarray()
        weights -= inverted * (weights.diagonal() / inverted.diagonal())
        np.fill_diagonal(weights, 0)
        self.weights_ = weights.astype(np.float32)

    def _targets(self, train) -> sparse.csr_matrix:
        if self.weights == "value":
            targets = train.to_csr(values=True)
        else:
            popularity = np.maximum(self.popularity_, 1)
            targets = self.seen_ @ sparse.diags_array((popularity.max() / popularity) ** self.power)
        targets = sparse.csr_matrix(targets, dtype=np.float64)
        np.clip(targets.data, 0, self.clip, out=targets.data)
        return targets
