"""What would another policy have earned: estimates from a log of actions, their probabilities and their rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..checks import above, at_least, one_of, whole
from ..errors import DataError, MissingColumnError, ParameterError, UnknownItemError, UnknownNameError, UnknownUserError
from . import bootstrap

ESTIMATORS = ("ips", "snips", "dm", "dr", "switch-dr")
_WITH_MODEL = ("dm", "dr", "switch-dr")


@dataclass(frozen=True, eq=False)
class LoggedFeedback:
    """What a logging policy did, with what probability, and what came of it; one row for each item shown.

    Attributes
    ----------
    action : int array (n,)
        Code of the item that was shown.
    reward : float array (n,)
        What followed: a click (0 or 1), minutes watched, ...
    propensity : float array (n,)
        Probability with which the logging policy showed this item (at this place), in (0, 1].
    user : int array (n,)
        For whom: the row of ``context`` and of a policy's probabilities. Rows of one user are resampled together.
        Default: each row is a user of its own, as in logs without identities.
    context : float array (n_users, d), optional
        What is known of each user before the choice; one column or many.
    position : int array (n,), optional
        Place in the list, from 1.
    n_actions, n_users, n_positions : int
        Default: one more than the largest code (the rows of ``context``, the largest place).

    Raises
    ------
    DataError, UnknownItemError, UnknownUserError
        Lengths that differ, values that are missing, propensities outside (0, 1], codes out of range.
    """

    action: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    user: np.ndarray | None = None
    context: np.ndarray | None = None
    position: np.ndarray | None = None
    n_actions: int | None = None
    n_users: int | None = None
    n_positions: int | None = None

    def __post_init__(self) -> None:
        n = len(np.atleast_1d(self.action))
        if not n:
            raise DataError("the log is empty: there is nothing to estimate from")
        self._set("reward", _numbers("reward", self.reward, n))
        self._set("propensity", _numbers("propensity", self.propensity, n))
        bad = np.flatnonzero((self.propensity <= 0) | (self.propensity > 1))
        if len(bad):
            raise DataError(
                f"propensity {self.propensity[bad[0]]:g} in row {bad[0]} ({len(bad)} such rows): a probability is "
                "above 0 and at most 1; what was shown cannot have had probability 0"
            )
        self._set_codes("action", self.action, "n_actions", n, UnknownItemError)
        if self.context is not None:
            self._set("context", _context(self.context, self.n_users))
            self._set("n_users", len(self.context))
        self._set_codes("user", np.arange(n) if self.user is None else self.user, "n_users", n, UnknownUserError)
        if self.position is not None:
            places = _codes("position", self.position, n)
            if places.min() < 1:
                raise DataError(f"position {places.min()}: places count from 1; add 1 to those that count from 0")
            self._set_codes("position", places - 1, "n_positions", n, DataError)
            self._set("position", places)

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)  # the way to complete a frozen dataclass

    def _set_codes(self, name: str, values, size_name: str, n: int, error: type[Exception]) -> None:
        codes, size = _codes(name, values, n), getattr(self, size_name)
        size = int(codes.max()) + 1 if size is None else whole(size_name, size)
        bad = codes[(codes < 0) | (codes >= size)]
        if len(bad):
            raise error(f"{name}: code {bad[0]} is unknown; with {size_name}={size} codes run from 0 to {size - 1}")
        self._set(name, codes)
        self._set(size_name, size)

    def __len__(self) -> int:
        return len(self.action)

    def __repr__(self) -> str:
        return (
            f"LoggedFeedback({len(self):,} rows, {self.n_users:,} users, {self.n_actions:,} actions, mean reward "
            f"{self.reward.mean():.4g}, smallest propensity {self.propensity.min():.3g})"
        )

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        action: str = "item",
        reward: str = "click",
        propensity: str = "propensity",
        user: str | None = "user",
        position: str | None = "position",
        context: np.ndarray | str | Sequence[str] | None = None,
        **sizes,
    ) -> LoggedFeedback:
        """From columns of a table; the defaults are those of a simulated audience's ``exposures``.

        ``context`` is an array with a row per user, or names of columns: numbers are taken as they are, everything
        else becomes one column a value (and then ``user=None``, for each row brings its own context). The Open Bandit
        Dataset, as :func:`mmrec_lib.datasets.load_open_bandit` gives it, is read by ``user=None`` and its columns of
        the user as ``context``. ``sizes``: ``n_actions``, ``n_users``, ``n_positions``.
        """
        columns = {"action": action, "reward": reward, "propensity": propensity, "user": user, "position": position}
        columns = {name: column for name, column in columns.items() if column is not None}
        context = [context] if isinstance(context, str) else context
        by_column = context is not None and not isinstance(context, np.ndarray)
        if by_column and user is not None:
            raise ParameterError("context columns belong to rows: give user=None, or context as an array, a row a user")
        for column in [*columns.values(), *(context if by_column else [])]:
            if column not in table:
                raise MissingColumnError("table of logged feedback", column, list(table.columns))
        if by_column:
            context = pd.get_dummies(table[list(context)], dtype=float).to_numpy(float)
        return cls(**{name: table[column].to_numpy() for name, column in columns.items()}, context=context, **sizes)


def off_policy_value(
    logged: LoggedFeedback,
    target_probabilities: np.ndarray,
    how: str | Sequence[str] = "dr",
    *,
    reward_model: np.ndarray | None = None,
    clip: float | None = None,
    tau: float | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean reward that a target policy would have earned, estimated from the log of another policy.

    Write w for the weight of a row, target probability over propensity, r for its reward, q for the model's predicted
    reward of what was shown, and v for the model's predicted reward of the target policy.

    ==============  ==================================================================================================
    ``"ips"``       mean of w r (Horvitz and Thompson, 1952): no bias, but a variance that grows with the weights
    ``"snips"``     sum of w r over sum of w (Swaminathan and Joachims, 2015): a little bias, mostly less variance
    ``"dm"``        mean of v, the direct method: little variance, as much bias as the model has
    ``"dr"``        mean of v + w (r - q), doubly robust (Dudik et al., 2011): no bias whatever the model, and the
                    better the model the smaller the variance
    ``"switch-dr"`` the same, without the correction where w is above ``tau`` (Wang et al., 2017)
    ==============  ==================================================================================================

    Parameters
    ----------
    logged
        The log. Where lists were shown, each place counts as a choice of its own: this is right when the reward of an
        item depends on the item and its place, not on its neighbours.
    target_probabilities
        Of the policy in question: array (n_users, n_actions), (n_actions,) when it is the same for everybody, or
        (n_users, n_actions, n_positions) when it differs by place. They sum to 1 over the actions.
    how
        One estimator or several.
    reward_model
        Predicted rewards, with the shapes of ``target_probabilities``. They must not come from a model that has seen
        the row it corrects. Default: :func:`cross_fitted_rewards`.
    clip
        Largest weight (in ips, snips and dr); what is above is cut down: less variance, some bias. Default: none.
    tau
        Threshold of switch-dr, which needs it: 0 gives dm, infinity dr.
    confidence, n_boot, seed
        Percentile bootstrap interval over users; ``n_boot=0`` gives the normal interval, which is much faster on long
        logs. The interval takes the reward model as given, and knows nothing of bias (of dm, of clipping).

    Returns
    -------
    DataFrame
        Indexed by estimator: mean, ci_low, ci_high, standard_error, and of the weights as they are used
        effective_rows (Kish, 1965: how many rows of equal weight would be as good), largest_weight, mean_weight
        (near 1, or the log lacks what the target policy does).

    Raises
    ------
    DataError, ParameterError, UnknownNameError

    Examples
    --------
    >>> log = LoggedFeedback(action=[0, 1, 0, 1], reward=[1, 0, 0, 1], propensity=[0.5, 0.5, 0.5, 0.5])
    >>> float(off_policy_value(log, [0.25, 0.75], "ips")["mean"].iloc[0])
    0.5
    """
    names = _names(how)
    bootstrap.check(confidence, n_boot or 1)
    _check_limits(names, clip, tau)
    rewards = _rewards(logged, names, reward_model, seed)
    top, bottom, used = _terms(logged, target_probabilities, "target_probabilities", names, rewards, clip, tau)
    table = _ratios(logged.user, top, bottom, confidence, n_boot, seed)
    diagnosis = pd.DataFrame([_diagnosis(name, w) for name, w in zip(names, used, strict=True)])
    return pd.concat([table, diagnosis], axis=1).set_index(pd.Index(names, name="estimator"))


def off_policy_difference(
    logged: LoggedFeedback,
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    how: str | Sequence[str] = "dr",
    *,
    reward_model: np.ndarray | None = None,
    clip: float | None = None,
    tau: float | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """By how much policy A would have earned more than policy B, from one log of a third.

    Both values rest on the same rows, so that much of their noise is common and cancels: the interval is narrower than
    those of the two values suggest, the more so the more alike the policies are.

    Parameters
    ----------
    probabilities_a, probabilities_b
        As ``target_probabilities`` of :func:`off_policy_value`; where the log itself was A or B, its own table of
        probabilities.
    logged, how, reward_model, clip, tau, confidence, n_boot, seed
        As there.

    Returns
    -------
    DataFrame
        Indexed by estimator: mean_a, mean_b, difference (A less B), ci_low, ci_high, standard_error.

    Raises
    ------
    DataError, ParameterError, UnknownNameError

    Examples
    --------
    >>> log = LoggedFeedback(action=[0, 1, 0, 1], reward=[1, 0, 0, 1], propensity=[0.5, 0.5, 0.5, 0.5])
    >>> table = off_policy_difference(log, [1.0, 0.0], [0.0, 1.0], "ips")
    >>> table[["mean_a", "mean_b", "difference"]].loc["ips"].tolist()
    [0.5, 0.5, 0.0]
    """
    names = _names(how)
    bootstrap.check(confidence, n_boot or 1)
    _check_limits(names, clip, tau)
    rewards = _rewards(logged, names, reward_model, seed)
    (top_a, bottom_a, _), (top_b, bottom_b, _) = (
        _terms(logged, table, name, names, rewards, clip, tau)
        for name, table in (("probabilities_a", probabilities_a), ("probabilities_b", probabilities_b))
    )
    top, bottom = np.concatenate([top_a, top_b], axis=1), np.concatenate([bottom_a, bottom_b], axis=1)
    k = len(names)
    contrast = np.concatenate([np.eye(k), -np.eye(k)])
    table = _ratios(logged.user, top, bottom, confidence, n_boot, seed, contrast).rename(columns={"mean": "difference"})
    values = top.sum(axis=0) / bottom.sum(axis=0)
    table.insert(0, "mean_a", values[:k])
    table.insert(1, "mean_b", values[k:])
    return table.set_index(pd.Index(names, name="estimator"))


def cross_fitted_rewards(
    logged: LoggedFeedback,
    action_features: np.ndarray | None = None,
    *,
    model: str = "auto",
    alpha: float = 1.0,
    folds: int = 5,
    max_rows: int = 20_000,
    seed: int = 0,
) -> np.ndarray:
    """Predicted reward of every action for every user, each from a model that has not seen that user's rows.

    A linear model with a constant for each action and place, the (standardised) context, and the products of context
    and action, so that different users may prefer different actions. Users are dealt into ``folds`` parts, and each
    part is predicted by what was fitted on the others (Chernozhukov et al., 2018).

    Parameters
    ----------
    action_features : array (n_actions, f), optional
        Describe the actions, so that rare ones borrow from similar ones. Default: each action has its own products.
    model
        ``"ridge"``, ``"logistic"`` (rewards 0 and 1 only), or ``"auto"``: logistic where it can be.
    alpha
        Penalty of the squared coefficients.
    folds, seed
        At least 2 folds, at most as many as there are users in the log.
    max_rows
        Rows that each model is fitted on, drawn at random from longer logs: a linear model gains little from more, and
        the products make the table that is fitted wide (20 numbers for users and 20 for actions: 400 columns).

    Returns
    -------
    float32 array (n_users, n_actions), or (n_users, n_actions, n_positions) when the log has places.
    """
    one_of("model", model, ("auto", "ridge", "logistic"))
    above("alpha", alpha, 0)
    whole("max_rows", max_rows)
    active = np.unique(logged.user)
    if whole("folds", folds, 2) > len(active):
        raise ParameterError(f"folds={folds!r}: the log has only {len(active)} users to deal into parts")
    binary = bool(np.isin(logged.reward, (0, 1)).all())
    if model == "logistic" and not binary:
        raise DataError('model="logistic": rewards must be 0 or 1; take model="ridge" for others')
    logistic = model != "ridge" and binary
    context = None if logged.context is None else _standardised(logged.context)
    features = None if action_features is None else _standardised(_action_features(action_features, logged))
    rng = np.random.default_rng(seed)
    fold = rng.integers(folds, size=logged.n_users)
    fold[active] = rng.permutation(len(active)) % folds  # every part has rows
    predictions = np.empty((logged.n_users, logged.n_actions, logged.n_positions or 1), np.float32)
    for part in range(folds):
        rows, users = np.flatnonzero(fold[logged.user] != part), fold == part
        if len(rows) > max_rows:
            rows = np.sort(rng.choice(rows, max_rows, replace=False))
        coefficients = _fit(_design(logged, rows, context, features), logged.reward[rows], logistic, alpha)
        if coefficients is None:  # all rewards alike: nothing to learn
            predictions[users] = logged.reward[rows][0]
            continue
        scores = _scores(coefficients, logged, None if context is None else context[users], features)
        predictions[users] = 1 / (1 + np.exp(-np.clip(scores, -30, 30))) if logistic else scores
    return predictions if logged.position is not None else predictions[:, :, 0]


# -- estimates -----------------------------------------------------------------------------------------------------
def _rewards(logged: LoggedFeedback, names: list[str], reward_model, seed: int) -> np.ndarray | None:
    """The table of predicted rewards, where an estimator needs one."""
    if not set(names) & set(_WITH_MODEL):
        return None
    given = cross_fitted_rewards(logged, seed=seed) if reward_model is None else reward_model
    return _table(logged, given, "reward_model")


def _terms(
    logged: LoggedFeedback, probabilities, argument: str, names: list[str], rewards: np.ndarray | None, clip, tau
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Numerators and denominators (rows, estimators) whose sums make the ratio of each estimator, and its weights."""
    target = _table(logged, probabilities, argument)
    _check_probabilities(target, argument)
    weight = _of_rows(logged, target) / logged.propensity
    predicted = promised = np.zeros(len(logged))
    if rewards is not None:
        predicted, promised = _of_rows(logged, rewards), _promised(logged, target, rewards)
    if "snips" in names and not weight.any():
        raise DataError(f"all weights are zero: nothing that the policy of {argument} does was ever logged")
    numerators, denominators, used = [], [], []
    for name in names:
        w = _used(name, weight, clip, tau)
        with_model = name in _WITH_MODEL
        numerators.append(promised + w * (logged.reward - predicted) if with_model else w * logged.reward)
        denominators.append(w if name == "snips" else np.ones(len(logged)))
        used.append(w)
    return np.array(numerators).T, np.array(denominators).T, used


def _used(name: str, weight: np.ndarray, clip: float | None, tau: float | None) -> np.ndarray:
    if name == "dm":
        return np.zeros_like(weight)
    if name == "switch-dr":
        return np.where(weight <= tau, weight, 0.0)
    return weight if clip is None else np.minimum(weight, clip)


def _diagnosis(name: str, w: np.ndarray) -> dict[str, float]:
    if name == "dm":
        return dict.fromkeys(("effective_rows", "largest_weight", "mean_weight"), np.nan)
    squares = (w**2).sum()
    effective = w.sum() ** 2 / squares if squares else 0.0
    return {"effective_rows": effective, "largest_weight": w.max(), "mean_weight": w.mean()}


def _ratios(user, numerators, denominators, confidence: float, n_boot: int, seed: int, contrast=None) -> pd.DataFrame:
    """Sums of numerators over sums of denominators, with intervals from users as the independent units.

    With ``contrast`` (n_ratios, n_results), sums of the ratios, weighted by its columns.
    """
    _, unit = np.unique(user, return_inverse=True)
    n_units, k = unit.max() + 1, numerators.shape[1]
    columns = np.c_[numerators, denominators]
    sums = np.stack([np.bincount(unit, column, n_units) for column in columns.T], axis=1)
    contrast = np.eye(k) if contrast is None else contrast
    top, bottom = sums[:, :k], sums[:, k:]
    ratio = top.sum(axis=0) / bottom.sum(axis=0)
    # the ratio of two means, linearised (delta method): each unit counts by its residual
    residual = (top - ratio * bottom) / bottom.sum(axis=0) @ contrast
    spread = np.sqrt((residual**2).sum(axis=0) * n_units / max(n_units - 1, 1))
    value, error = ratio @ contrast, spread if n_units > 1 else np.full(contrast.shape[1], np.nan)
    low, high = _interval(sums, contrast, value, error, confidence, n_boot, seed)
    return pd.DataFrame({"mean": value, "ci_low": low, "ci_high": high, "standard_error": error})


def _interval(sums, contrast, value, error, confidence: float, n_boot: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if not n_boot:
        from scipy.special import ndtri

        z = ndtri((1 + confidence) / 2)
        return value - z * error, value + z * error
    means, k = bootstrap.resampled_means(sums, n_boot, seed), len(contrast)
    top, bottom = means[:, :k], means[:, k:]
    # a resample without any weight has no self-normalised value and is left out
    ratios = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    used = contrast != 0
    draws = np.stack([ratios[:, column] @ weights[column] for weights, column in zip(contrast.T, used.T, strict=True)])
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=1)
    return low, high


def _of_rows(logged: LoggedFeedback, table: np.ndarray) -> np.ndarray:
    """The entry of each logged row: of its user, its action and, where the table has places, its place."""
    if table.ndim == 2:
        return table[logged.user, logged.action].astype(float)
    return table[logged.user, logged.action, logged.position - 1].astype(float)


def _promised(logged: LoggedFeedback, target: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """Predicted reward of the target policy for each logged row."""
    if target.ndim == rewards.ndim == 2:
        return np.einsum("ua,ua->u", target, rewards, dtype=float)[logged.user]
    target, rewards = (table if table.ndim == 3 else table[:, :, None] for table in (target, rewards))
    target, rewards = np.broadcast_arrays(target, rewards)
    return np.einsum("uap,uap->up", target, rewards, dtype=float)[logged.user, logged.position - 1]


# -- reward model --------------------------------------------------------------------------------------------------
def _design(logged: LoggedFeedback, rows: np.ndarray, context: np.ndarray | None, features: np.ndarray | None):
    """One sparse row for each of the logged ``rows``; :func:`_scores` takes the blocks apart again."""
    from scipy import sparse

    action, n = logged.action[rows], len(rows)
    blocks = [_one_hot(action, logged.n_actions)]
    if logged.position is not None:
        blocks.append(_one_hot(logged.position[rows] - 1, logged.n_positions))
    if features is not None:
        blocks.append(features[action])
    if context is not None:
        own, d = context[logged.user[rows]], context.shape[1]
        blocks.append(own)
        if features is not None:
            blocks.append((features[action][:, :, None] * own[:, None, :]).reshape(n, -1))
        else:
            columns = action[:, None] * d + np.arange(d)
            starts = np.arange(0, n * d + 1, d)
            blocks.append(sparse.csr_array((own.ravel(), columns.ravel(), starts), shape=(n, logged.n_actions * d)))
    return sparse.hstack([sparse.csr_array(block) for block in blocks], format="csr")


def _one_hot(codes: np.ndarray, size: int):
    from scipy import sparse

    return sparse.csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), size))


def _fit(design, reward: np.ndarray, logistic: bool, alpha: float) -> np.ndarray | None:
    """Coefficients, the constant first; None where all rewards are the same."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if np.ptp(reward) == 0:
        return None
    learner = LogisticRegression(C=1 / alpha, max_iter=1000) if logistic else Ridge(alpha)
    learner.fit(design, reward)
    return np.r_[np.ravel(learner.intercept_), np.ravel(learner.coef_)]


def _scores(coefficients: np.ndarray, logged: LoggedFeedback, context, features) -> np.ndarray:
    """Scores (users, actions, places), block by block: the design of all pairs would not fit into memory."""
    n_actions, n_places = logged.n_actions, logged.n_positions or 0
    constant, action, place, rest = np.split(coefficients, np.cumsum([1, n_actions, n_places]))
    by_action = constant + action
    if features is not None:
        by_action = by_action + features @ rest[: features.shape[1]]
        rest = rest[features.shape[1] :]
    scores = by_action[None, :]
    if context is not None:
        d = context.shape[1]
        products = rest[d:].reshape(-1, d)  # one row an action, or one a feature of actions
        tastes = context @ products.T
        scores = scores + (context @ rest[:d])[:, None] + (tastes if features is None else tastes @ features.T)
    return scores[:, :, None] + (place if n_places else 0.0)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1)


# -- checks --------------------------------------------------------------------------------------------------------
def _names(how: str | Sequence[str]) -> list[str]:
    names = [how] if isinstance(how, str) else list(how)
    for name in names:
        if name not in ESTIMATORS:
            raise UnknownNameError("estimator", name, ESTIMATORS)
    if not names:
        raise ParameterError(f"how={how!r}: name at least one of {', '.join(ESTIMATORS)}")
    return names


def _check_limits(names: list[str], clip: float | None, tau: float | None) -> None:
    if clip is not None:
        above("clip", clip, 0)
    if "switch-dr" in names and tau is None:
        raise ParameterError("switch-dr needs tau, the weight above which the model is trusted alone: give tau=10, say")
    if tau is not None and tau != np.inf:
        at_least("tau", tau, 0)


def _numbers(name: str, values, n: int) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.shape != (n,):
        raise DataError(f"{name} has shape {values.shape}: one number for each of the {n} actions is needed")
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinity in row {np.flatnonzero(~np.isfinite(values))[0]}")
    return values


def _codes(name: str, values, n: int) -> np.ndarray:
    numbers = _numbers(name, values, n)
    codes = numbers.astype(np.int64)
    if (codes != numbers).any():
        raise DataError(f"{name}: {numbers[codes != numbers][0]:g} is no code; codes are whole numbers")
    return codes


def _context(values, n_users: int | None) -> np.ndarray:
    context = np.asarray(values, dtype=float)
    context = context[:, None] if context.ndim == 1 else context
    if context.ndim != 2 or not context.size or (n_users is not None and len(context) != n_users):
        raise DataError(f"context has shape {context.shape}: it must be (n_users, d), one row a user")
    if not np.isfinite(context).all():
        raise DataError("context holds NaN or infinity: fill in what is missing")
    return context


def _action_features(values, logged: LoggedFeedback) -> np.ndarray:
    features = np.asarray(values, dtype=float)
    if features.ndim != 2 or len(features) != logged.n_actions or not np.isfinite(features).all():
        raise DataError(f"action_features {features.shape} must be ({logged.n_actions}, f), finite, one row an action")
    return features


def _table(logged: LoggedFeedback, values, name: str) -> np.ndarray:
    """Checked values (n_users, n_actions) or (n_users, n_actions, n_positions)."""
    table = np.asarray(values)
    wanted = (logged.n_users, logged.n_actions)
    if table.shape == wanted[1:]:
        table = np.broadcast_to(table, wanted)
    places = () if table.ndim < 3 or logged.position is None else (logged.n_positions,)
    if table.shape != wanted + places:
        raise DataError(
            f"{name} has shape {table.shape}: give (n_users, n_actions) = {wanted}, ({wanted[1]},) for all alike, "
            "or a third axis for the places when the log has them"
        )
    if not np.isfinite(table).all():
        raise DataError(f"{name} holds NaN or infinity")
    return table


def _check_probabilities(target: np.ndarray, name: str) -> None:
    if target.min() < 0:
        raise DataError(f"{name} holds {target.min():g}: a probability is at least 0")
    sums = target.sum(axis=1, dtype=float)
    worst = sums.flat[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > 1e-4:
        raise DataError(f"{name} sum to {worst:.4g} in a row: over the actions they must sum to 1")
