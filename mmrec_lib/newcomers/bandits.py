"""Bandits: what to try on somebody of whom nothing is known, when every try that fails is a visit wasted.

All policies play many runs at once, one a newcomer: ``start(runs, contexts, rng)`` forgets everything, ``choose()``
gives an arm for each run, ``update(arms, rewards)`` tells what came of it. Loops go over rounds, never over runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..checks import above, at_least, between, whole
from ..data import Features
from ..errors import DataError, ParameterError, UnknownItemError
from ..evaluation import bootstrap
from ..simulation.audience import Audience

# -- the world -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Arms:
    """What each arm is worth to whom; only the environment knows it.

    Attributes
    ----------
    probabilities : float array (runs, arms)
        Probability of a reward of 1.
    contexts : float32 array (arms, dim)
        What a policy may know of the arms. Default: nothing, one column of ones.

    Raises
    ------
    DataError
        Numbers outside 0 to 1, contexts for another number of arms or not finite.
    """

    probabilities: np.ndarray
    contexts: np.ndarray | None = None

    def __post_init__(self) -> None:
        p = np.asarray(self.probabilities, float)
        if p.ndim != 2 or not p.size or not ((p >= 0) & (p <= 1)).all():
            raise DataError(f"probabilities: give a table (runs, arms) of numbers from 0 to 1; got {p.shape}")
        x = np.ones((p.shape[1], 1)) if self.contexts is None else np.asarray(self.contexts)
        if x.ndim != 2 or len(x) != p.shape[1] or not np.isfinite(x).all():
            raise DataError(f"contexts: give one finite row for each of the {p.shape[1]} arms; got {x.shape}")
        object.__setattr__(self, "probabilities", p)
        object.__setattr__(self, "contexts", x.astype(np.float32))

    @property
    def runs(self) -> int:
        """Number of newcomers."""
        return len(self.probabilities)

    def with_contexts(self, contexts: np.ndarray) -> Arms:
        """The same arms, described otherwise: by noise, for a control."""
        return Arms(self.probabilities, contexts)


def audience_arms(
    audience: Audience, people, items, features: Features | None = None, components: int = 16, time: float = 0.5
) -> Arms:
    """Things of a catalogue as arms, simulated people as runs; a click is the reward.

    Parameters
    ----------
    audience : Audience
    people, items : arrays of codes
    features : Features, optional
        Content of the whole catalogue: the contexts are its ``components`` main directions over ``items``, each with
        mean 0 and variance 1 over the arms, and a constant.
    components : int, default 16
    time : float, default 0.5
        Point of the simulated period, see :meth:`Audience.utility`.
    """
    people, items = np.asarray(people), np.asarray(items)
    worth = audience.click_probability(people[:, None], items, time=time)
    return Arms(worth, None if features is None else arm_contexts(features, items, components))


def arm_contexts(features: Features, items, components: int = 16) -> np.ndarray:
    """Main directions of the content of ``items``, each with variance 1, and a last column of ones."""
    from ..models.content import joined

    items, components = np.asarray(items), whole("components", components)
    x = joined(features)
    if items.size and (items.min() < 0 or items.max() >= len(x)):
        raise UnknownItemError(f"items: codes run from 0 to {len(x) - 1}; got {items.min()} to {items.max()}")
    x = x[items] - x[items].mean(axis=0)
    if components > min(x.shape):
        raise ParameterError(f"components={components}: {x.shape[0]} arms of {x.shape[1]} dimensions have fewer")
    directions = np.linalg.svd(x, full_matrices=False)[2][:components]
    x = x @ directions.T
    return np.column_stack([x / np.maximum(x.std(axis=0), 1e-9), np.ones(len(x))]).astype(np.float32)


# -- policies that know nothing of the arms ------------------------------------------------------------------------


class _Counting:
    """Policies that count, for each run and arm, the tries and the rewards."""

    def start(self, runs: int, contexts: np.ndarray, rng: np.random.Generator) -> None:
        """Forget everything; ``contexts`` is ``(arms, dim)``, of which only the number of arms is used."""
        self._rng, self._rows = rng, np.arange(runs)
        self.tries, self.rewards = np.zeros((2, runs, len(contexts)), np.float32)

    def choose(self) -> np.ndarray:
        """The arm of each run, int array ``(runs,)``."""
        raise NotImplementedError

    def update(self, arms: np.ndarray, rewards: np.ndarray) -> None:
        """Learn what came of the last choices."""
        self.tries[self._rows, arms] += 1
        self.rewards[self._rows, arms] += rewards

    def _best(self, worth: np.ndarray) -> np.ndarray:
        """The largest of each row; a random one among equals."""
        tie = self._rng.random(worth.shape, dtype=np.float32)
        return np.where(worth == worth.max(axis=1, keepdims=True), tie, -1).argmax(axis=1)


class EpsilonGreedy(_Counting):
    """The best arm so far; with probability ``epsilon`` any arm (Sutton and Barto, 1998).

    Parameters
    ----------
    epsilon : float, default 0.1
        From 0 to 1.
    start_at : float, default 0
        What an arm is thought to be worth before its first try; 1 tries every arm once.
    """

    def __init__(self, epsilon: float = 0.1, start_at: float = 0.0) -> None:
        self.epsilon = between("epsilon", epsilon, 0, 1)
        self.start_at = between("start_at", start_at, 0, 1)

    def choose(self) -> np.ndarray:
        """The arm of each run."""
        mean = np.where(self.tries > 0, self.rewards / np.maximum(self.tries, 1), self.start_at)
        anything = self._rng.integers(mean.shape[1], size=len(mean))
        return np.where(self._rng.random(len(mean)) < self.epsilon, anything, self._best(mean))


class UCB1(_Counting):
    """The arm with the largest ``mean + sqrt(width log t / tries)``, every arm once first (Auer et al., 2002).

    Parameters
    ----------
    width : float, default 2
        Of the bound; 2 is what the theorem needs, less is bolder. Above 0.
    """

    def __init__(self, width: float = 2.0) -> None:
        self.width = above("width", width, 0)

    def choose(self) -> np.ndarray:
        """The arm of each run."""
        tries = np.maximum(self.tries, 1)
        played = np.maximum(self.tries.sum(axis=1, keepdims=True), 1)
        bound = self.rewards / tries + np.sqrt(self.width * np.log(played) / tries)
        return self._best(np.where(self.tries > 0, bound, np.inf))


class ThompsonSampling(_Counting):
    """A draw from each arm's Beta posterior, and the arm with the largest draw (Thompson, 1933).

    Parameters
    ----------
    prior : tuple of two floats, default (1, 1)
        Rewards and failures that each arm begins with. Above 0.
    """

    def __init__(self, prior: tuple[float, float] = (1.0, 1.0)) -> None:
        self.prior = tuple(above("prior", value, 0) for value in prior)

    def choose(self) -> np.ndarray:
        """The arm of each run."""
        won, lost = self.prior
        return self._rng.beta(self.rewards + won, self.tries - self.rewards + lost).argmax(axis=1)


# -- policies that know vectors of the arms ------------------------------------------------------------------------


class _Linear:
    """Ridge regression of the rewards on the contexts of the arms, each run its own, kept by rank-one updates."""

    l2: float
    disjoint: bool

    def start(self, runs: int, contexts: np.ndarray, rng: np.random.Generator) -> None:
        """Forget everything; ``contexts`` is ``(arms, dim)``, or ``(runs, arms, dim)`` where runs see others."""
        self._rng, self._rows = rng, np.arange(runs)
        self.contexts = np.asarray(contexts, np.float32)
        arms, dim = self.contexts.shape[-2:]
        groups = arms if self.disjoint else 1
        self.inverse = np.tile(np.eye(dim, dtype=np.float32) / np.float32(self.l2), (runs, groups, 1, 1))
        self.right = np.zeros((runs, groups, dim), np.float32)

    def taste(self) -> np.ndarray:
        """Estimated weights ``(runs, 1, dim)``, or ``(runs, arms, dim)`` with ``disjoint``."""
        return np.einsum("rgde,rge->rgd", self.inverse, self.right)

    def update(self, arms: np.ndarray, rewards: np.ndarray) -> None:
        """Learn what came of the last choices (Sherman and Morrison, 1950)."""
        x = self.contexts[arms] if self.contexts.ndim == 2 else self.contexts[self._rows, arms]
        group = arms if self.disjoint else np.zeros_like(arms)
        inverse = self.inverse[self._rows, group]
        step = np.einsum("rde,re->rd", inverse, x)
        shrink = 1 + np.einsum("rd,rd->r", step, x)
        self.inverse[self._rows, group] = inverse - step[:, :, None] * step[:, None] / shrink[:, None, None]
        self.right[self._rows, group] += x * np.asarray(rewards, np.float32)[:, None]

    def _dot(self, weights: np.ndarray) -> np.ndarray:
        """Products of weights ``(runs, groups, dim)`` with the contexts, ``(runs, arms)``."""
        if self.disjoint:
            return np.einsum("rad,rad->ra", weights, np.broadcast_to(self.contexts, weights.shape))
        if self.contexts.ndim == 2:
            return weights[:, 0] @ self.contexts.T
        return np.einsum("rd,rad->ra", weights[:, 0], self.contexts)

    def _best(self, worth: np.ndarray) -> np.ndarray:
        return _Counting._best(self, worth)


class LinUCB(_Linear):
    """The arm with the largest upper bound of a linear forecast (Li, Chu, Langford and Schapire, WWW 2010).

    ``x . w + alpha sqrt(x . A^-1 x)``, with ``A = l2 I + sum of x x^T`` over what was shown and
    ``w = A^-1 (sum of reward x)``. One taste for all arms (the default) carries what was learned from an arm to those
    that are described alike. With ``disjoint`` each arm has weights of its own, as in algorithm 1 there; that needs
    contexts that change.

    Parameters
    ----------
    alpha : float, default 0.5
        Width of the bound, 0 or more.
    l2 : float, default 1
        Above 0.
    disjoint : bool, default False
    """

    def __init__(self, alpha: float = 0.5, l2: float = 1.0, disjoint: bool = False) -> None:
        self.alpha = at_least("alpha", alpha, 0)
        self.l2, self.disjoint = above("l2", l2, 0), bool(disjoint)

    def choose(self) -> np.ndarray:
        """The arm of each run."""
        x = self.contexts
        if self.disjoint:
            x = np.broadcast_to(x, self.right.shape)
            spread = np.einsum("raj,rajk,rak->ra", x, self.inverse, x, optimize=True)
        else:
            moved = x @ self.inverse[:, 0]  # (runs, arms, dim), whether or not the contexts differ by run
            spread = (moved * x).sum(axis=-1)
        return self._best(self._dot(self.taste()) + self.alpha * np.sqrt(np.maximum(spread, 0)))


class LinearThompson(_Linear):
    """The best arm for a taste drawn from its normal posterior (Agrawal and Goyal, ICML 2013).

    Parameters
    ----------
    scale : float, default 0.5
        Standard deviation of a reward around its forecast, as the draws believe; 0 or more.
    l2 : float, default 1
        Above 0.
    """

    disjoint = False

    def __init__(self, scale: float = 0.5, l2: float = 1.0) -> None:
        self.scale, self.l2 = at_least("scale", scale, 0), above("l2", l2, 0)

    def choose(self) -> np.ndarray:
        """The arm of each run."""
        covariance = self.inverse.astype(float)
        root = np.linalg.cholesky((covariance + covariance.swapaxes(-1, -2)) / 2)
        draw = self._rng.standard_normal(self.right.shape)
        return self._best(self._dot(self.taste() + self.scale * np.einsum("rgde,rge->rgd", root, draw)))


# -- playing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BanditRun:
    """What a policy lost.

    Attributes
    ----------
    regret : float array (runs, rounds)
        Summed up to each round: the reward that the run's best arm promises, minus that of the arm played. Expected
        rewards, so that the luck of single clicks is not in it.
    reward : float array (runs, rounds)
        What was earned, summed up.
    arms : int array (runs, rounds)
    """

    regret: np.ndarray
    reward: np.ndarray
    arms: np.ndarray

    def curve(self, every: int = 1, confidence: float = 0.95) -> pd.DataFrame:
        """Mean regret by round (index, from 1) with a normal interval over runs: mean, ci_low, ci_high."""
        from scipy.stats import norm

        part = self.regret[:, whole("every", every) - 1 :: every]
        half = norm.ppf(0.5 + confidence / 2) * part.std(axis=0, ddof=1) / np.sqrt(len(part))
        rounds = pd.Index(np.arange(every, self.regret.shape[1] + 1, every), name="round")
        mean = part.mean(axis=0)
        return pd.DataFrame({"mean": mean, "ci_low": mean - half, "ci_high": mean + half}, index=rounds)


def run(policy, arms: Arms, rounds: int = 100, seed: int = 0) -> BanditRun:
    """Let a policy play ``rounds`` rounds in all runs at once. The same seed gives all policies the same luck.

    Whether a run rewards an arm in a round is drawn by one number for run and round, whatever the arm.
    """
    rounds = whole("rounds", rounds)
    policy.start(arms.runs, arms.contexts, np.random.default_rng([seed, 1]))
    luck = np.random.default_rng([seed, 2])
    rows, best = np.arange(arms.runs), arms.probabilities.max(axis=1)
    played, lost, won = np.zeros((arms.runs, rounds), np.int64), *np.zeros((2, arms.runs, rounds))
    for t in range(rounds):
        played[:, t] = chosen = policy.choose()
        promised = arms.probabilities[rows, chosen]
        won[:, t] = luck.random(arms.runs) < promised
        lost[:, t] = best - promised
        policy.update(chosen, won[:, t])
    return BanditRun(lost.cumsum(axis=1), won.cumsum(axis=1), played)


def compare_runs(
    a: BanditRun, b: BanditRun, at: int | None = None, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> pd.Series:
    """Regret of ``a`` minus that of ``b`` after ``at`` rounds (default: the last), paired over the runs.

    Returns mean_a, mean_b, difference, ci_low, ci_high (percentile bootstrap over runs). Below zero: ``a`` lost less.

    Raises
    ------
    DataError, ParameterError
        Other runs, or a round that was not played.
    """
    bootstrap.check(confidence, n_boot)
    if a.regret.shape != b.regret.shape:
        raise DataError(f"the runs differ: {a.regret.shape} and {b.regret.shape} (runs, rounds)")
    at = a.regret.shape[1] if at is None else whole("at", at)
    if at > a.regret.shape[1]:
        raise ParameterError(f"at={at}: only {a.regret.shape[1]} rounds were played")
    one, two = a.regret[:, at - 1], b.regret[:, at - 1]
    low, high = bootstrap.interval(bootstrap.resampled_means((one - two)[:, None], n_boot, seed), confidence)
    values = {"mean_a": one.mean(), "mean_b": two.mean(), "difference": (one - two).mean()}
    return pd.Series(values | {"ci_low": float(low[0]), "ci_high": float(high[0])})
