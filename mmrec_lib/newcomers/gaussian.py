"""An interviewer that believes in a normal distribution: answers about some things move the forecasts of all others."""

from __future__ import annotations

import numpy as np

from .. import ranking
from ..checks import above, at_least, one_of
from ..data import Features, Interactions
from ..errors import NotFittedError, ParameterError
from .onboarding import check_pool, moments

#: No forecast is surer than this: forecasts are linear and may leave the range of a probability.
_SURE = 0.02


class GaussianQuestions:
    """Everybody's choices as draws from one normal distribution over all things; answers condition it, in closed form.

    The training people give the mean of the answers and their covariance ``C``; content adds to it what looks or
    reads alike, ``C + content x x^T``, for things that few have met. With the answers ``a`` about the things ``Q``

        ``mean = m + C_:Q (C_QQ + noise I)^-1 (a - m_Q)``,  ``variance = diag(C - C_:Q (C_QQ + noise I)^-1 C_Q:)``,

    a Gaussian process over the things; with ``C`` of low rank it is a factor model with a normal prior on the person's
    vector. Yes and no both count; "do not know" does not.

    ``aim="reduction"``: the thing whose answer will probably lower the squared error over all things most. An answer is
    yes or no, with the current forecast ``p`` as its probability, and moves the forecasts by the covariance with them:
    ``p (1 - p) sum_j (C_jq / (C_qq + noise))^2``. Were answers normal, too, ``p (1 - p)`` would be ``C_qq + noise``,
    nothing would depend on what was answered, and the best order would be the same for everybody, that of
    :func:`choose_questions` with ``how="greedy"``. ``aim="prospects"``: the thing that will perhaps be liked, the one
    with the largest ``mean + optimism * deviation`` (the upper confidence bound of Srinivas et al., ICML 2010).

    Parameters
    ----------
    aim : {"reduction", "prospects"}, default "reduction"
    noise : float, default 0.02
        Variance of an answer beyond the model. Above 0.
    content : float, default 0
        Weight of the content in the covariance, relative to the mean variance of the clicks; 0 or more.
    optimism : float, default 1
        Of ``aim="prospects"``; 0 or more.

    Attributes
    ----------
    mean_ : float32 (n_items,)
    covariance_ : float32 (n_items, n_items)
        Memory grows with the square of the catalogue.
    pool_ : int array
        What may be asked about.
    """

    name = "gaussian"

    def __init__(
        self, aim: str = "reduction", noise: float = 0.02, content: float = 0.0, optimism: float = 1.0
    ) -> None:
        self.aim = one_of("aim", aim, ("reduction", "prospects"))
        self.noise = above("noise", noise, 0)
        self.content = at_least("content", content, 0)
        self.optimism = at_least("optimism", optimism, 0)

    def fit(self, train: Interactions, features: Features | None = None, pool=None) -> GaussianQuestions:
        """Learn mean and covariance; ``pool`` limits what may be asked about (default: what somebody met).

        Raises :class:`ParameterError` when ``content`` is above 0 and there are no ``features``.
        """
        self.pool_ = check_pool(pool, train)
        self.mean_, self.covariance_ = moments(train)
        if self.content:
            if features is None:
                raise ParameterError(f"content={self.content}: call fit(train, features=...), or set it to 0")
            from ..models.content import joined

            features.check(train.n_items)
            x = joined(features)
            x /= np.maximum(np.sqrt(len(features)), 1)
            self.covariance_ += np.float32(self.content * self.covariance_.diagonal().mean()) * (x @ x.T)
        return self

    def choose(self, asked: np.ndarray, answers: np.ndarray, n: int) -> np.ndarray:
        """The next ``n`` things, each person's own; a thing on the screen makes those like it less uncertain."""
        return self._in_blocks(lambda a, b: self._screen(a, b, n), asked, answers)

    def score(self, asked: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The mean after the answers, float32 ``(people, n_items)``."""
        return self._in_blocks(self._means, asked, answers)

    def _in_blocks(self, work, asked, answers):
        if not hasattr(self, "covariance_"):
            raise NotFittedError("GaussianQuestions has not learned yet: call fit(train) first")
        width = len(self.mean_) * (asked.shape[1] + 8)  # a row of the covariance for each question
        blocks = ranking.blocks(np.arange(len(asked)), width)
        return np.concatenate([work(asked[b], answers[b]) for b in blocks])

    def _system(self, asked, answers) -> tuple[np.ndarray, np.ndarray]:
        """``C_QQ + noise I`` and ``a - m_Q`` for each person; what was not answered stands apart and says nothing."""
        known = ~np.isnan(answers)
        within = self.covariance_[asked[:, :, None], asked[:, None]] * known[:, :, None] * known[:, None]
        surprise = np.where(known, answers, 0) - self.mean_[asked] * known
        return within + self.noise * np.eye(asked.shape[1], dtype=np.float32), surprise.astype(np.float32)

    def _means(self, asked, answers) -> np.ndarray:
        within, surprise = self._system(asked, answers)
        weights = np.zeros((len(asked), len(self.mean_)), np.float32)
        solved = np.linalg.solve(within, surprise[..., None])[..., 0] * ~np.isnan(answers)
        np.put_along_axis(weights, asked, solved, axis=1)
        return self.mean_ + weights @ self.covariance_

    def _screen(self, asked, answers, n: int) -> np.ndarray:
        if asked.shape[1] + n > len(self.pool_):
            raise ParameterError(f"there are only {len(self.pool_)} things to ask about")
        within, _ = self._system(asked, answers)
        rows = self.covariance_[asked] * ~np.isnan(answers)[..., None]
        # C - white^T white is the covariance that is left; there is room for the rows of the new screen
        white = np.zeros((len(asked), asked.shape[1] + n, len(self.mean_)), np.float32)
        white[:, : asked.shape[1]] = np.linalg.solve(np.linalg.cholesky(within), rows)
        pool, everybody, columns = self.pool_, np.arange(len(asked)), self.covariance_[:, self.pool_]
        here, mean = white[..., pool], self._means(asked, answers)[:, pool]
        variance = self.covariance_.diagonal()[pool] - np.square(here).sum(axis=1)
        before, power = variance + self.noise, self._power(white, here, columns) if self.aim == "reduction" else None
        closed = (pool == asked[..., None]).any(axis=1)
        screen = np.zeros((len(asked), n), np.int64)
        for place in range(n):
            worth = self._worth(mean, np.maximum(variance, 0), before, power)
            best = np.where(closed, -np.inf, worth).argmax(axis=1)
            screen[:, place], closed[everybody, best] = pool[best], True
            row = self.covariance_[pool[best]] - (here[everybody, None, :, best] @ white)[:, 0]
            row /= np.sqrt(np.maximum(row[everybody, pool[best]], 0) + self.noise)[:, None]
            new = row[:, pool]
            if power is not None:  # of C - r r^T: |C_q|^2 - 2 r_q (C r)_q + r_q^2 |r|^2
                moved = row @ columns - ((white @ row[..., None]).swapaxes(1, 2) @ here)[:, 0]
                power = power - 2 * new * moved + np.square(new) * np.square(row).sum(axis=1, keepdims=True)
            white[:, asked.shape[1] + place], here[:, asked.shape[1] + place] = row, new
            variance = variance - np.square(new)
        return screen

    def _worth(self, mean, variance, before, power) -> np.ndarray:
        """What asking about each thing of the pool promises, ``(people, n_pool)``."""
        if power is None:
            return mean + self.optimism * np.sqrt(variance)
        p = np.clip(mean, _SURE, 1 - _SURE)
        # the rest of the screen, not answered yet, will leave this share of the answer's variance p (1 - p)
        left = (variance + self.noise) / before
        return p * (1 - p) * left * np.maximum(power, 0) / np.square(variance + self.noise)

    def _power(self, white: np.ndarray, here: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Squared lengths of the pool's columns of the covariance that is left, ``(people, n_pool)``."""
        inner = white @ white.swapaxes(1, 2)
        return np.square(columns).sum(axis=0) + (here * (inner @ here - 2 * (white @ columns))).sum(axis=1)
