"""An audience over a real catalogue: tastes that are known, lists that were shown, clicks and ratings that followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from ..data import Dataset, Interactions
from ..errors import DataError, FeatureError, ParameterError, UnknownItemError, UnknownNameError, UnknownUserError
from .attributes import MEASURED, check_attributes, extract_attributes
from .logging_policy import list_probabilities, sample_lists

#: Share of the variance of utility that each component has, unless told otherwise.
DEFAULT_WEIGHTS = {"category": 0.30, "look": 0.30, "theme": 0.20, "sound": 0.10, "quality": 0.10}
#: What can be perceived in a modality, by a person or by a model.
SHOWS = {"text": ("category", "theme"), "image": ("category", "look"), "audio": ("sound",)}
#: What only one modality shows: in ``weights`` a modality's name stands for this component.
ONLY_IN = {"text": "theme", "image": "look", "audio": "sound"}
#: First second of the simulated period: 2024-01-01 00:00 UTC.
START = 1_704_067_200
DAY = 86_400


def simulate(
    dataset: Dataset,
    n_users: int = 2000,
    *,
    weights: Mapping[str, float] | None = None,
    n_lists: int = 40,
    list_length: int = 12,
    popularity_bias: float = 0.5,
    targeting: float = 1.0,
    position_bias: float = 0.5,
    noise: float = 0.15,
    threshold: float = 1.9,
    drift: float = 0.1,
    days: int = 180,
    seed: int = 0,
    attributes: Mapping[str, pd.DataFrame] | None = None,
) -> Audience:
    """Invent people whose tastes are known, show them lists from a real catalogue, and log what they do.

    The utility of item i for user u is a sum of components, :math:`U_{ui} = \\sum_c \\sqrt{w_c} z_c(u, i)`, each
    with mean 0 and variance 1 over users and items: a scalar product of the taste with the attributes (category,
    look, sound, theme), or a property of the item alone (quality). An item without a sound gets 0 from sound.

    Parameters
    ----------
    dataset
        The catalogue; its users and interactions are not looked at.
    n_users
        Number of people, at least 1. The first people are the same whatever their number.
    weights
        Component (category, look, sound, theme, quality) to its share of the variance of utility; scaled to sum 1.
        ``"image"``, ``"audio"``, ``"text"`` stand for what only that modality shows: look, sound, theme. Components
        that are not named keep their default (:data:`DEFAULT_WEIGHTS`), or 0 when the catalogue cannot show them.
    n_lists, list_length
        Lists shown to each user, and their length. Items within a list differ.
    popularity_bias
        How much the lists prefer famous items; fame is correlated (0.5) with quality. 0: all items alike.
    targeting
        How much the lists already follow the user's taste. 0: the same probabilities for everybody.
    position_bias
        A user looks at place k with probability ``k ** -position_bias`` (Joachims et al. 2017); 0: at all places.
    noise
        Scale of the logistic noise of a click, in standard deviations of utility. A user who looks at an item clicks
        with probability ``1 / (1 + exp((threshold - utility) / noise))``. Ratings, about 3.3 at the threshold and 2
        more for each unit of utility above, are rounded after normal noise of four times this size. 0: no chance.
    threshold
        Utility at which a click is as likely as not.
    drift
        How far tastes turn during the period: 0 not at all, 1 to something unrelated. Quality stays.
    days
        Length of the period.
    seed
        Each component and each step has its own stream of random numbers, so that changing one leaves the others.
    attributes
        Tables as :func:`extract_attributes` returns them. Default: measured here.

    Raises
    ------
    ParameterError, UnknownNameError, DataError, FeatureError
        Arguments out of range, unknown components, a weight for something that the catalogue does not have.
    """
    if attributes is None:
        attributes = extract_attributes(dataset)
    check_attributes(attributes, dataset.n_items)
    setting = Setting(
        weights=_shares(weights, attributes),
        n_users=n_users,
        n_lists=n_lists,
        list_length=list_length,
        popularity_bias=popularity_bias,
        targeting=targeting,
        position_bias=position_bias,
        noise=noise,
        threshold=threshold,
        drift=drift,
        days=days,
        seed=seed,
    )
    return Audience(dataset.items, attributes, setting)


@dataclass(frozen=True)
class Setting:
    """The arguments of :func:`simulate`, checked; ``weights`` by component, summing to 1."""

    weights: dict[str, float]
    n_users: int
    n_lists: int
    list_length: int
    popularity_bias: float
    targeting: float
    position_bias: float
    noise: float
    threshold: float
    drift: float
    days: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("n_users", "n_lists", "list_length", "days"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")
        for name in ("popularity_bias", "targeting", "position_bias", "noise"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ParameterError(f"{name}={value!r}: give a number of at least 0")
        if not np.isfinite(self.threshold):
            raise ParameterError(f"threshold={self.threshold!r}: give a finite utility")
        if not 0 <= self.drift <= 1:
            raise ParameterError(
                f"drift={self.drift!r}: give a number from 0 (tastes stay) to 1 (unrelated at the end)"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ParameterError(f"seed={self.seed!r}: give a whole number of at least 0")


class Audience:
    """Simulated people over a catalogue, made by :func:`simulate`.

    Attributes
    ----------
    exposures : DataFrame
        One row for each item shown: user, list (number of the user's visit), item, position (from 1), propensity,
        click (bool), rating (1 to 5, NaN without a click), time (seconds since 1970), in the order of time.
        ``propensity`` is the probability, known exactly, with which the logging policy puts this item at this place of
        a list for this user; it is the same for all places and visits (see :meth:`propensity`).
    interactions : Interactions
        First click of each user on each item; the value is the rating.
    items : DataFrame
        The catalogue, with fame and quality of each item (standard scores) added.
    attributes : dict of DataFrame
        Component to standardised attributes, one row per item; zeros where an item has no such medium.
    tastes : dict of DataFrame
        Component to tastes at the start, one row per user and one column per attribute.
    users : DataFrame
        One row per user: number of exposures and clicks.
    weights : dict
        Component to its share of the variance of utility; sums to 1.
    setting : Setting
        All arguments of :func:`simulate`.
    """

    def __init__(self, items: pd.DataFrame, attributes: Mapping[str, pd.DataFrame], setting: Setting) -> None:
        if setting.list_length > len(items):
            raise ParameterError(f"list_length={setting.list_length}: the catalogue has only {len(items)} items")
        self.setting, self.weights = setting, setting.weights
        self.n_users, self.n_items = setting.n_users, len(items)
        quality = self._rng("quality").standard_normal(self.n_items)
        fame = 0.5 * quality + np.sqrt(0.75) * self._rng("fame").standard_normal(self.n_items)
        self.items = items.assign(quality=_standard(quality), fame=_standard(fame))
        used = [name for name, weight in self.weights.items() if weight and name != "quality"]
        self.attributes = {name: _standardise(attributes[name], name) for name in used}
        self.tastes = {name: self._draw_tastes(name, "") for name in used}
        self._later = {name: self._draw_tastes(name, "later") for name in used}
        self.exposures = self._log()
        self.interactions = self._first_clicks()
        self.users = self._count()

    def _draw_tastes(self, name: str, when: str) -> pd.DataFrame:
        columns = self.attributes[name].columns
        draws = self._rng(name + when).standard_normal((self.n_users, len(columns)), dtype=np.float32)
        return pd.DataFrame(draws, columns=columns)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {weight:.2f}" for name, weight in self.weights.items())
        return (
            f"Audience({self.n_users:,} users, {self.n_items:,} items, {len(self.exposures):,} exposures, "
            f"{int(self.exposures['click'].sum()):,} clicks; {parts})"
        )

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.setting.seed, *name.encode()])

    # -- what people want ------------------------------------------------------------------------------------------
    def utility(self, users=None, time: float = 0.5, components: Sequence[str] | None = None) -> np.ndarray:
        """True utilities of all items, float32 ``(len(users), n_items)``; mean about 0, variance about 1.

        Parameters
        ----------
        users
            Codes; default: everybody.
        time
            Point of the simulated period between 0 (start) and 1 (end); it matters when tastes drift.
        components
            Only what rests on these. Default: all.
        """
        users = np.arange(self.n_users) if users is None else self._check_users(users)
        if not 0 <= time <= 1:
            raise ParameterError(f"time={time!r}: give a point of the period between 0 and 1")
        total = np.zeros((len(users), self.n_items), np.float32)
        for name in self._known(components):
            total += self._contribution(name, users, self._turn(time))
        return total

    def _turn(self, time):
        """Angle by which tastes have turned at a point of the period, in radians."""
        return np.float32(self.setting.drift * np.pi / 2) * np.asarray(time, np.float32)

    def _contribution(self, name: str, users: np.ndarray, turn: float) -> np.ndarray:
        scale = np.float32(np.sqrt(self.weights[name]))
        if name == "quality":
            quality = self.items["quality"].to_numpy(np.float32)
            return np.broadcast_to(scale * quality, (len(users), self.n_items))
        first, later = (table[name].to_numpy()[users] for table in (self.tastes, self._later))
        tastes = np.float32(np.cos(turn)) * first + np.float32(np.sin(turn)) * later
        return tastes @ (scale * self.attributes[name].to_numpy().T)

    def _known(self, names: Sequence[str] | str | None) -> list[str]:
        """Components with a weight, from names of components and of modalities (which stand for all they show)."""
        if names is None:
            return [name for name, weight in self.weights.items() if weight]
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.weights and name not in SHOWS:
                raise UnknownNameError("component or modality", name, [*self.weights, *SHOWS])
        wanted = {part for name in names for part in SHOWS.get(name, (name,))}
        return [name for name, weight in self.weights.items() if weight and name in wanted]

    def explained_share(self) -> pd.DataFrame:
        """Share of the variance of utility (over items, within a user) that each component and modality can explain.

        Index: the components, then the modalities. Column ``share``: what rests on it; a modality counts all that it
        shows, so category counts for text and for image. Column ``only``: what nothing else shows. ``quality`` is in no
        medium: what content cannot explain.
        """
        within = {name: float(self.utility(components=[name]).var(axis=1).mean()) for name in self.weights}
        total = sum(within.values())
        rows = {name: (part / total, part / total) for name, part in within.items()}
        for modality, shown in SHOWS.items():
            only = within[ONLY_IN[modality]]
            rows[modality] = (sum(within[name] for name in shown) / total, only / total)
        return pd.DataFrame(rows, index=["share", "only"]).T

    # -- the best that is possible ---------------------------------------------------------------------------------
    @property
    def oracle(self) -> Oracle:
        """Recommender that knows the true utilities (in the middle of the period)."""
        return Oracle(self)

    def oracle_knowing(self, *names: str, time: float = 0.5) -> Oracle:
        """Recommender that knows the true utility of some components only, or of all that some modalities show.

        ``oracle_knowing("image")`` is the best that pictures allow, ``oracle_knowing("text", "image", "audio")`` the
        best that content allows, and ``oracle_knowing(time=1.0)`` knows everything as it is at the end.
        """
        return Oracle(self, self._known(names or None), time)

    # -- what people do --------------------------------------------------------------------------------------------
    def examination(self, positions) -> np.ndarray:
        """Probability that a user looks at a place; places count from 1."""
        positions = np.asarray(positions)
        if positions.size and positions.min() < 1:
            raise ParameterError(f"position {positions.min()}: places count from 1")
        return positions.astype(float) ** -self.setting.position_bias

    def click_probability(self, users, items, positions=1, time: float = 0.5) -> np.ndarray:
        """Probability of a click of each user on each item at each position; the arrays are broadcast."""
        users, items, positions = np.broadcast_arrays(users, items, positions)
        self._check_users(users.ravel())
        self._check_items(items)
        people, row = np.unique(users, return_inverse=True)
        utility = self.utility(people, time)[row.reshape(users.shape), items]
        return self.examination(positions) * self._appeal(utility)

    def respond(self, users, lists, seed: int | np.random.Generator = 0, time: float = 0.5) -> pd.DataFrame:
        """Show lists to users and return what they do.

        Parameters
        ----------
        users
            Codes ``(n,)``; a user may occur more than once.
        lists
            Item codes ``(n, length)``, best first; -1 leaves a place empty.
        seed
            Number, or a generator to go on with.
        time
            Point of the period between 0 and 1.

        Returns
        -------
        DataFrame
            One row per item shown: user, item, position, click, rating (NaN without a click).
        """
        users, lists = self._check_users(users), np.asarray(lists)
        if lists.ndim != 2 or len(lists) != len(users):
            raise ParameterError(f"lists must be (number of users, length) = ({len(users)}, ...); got {lists.shape}")
        shown = lists >= 0
        row, place = np.nonzero(shown)
        item = self._check_items(lists[shown])
        people, person = np.unique(users, return_inverse=True)
        utility = self.utility(people, time)[person[row], item]
        click, rating = self._react(utility, place + 1, np.random.default_rng(seed))
        return pd.DataFrame({"user": users[row], "item": item, "position": place + 1, "click": click, "rating": rating})

    def _appeal(self, utility: np.ndarray) -> np.ndarray:
        return expit((np.asarray(utility, float) - self.setting.threshold) / max(self.setting.noise, 1e-9))

    def _react(self, utility, position, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        click = rng.random(utility.shape) < self.examination(position) * self._appeal(utility)
        liking = utility - self.setting.threshold
        opinion = 3.3 + 2 * liking + 4 * self.setting.noise * rng.standard_normal(utility.shape)
        rating = np.clip(np.rint(opinion), 1, 5).astype(np.float32)
        return click, np.where(click, rating, np.float32(np.nan))

    # -- what was logged -------------------------------------------------------------------------------------------
    def propensity(self, users=None) -> np.ndarray:
        """Probability that the logging policy puts an item at a given place of a list: ``(len(users), n_items)``.

        The same for each place of each visit; rows sum to one. Times the length of a list it is the probability that
        the item is in the list at all.
        """
        users = np.arange(self.n_users) if users is None else self._check_users(users)
        fame = self.items["fame"].to_numpy(np.float32)
        scores = self.setting.popularity_bias * fame + self.setting.targeting * self.utility(users, time=0.0)
        return list_probabilities(scores, self.setting.list_length)

    def _log(self) -> pd.DataFrame:
        setting = self.setting
        propensity = self.propensity()
        lists = sample_lists(propensity, setting.n_lists, setting.list_length, self._rng("lists"))
        visits = np.sort(self._rng("visits").random((self.n_users, setting.n_lists)), axis=1)
        user, visit, place = (grid.ravel() for grid in np.indices(lists.shape, dtype=np.int32))
        item, when = lists.ravel(), visits[user, visit]
        click, rating = self._react(self._utility_of(user, item, when), place + 1, self._rng("clicks"))
        table = pd.DataFrame(
            {
                "user": user,
                "list": visit,
                "item": item,
                "position": place + 1,
                "propensity": propensity[user, item],
                "click": click,
                "rating": rating,
                "time": START + (when * setting.days * DAY).astype(np.int64) + place,
            }
        )
        return table.sort_values(["time", "user", "position"], kind="stable", ignore_index=True)

    def _utility_of(self, user: np.ndarray, item: np.ndarray, when: np.ndarray) -> np.ndarray:
        """Utility of single pairs, each at its own time: tastes turn on a circle from a first to a later taste."""
        everybody, turn = np.arange(self.n_users), self._turn(when)
        total = np.zeros(len(user), np.float32)
        for name in self._known(None):
            part = self._contribution(name, everybody, 0.0)[user, item]
            if name != "quality" and self.setting.drift:
                part = np.cos(turn) * part + np.sin(turn) * self._contribution(name, everybody, np.pi / 2)[user, item]
            total += part
        return total

    def _first_clicks(self) -> Interactions:
        clicks = self.exposures[self.exposures["click"]].drop_duplicates(["user", "item"])
        columns = (clicks[name].to_numpy() for name in ("user", "item", "rating", "time"))
        return Interactions(*columns, n_users=self.n_users, n_items=self.n_items)

    def _count(self) -> pd.DataFrame:
        counts = self.exposures.groupby("user")["click"].agg(exposures="size", clicks="sum")
        return counts.set_index(pd.Index([f"u{code:04d}" for code in counts.index], name="user"))

    # -- checks ----------------------------------------------------------------------------------------------------
    def _check_users(self, users) -> np.ndarray:
        users = np.atleast_1d(np.asarray(users))
        bad = users[(users < 0) | (users >= self.n_users)]
        if len(bad):
            raise UnknownUserError(f"user {bad[0]} is unknown: the audience has codes 0 to {self.n_users - 1}")
        return users

    def _check_items(self, items) -> np.ndarray:
        items = np.asarray(items)
        bad = items[(items < 0) | (items >= self.n_items)]
        if bad.size:
            raise UnknownItemError(f"item {bad.flat[0]} is unknown: the catalogue has codes 0 to {self.n_items - 1}")
        return items


class Oracle:
    """A recommender that looks the true utilities up: nothing that learns can be better on average.

    Has ``score(users)``, so it can stand wherever a fitted model is evaluated.
    """

    name = "oracle"

    def __init__(self, audience: Audience, components: Sequence[str] | None = None, time: float = 0.5) -> None:
        self.audience, self.components, self.time = audience, components, time

    def __repr__(self) -> str:
        return f"Oracle({', '.join(self.components or self.audience.weights)})"

    def score(self, users) -> np.ndarray:
        """True utilities, float32 ``(len(users), n_items)``."""
        return self.audience.utility(users, self.time, self.components)


# -- arguments -----------------------------------------------------------------------------------------------------
def _shares(weights: Mapping[str, float] | None, attributes: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Weights by component, scaled to sum one; modality names are replaced by the component that only they show."""
    given: dict[str, float] = {}
    for name, weight in (weights or {}).items():
        component = ONLY_IN.get(name, name)
        if component not in DEFAULT_WEIGHTS:
            raise UnknownNameError("weight", name, [*DEFAULT_WEIGHTS, *ONLY_IN])
        if component in given:
            raise ParameterError(f"weights name {component!r} twice: {name!r} stands for it; give one of them")
        if not (np.isfinite(weight) and weight >= 0):
            raise ParameterError(f"weights[{name!r}]={weight!r}: a weight is a number of at least 0")
        if weight and component in MEASURED and component not in attributes:
            raise DataError(
                f"weights[{name!r}]={weight!r}: the catalogue has nothing to measure {component!r} on "
                f"({MEASURED[component] or 'items[category]'} is missing); set it to 0"
            )
        given[component] = float(weight)
    shares = {
        name: given.get(name, default if name in attributes or name not in MEASURED else 0.0)
        for name, default in DEFAULT_WEIGHTS.items()
    }
    total = sum(shares.values())
    if not total:
        raise ParameterError("all weights are zero: nobody would like anything; give at least one above zero")
    return {name: share / total for name, share in shares.items()}


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)


def _standardise(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Attributes scaled so that a taste with independent standard normal entries gives a utility of variance 1.

    Columns of measurements get mean 0 and standard deviation 1 over the items that have the medium, at most 3 in size;
    the folders of ``category`` keep their scale. Items without the medium get zeros.
    """
    values = table.to_numpy(float)
    known = np.isfinite(values).all(axis=1)
    result = np.zeros(values.shape)
    if known.any():
        part = values[known] - values[known].mean(axis=0)
        if name != "category":
            spread = part.std(axis=0)
            part = np.clip(part / np.where(spread > 1e-9, spread, 1), -3, 3)
            part -= part.mean(axis=0)
        result[known] = part
    power = (result**2).sum() / max(len(values), 1)
    if power < 1e-12:
        raise FeatureError(f"attributes[{name!r}] are the same for all items; set the weight of {name!r} to 0")
    return pd.DataFrame((result / np.sqrt(power)).astype(np.float32), index=table.index, columns=table.columns)
