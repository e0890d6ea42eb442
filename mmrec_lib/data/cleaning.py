"""Putting data in order: repeated events, users and items with too little history, missing values."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np
import pandas as pd

from ..errors import DataError, FeatureError, ParameterError, UnknownNameError
from .dataset import Dataset, Features, Media
from .interactions import Interactions

Data = TypeVar("Data", Dataset, Interactions)

_KEEP = ("last", "first", "max", "mean", "sum")
_METHODS = ("mean", "median", "mode", "knn", "interpolate", "zero")
#: Rows with missing values that are compared with all others at once.
_BLOCK = 1000


def drop_duplicates(data: Data, keep: str = "last") -> Data:
    """One event for each user-item pair.

    Parameters
    ----------
    data : Dataset or Interactions
    keep
        ``"last"``, ``"first"``: the event with the largest or smallest time (without times, or at equal times: the
        later or earlier row). ``"max"``: the event with the largest value, the last of several. ``"mean"``,
        ``"sum"``: the last event, with the mean or the sum of all its pair's values.

    Returns
    -------
    Dataset or Interactions
        As given; the remaining events are in their old order, and users and items keep their codes.

    >>> plays = Interactions([0, 0, 1], [3, 3, 3], value=[1, 4, 2])
    >>> drop_duplicates(plays, keep="sum").to_frame()
       user  item  value
    0     0     3    5.0
    1     1     3    2.0
    """
    if keep not in _KEEP:
        raise UnknownNameError("keep", keep, _KEEP)
    events = data.interactions if isinstance(data, Dataset) else data
    _, pair = np.unique(events.keys(), return_inverse=True)
    rows = np.arange(len(events))
    time = rows if events.time is None else events.time
    # sorted so that the wanted event is the last of its pair
    order = {
        "first": lambda: np.lexsort((-rows, -time, pair)),
        "max": lambda: np.lexsort((rows, time, events.value, pair)),
    }.get(keep, lambda: np.lexsort((rows, time, pair)))()
    wanted = order[np.flatnonzero(np.diff(pair[order], append=-1))]
    value = events.value
    if keep in ("mean", "sum"):
        value = np.bincount(pair, weights=value.astype(np.float64))
        value = (value / np.bincount(pair) if keep == "mean" else value)[pair]
    cleaned = Interactions(events.user, events.item, value, events.time, *events.shape).select(np.sort(wanted))
    return dataclasses.replace(data, interactions=cleaned) if isinstance(data, Dataset) else cleaned


def k_core(data: Data, user: int = 5, item: int = 5) -> Data:
    """Leave out users and items with few partners, again and again, until all that remain have enough.

    Parameters
    ----------
    data : Dataset or Interactions
    user
        Different items that each remaining user met, at least.
    item
        Different users that each remaining item met, at least.

    Returns
    -------
    Interactions, if interactions were given
        The remaining events. Codes, and the numbers of users and items that exist, stay as they were.
    Dataset, if a data set was given
        Users and items without an event are gone, **the rest have new codes**: tables and media are cut in the same
        way, and raw ids stay in their index. ``graph`` stays whole; ``extras`` are dropped, because nobody knows how
        to cut them. Compute features of the new data set, or cut old ones: the old code of a new item is
        ``old.items.index.get_indexer(new.items.index)``.

    Raises
    ------
    ParameterError
        Negative numbers.
    DataError
        Nothing is left.
    """
    for name, least in (("user", user), ("item", item)):
        if isinstance(least, bool) or not isinstance(least, (int, np.integer)) or least < 0:
            raise ParameterError(f"{name}={least!r}: give a whole number that is not negative")
    events = data.interactions if isinstance(data, Dataset) else data
    keys, pair = np.unique(events.keys(), return_inverse=True)
    left = np.arange(len(keys))  # pairs that are still there
    while len(left):
        users, items = np.divmod(keys[left], events.n_items)
        enough = (np.bincount(users)[users] >= user) & (np.bincount(items)[items] >= item)
        if enough.all():
            break
        left = left[enough]
    if not len(left):
        raise DataError(f"no core with {user} items a user and {item} users an item: nothing is left; ask for less")
    stays = np.zeros(len(keys), dtype=bool)
    stays[left] = True
    events = events.select(stays[pair])
    return _only_present(data, events) if isinstance(data, Dataset) else events


def impute(
    data: Features | np.ndarray | pd.DataFrame | pd.Series, method: str = "mean", neighbours: int = 5
) -> Features | np.ndarray | pd.DataFrame | pd.Series:
    """Fill what is missing.

    Parameters
    ----------
    data
        *Array, DataFrame or Series*: ``NaN``, ``None`` and infinite values are filled, column by column.
        *Features*: the masked rows (items without a medium) are filled.
    method
        ``"mean"``, ``"median"``, ``"mode"`` (the most frequent value, the smallest of several; also for text),
        ``"zero"``.

        ``"knn"``: the mean of the most similar rows. In a table, similar by the columns that both rows have, each
        scaled to unit variance (Troyanskaya et al., 2001; scikit-learn's ``KNNImputer``). For features, the mean
        vector of the items that are most similar in the *other* modalities; an item with no modality at all gets the
        overall mean.

        ``"interpolate"``: on a straight line between the rows before and after, for rows in a meaningful order.
    neighbours
        Number of similar rows for ``"knn"``.

    Returns
    -------
    same type as ``data``
        A new object. Filled rows of features count as present (``mask`` all true); keep the old mask to tell.

    Raises
    ------
    UnknownNameError, ParameterError
        Unknown method, one that makes no sense for this data, or ``neighbours`` below 1.
    DataError, FeatureError
        A column without any value, a method for numbers on text, or a modality that no item has.

    >>> impute(np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, 6.0]])).tolist()
    [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]
    """
    if method not in _METHODS:
        raise UnknownNameError("method", method, _METHODS)
    if isinstance(neighbours, bool) or not isinstance(neighbours, (int, np.integer)) or neighbours < 1:
        raise ParameterError(f"neighbours={neighbours!r}: give a whole number of at least 1")
    if isinstance(data, Features):
        return _impute_features(data, method, neighbours)
    if isinstance(data, pd.DataFrame):
        return _impute_frame(data, method, neighbours)
    if isinstance(data, pd.Series):
        return _impute_frame(data.to_frame(), method, neighbours).iloc[:, 0].rename(data.name)
    array = np.asarray(data)
    if array.ndim not in (1, 2):
        raise DataError(f"impute takes arrays with one or two dimensions; got shape {array.shape}")
    frame = pd.DataFrame(array.reshape(len(array), -1)).infer_objects()
    return _impute_frame(frame, method, neighbours).to_numpy().reshape(array.shape)


# -- pieces ------------------------------------------------------------------------------------------------------


def _only_present(data: Dataset, events: Interactions) -> Dataset:
    """The data set cut to users and items with an event, numbered anew."""
    users, items = np.flatnonzero(events.user_counts()), np.flatnonzero(events.item_counts())
    new_user, new_item = np.zeros(data.n_users, np.int64), np.zeros(data.n_items, np.int64)
    new_user[users], new_item[items] = np.arange(len(users)), np.arange(len(items))
    media = Media({name: [column[i] for i in items] for name, column in data.media.items()})
    return Dataset(
        Interactions(new_user[events.user], new_item[events.item], events.value, events.time, len(users), len(items)),
        data.users.iloc[users],
        data.items.iloc[items],
        media,
        data.name,
        data.graph,
    )


def _impute_frame(frame: pd.DataFrame, method: str, neighbours: int) -> pd.DataFrame:
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    columns = {}
    for place, is_number in enumerate(numeric):
        column = frame.iloc[:, place]
        if is_number and pd.api.types.is_float_dtype(column.dtype):
            column = column.where(np.isfinite(column.to_numpy(dtype=float, na_value=np.nan)))
        missing = column.isna()
        if missing.any():
            if not is_number and method != "mode":
                raise DataError(f"column {column.name!r} holds no numbers, method {method!r} needs them; use 'mode'")
            if missing.all() and method != "zero":
                raise DataError(f"column {column.name!r} is empty: nothing to learn from; drop it, or use 'zero'")
            if method == "mode":
                column = column.where(~missing, column.mode().iloc[0])
            elif method != "knn":
                column = _fill_numbers(column.astype(float), method)
        columns[place] = column
    filled = pd.DataFrame(columns)
    if method == "knn" and filled.isna().any(axis=None):
        from sklearn.impute import KNNImputer

        numbers = filled.loc[:, numeric].astype(float)
        scale = numbers.std(ddof=0).replace(0, 1.0)
        done = KNNImputer(n_neighbors=neighbours).fit_transform((numbers / scale).to_numpy()) * scale.to_numpy()
        # observed values stay as they are, to the last digit
        done = numbers.where(numbers.notna(), pd.DataFrame(done, numbers.index, numbers.columns))
        for place in numbers.columns[filled[numbers.columns].isna().any()]:
            filled[place] = done[place]
    return filled.set_axis(frame.columns, axis=1)


def _fill_numbers(column: pd.Series, method: str) -> pd.Series:
    if method == "interpolate":
        return column.interpolate(limit_direction="both")
    return column.fillna({"mean": column.mean(), "median": column.median(), "zero": 0.0}[method])


def _impute_features(features: Features, method: str, neighbours: int) -> Features:
    if method in ("mode", "interpolate"):
        raise ParameterError(f"method={method!r} makes no sense for vectors; use 'mean', 'median', 'knn' or 'zero'")
    filled = {}
    for name, array in features.items():
        has = features.mask[name]
        if not has.any() and method != "zero":
            raise FeatureError(f"features[{name!r}]: no item has a vector to learn from; leave this modality out")
        array = array.copy()
        if method in ("mean", "median"):
            array[~has] = getattr(np, method)(array[has], axis=0)
        elif method == "knn" and not has.all():
            array[~has] = _from_other_modalities(features, name, neighbours)
        filled[name] = array
    return Features(filled)


def _from_other_modalities(features: Features, name: str, neighbours: int) -> np.ndarray:
    """Vectors for the items without this modality: means over the items that look alike in the others."""
    from sklearn.metrics.pairwise import nan_euclidean_distances

    has = features.mask[name]
    others = [_comparable(features, other) for other in features if other != name]
    known = features[name][has]
    result = np.tile(known.mean(axis=0), (int((~has).sum()), 1))
    if not others:
        return result
    view = np.hstack(others)
    wanted, reference = view[~has], view[has]
    k = min(neighbours, len(known))
    for start in range(0, len(wanted), _BLOCK):
        distance = nan_euclidean_distances(wanted[start : start + _BLOCK], reference)
        comparable = np.isfinite(distance).sum(axis=1) >= k
        nearest = np.argpartition(np.nan_to_num(distance[comparable], nan=np.inf), k - 1, axis=1)[:, :k]
        result[start : start + _BLOCK][comparable] = known[nearest].mean(axis=1)
    return result


def _comparable(features: Features, name: str) -> np.ndarray:
    """Vectors of mean zero and mean length one, so that modalities count alike; NaN where the item has none."""
    array, has = features[name].astype(np.float64), features.mask[name]
    if has.any():
        array = array - array[has].mean(axis=0)
        array /= max(np.sqrt((array[has] ** 2).sum(axis=1).mean()), 1e-12)
    array[~has] = np.nan
    return array
