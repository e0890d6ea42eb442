"""Items that lack a modality: taking modalities away on purpose, and filling them in from those that are there."""

from __future__ import annotations

import importlib
import inspect
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .. import data
from ..checks import above, between, whole
from ..data import Features
from ..errors import FeatureError, NotFittedError, ParameterError, UnknownNameError

#: Penalties that ridge regression chooses from, relative to the number of items it learns from.
_ALPHAS = (0.001, 0.01, 0.1, 1.0, 10.0)
_HELD_OUT = 0.1  # share of the items that decides on the penalty, or on when to stop
FEW = 20  # with fewer items than this, none is held out

# Name to (module, class); torch is imported only by those that need it.
_IMPUTERS = {
    "mean": ("missing", "MeanImputer"),
    "knn": ("missing", "KNNImputer"),
    "ridge": ("missing", "RidgeImputer"),
    "autoencoder": ("missing_networks", "AutoencoderImputer"),
    "gan": ("missing_networks", "GANImputer"),
}


def drop_modality(
    features: Features, share: float, modalities: str | Sequence[str] | None = None, seed: int = 0, joint: bool = False
) -> Features:
    """Take away a random share of the entries of one modality, of several, or of all.

    Parameters
    ----------
    features : Features
    share
        Of the items that have the modality, how many lose it: 0 to 1, rounded to a whole item. With the same seed the
        removals are nested: what is gone at 0.25 is also gone at 0.5.
    modalities
        A name or several. Default: all. What one modality loses does not depend on which others are named.
    seed
    joint
        False: each modality loses entries of its own. True: the same items lose all the named modalities, a share of
        those that have any of them; nothing is then left to fill the gaps from, unless another modality stays.

    Returns
    -------
    Features
        The same vectors with a smaller mask.

    >>> drop_modality(Features({"image": np.ones((4, 2))}), 0.5).mask["image"].sum()
    np.int64(2)
    """
    between("share", share, 0, 1)
    whole("seed", seed, 0)
    names = list(features) if modalities is None else [modalities] if isinstance(modalities, str) else list(modalities)
    for name in names:
        if name not in features:
            raise UnknownNameError("modality", name, features)
    mask = dict(features.mask)
    having = {name: mask[name] for name in names}
    if joint:
        having = dict.fromkeys(names, np.any([mask[name] for name in names], axis=0))
    for name, has in having.items():
        draw = np.random.default_rng([seed, 0 if joint else zlib.crc32(name.encode())]).random(features.n_items)
        rows = np.flatnonzero(has)
        gone = rows[np.argsort(draw[rows], kind="stable")[: round(share * len(rows))]]
        mask[name] = mask[name].copy()
        mask[name][gone] = False
    return Features(dict(features), mask)


def available_imputers() -> list[str]:
    """Names of all imputers, for :func:`impute`."""
    return sorted(_IMPUTERS)


def impute(features: Features, how: str = "ridge", **options) -> Features:
    """Fill each missing modality of the items that have another one.

    Parameters
    ----------
    features : Features
    how
        One of :func:`available_imputers`: ``"mean"`` (the mean vector: knows nothing), ``"knn"``, ``"ridge"``,
        ``"autoencoder"``, ``"gan"``.
    options
        Of the imputer's constructor, such as ``components=32`` or ``seed=1``.

    Returns
    -------
    Features
        Filled rows count as present; keep the old mask to tell. Rows that were present are bit for bit the same. An
        item with no modality at all stays masked.

    Raises
    ------
    UnknownNameError, ParameterError, FeatureError
        Unknown imputer or option; a modality that no item has, no item with two modalities to learn from.
    """
    cls = _class(how)
    known = [p for p in inspect.signature(cls.__init__).parameters if p != "self"] if "__init__" in vars(cls) else []
    for option in options:
        if option not in known:
            raise ParameterError(f"{cls.__name__} has no option {option!r}; it has {', '.join(known) or 'none'}")
    return cls(**options).fit(features).transform(features)


def reconstruction(
    features: Features,
    how: str | Sequence[str] = "ridge",
    share: float = 0.2,
    seed: int = 0,
    options: Mapping[str, Mapping] | None = None,
) -> pd.DataFrame:
    """Does an imputer know anything? Hide known entries, fill them, and compare with the truth.

    Parameters
    ----------
    features : Features
    how
        One imputer or several; ``"mean"`` is always measured too.
    share
        Of each modality's entries, at random, how many are hidden; between 0 and 1.
    seed
        Of what is hidden and, unless ``options`` say otherwise, of the imputers.
    options
        Of the imputers, by name: ``{"ridge": {"alpha": 1}}``.

    Returns
    -------
    DataFrame
        Indexed by (modality, how). ``cosine``: mean cosine of filled and true vectors; vectors that share a large
        component are alike without any knowledge, so compare it with that of the mean. ``r2``: one minus the squared
        error over all dimensions, divided by that of the mean of the true vectors; about 0 for the mean, 1 is
        perfect, below 0 is worse than the mean. ``n_items``: hidden entries of items that had another modality left.
    """
    between("share", share, 0, 1)
    left = drop_modality(features, share, seed=seed)
    names = dict.fromkeys(["mean", *([how] if isinstance(how, str) else how)])
    rows, options = {}, dict(options or {})
    for name in options:
        if name not in names:
            raise UnknownNameError("imputer in options", name, names)
    for name in names:
        given = options.get(name, {})
        takes_seed = "seed" in inspect.signature(_class(name).__init__).parameters
        filled = impute(left, name, **({"seed": seed} if takes_seed else {}) | given)
        for m in features:
            hidden = features.mask[m] & ~left.mask[m] & filled.mask[m]
            rows[m, name] = _likeness(features[m][hidden], filled[m][hidden])
    index = pd.MultiIndex.from_tuples([(m, name) for m in features for name in names], names=["modality", "how"])
    table = pd.DataFrame([rows[key] for key in index], index, columns=["cosine", "r2", "n_items"])
    return table.astype({"n_items": int})


def _likeness(true: np.ndarray, filled: np.ndarray) -> tuple[float, float, int]:
    if not len(true):
        return np.nan, np.nan, 0
    true, filled = true.astype(np.float64), filled.astype(np.float64)
    length = np.linalg.norm(true, axis=1) * np.linalg.norm(filled, axis=1)
    spread = ((true - true.mean(axis=0)) ** 2).sum()
    error = ((true - filled) ** 2).sum()
    cosine = ((true * filled).sum(axis=1) / np.maximum(length, 1e-12)).mean()
    return cosine, 1 - error / spread if spread > 0 else np.nan, len(true)


# -- the family ----------------------------------------------------------------------------------------------------


class Imputer:
    """Base: ``fit(features)`` learns and returns self, ``transform(features)`` fills, also other items' vectors.

    A subclass writes ``_fit(features)`` and ``_fill(features)``, a dict of arrays ``(n_items, dim)`` of which only the
    rows to be filled are used.
    """

    #: Does it need items with two modalities?
    learns = True

    def fit(self, features: Features) -> Imputer:
        """Learn from the items that have what others lack. Raises :class:`FeatureError` when nothing can be learned."""
        for name in features:
            if not features.mask[name].any():
                raise FeatureError(
                    f"features[{name!r}]: no item has a vector to learn from; leave it out with features.only(...)"
                )
        self.dims_ = features.dims
        if len(features) > 1:  # with a single modality no gap can be filled from another
            if self.learns and not (masks(features).sum(axis=1) > 1).any():
                raise FeatureError("no item has two modalities: nothing links them; only 'mean' can fill the gaps")
            self._fit(features)
        return self

    def transform(self, features: Features) -> Features:
        """Features with the gaps filled, for items that have at least one modality."""
        if not hasattr(self, "dims_"):
            raise NotFittedError(f"{type(self).__name__} has not learned yet: call fit(features) first")
        if features.dims != self.dims_:
            raise FeatureError(f"features have {features.dims}; the imputer learned from {self.dims_}")
        there = masks(features)
        holes = ~there & there.any(axis=1, keepdims=True)
        if not holes.any():
            return features
        filled = self._fill(features)
        arrays = {m: np.where(holes[:, [i]], filled[m], features[m]) for i, m in enumerate(features)}
        return Features(arrays, {m: there[:, i] | holes[:, i] for i, m in enumerate(features)})

    def _fit(self, features: Features) -> None:
        raise NotImplementedError

    def _fill(self, features: Features) -> dict[str, np.ndarray]:
        raise NotImplementedError


class MeanImputer(Imputer):
    """The mean vector of the items that have the modality: the reference that knows nothing of the item."""

    learns = False

    def _fit(self, features):
        self.means_ = {m: x[features.mask[m]].mean(axis=0, dtype=np.float64) for m, x in features.items()}

    def _fill(self, features):
        return {m: np.tile(mean.astype(np.float32), (features.n_items, 1)) for m, mean in self.means_.items()}


class KNNImputer(Imputer):
    """The mean vector of the ``neighbours`` items most similar in the other modalities: :func:`mm.data.impute`.

    When other items are filled than those of ``fit``, they may be neighbours of each other too.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = whole("neighbours", neighbours)

    def _fit(self, features):
        self.known_ = features

    def _fill(self, features):
        both = features
        if features is not self.known_:
            both = Features(
                {m: np.concatenate([self.known_[m], features[m]]) for m in features},
                {m: np.concatenate([self.known_.mask[m], features.mask[m]]) for m in features},
            )
        filled = data.impute(both, "knn", self.neighbours)
        return {m: filled[m][-features.n_items :] for m in features}


class RidgeImputer(Imputer):
    """A linear map to each modality from all the others (Hoerl and Kennard, 1970), over standardised vectors.

    A modality that is missing too counts as zeros, and an indicator of what is there joins the vectors, so that one map
    serves every combination.

    Parameters
    ----------
    alpha
        Penalty, relative to the number of items. Default: of 0.001 to 10 the one with the smallest error on a tenth of
        the items, for each modality.
    seed
        Of that tenth.
    """

    def __init__(self, alpha: float | None = None, seed: int = 0) -> None:
        self.alpha = None if alpha is None else above("alpha", alpha, 0)
        self.seed = whole("seed", seed, 0)

    def _fit(self, features):
        self.codes_ = {m: Code(x[features.mask[m]]) for m, x in features.items()}
        self.weights_, self.alpha_ = {}, {}
        for m in features:
            has = features.mask[m]
            x, y = self._inputs(features, m)[has], self.codes_[m].encode(features[m][has])
            self.alpha_[m] = self._choose(x, y) if self.alpha is None else self.alpha
            (self.weights_[m],) = _ridge(x, y, [self.alpha_[m]])

    def _choose(self, x: np.ndarray, y: np.ndarray) -> float:
        if len(x) < FEW:
            return 0.1
        test, train = held_out(len(x), self.seed)
        errors = [((x[test] @ w - y[test]) ** 2).mean() for w in _ridge(x[train], y[train], _ALPHAS)]
        return _ALPHAS[int(np.argmin(errors))]

    def _inputs(self, features: Features, target: str) -> np.ndarray:
        """Standardised vectors of the others, zero where missing, what is there, and a constant."""
        parts = [np.ones((features.n_items, 1), np.float32)]
        for m in features:
            if m != target:
                has = features.mask[m][:, None].astype(np.float32)
                parts += [self.codes_[m].encode(features[m]) * has, has]
        return np.concatenate(parts, axis=1)

    def _fill(self, features):
        return {m: self.codes_[m].decode(self._inputs(features, m) @ w) for m, w in self.weights_.items()}


# -- pieces ------------------------------------------------------------------------------------------------------


class Code:
    """Vectors of one modality as standardised numbers, or as their principal components, and the way back.

    Components keep their shares of the variance, so that an error in them is one in the vectors; mean square 1 in all.
    """

    def __init__(self, vectors: np.ndarray, components: int | None = None, seed: int = 0) -> None:
        vectors = vectors.astype(np.float64)
        self.mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        self.scale = np.where(deviation > 1e-6 * np.abs(self.mean), deviation, 1)  # rounding is no deviation
        self.axes = None
        if components is not None:
            from sklearn.utils.extmath import randomized_svd

            z = (vectors - self.mean) / self.scale
            self.axes = randomized_svd(z, min(components, *z.shape), random_state=seed)[2].T
            spread = np.sqrt(((z @ self.axes) ** 2).mean())
            self.axes /= spread if spread > 1e-6 else 1
            self.back = self.axes.T / (self.axes**2).sum(axis=0)[:, None]
        self.size = vectors.shape[1] if self.axes is None else self.axes.shape[1]

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Float32 ``(n, size)``."""
        z = (vectors - self.mean) / self.scale
        return (z if self.axes is None else z @ self.axes).astype(np.float32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Float32 ``(n, dim)``."""
        z = codes if self.axes is None else codes @ self.back
        return (z * self.scale + self.mean).astype(np.float32)


def masks(features: Features) -> np.ndarray:
    """What is there, bool ``(n_items, n_modalities)``."""
    return np.stack([features.mask[m] for m in features], axis=1)


def held_out(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random tenth of ``n`` rows, and the others."""
    order = np.random.default_rng(seed).permutation(n)
    return np.split(order, [round(_HELD_OUT * n)])


def _ridge(x: np.ndarray, y: np.ndarray, alphas: Sequence[float]) -> list[np.ndarray]:
    """Weights ``(d_x, d_y)`` for each penalty, by whichever of the two equations is the smaller."""
    from scipy.linalg import solve

    n, wide = len(x), x.shape[1] > len(x)
    gram = (x @ x.T if wide else x.T @ x).astype(np.float64)
    right = y if wide else x.T @ y
    found = [solve(gram + alpha * n * np.eye(len(gram)), right, assume_a="pos") for alpha in alphas]
    return [x.T @ w if wide else w for w in found]


def _class(name: str) -> type[Imputer]:
    if name not in _IMPUTERS:
        raise UnknownNameError("imputer", name, _IMPUTERS)
    module, cls = _IMPUTERS[name]
    return getattr(importlib.import_module(f"{__package__}.{module}"), cls)
