"""Fewer dimensions: those that tell most about a label, or the directions in which vectors differ most.

Both learn from ``rows`` only: give the training rows wherever what is left will be judged on others, or the choice
itself has seen the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data import Features
from ..errors import DataError, ParameterError

_FEW = 32  # a column of at most so many whole numbers is taken as one of categories or counts


class Selected(NamedTuple):
    """``features`` with the columns ``kept`` only, best first, and the ``information`` (in nats) of every column.

    For Features, ``kept`` and ``information`` are dicts by modality.
    """

    features: np.ndarray | Features
    kept: np.ndarray | dict[str, np.ndarray]
    information: np.ndarray | dict[str, np.ndarray]


class Reduced(NamedTuple):
    """``features`` in fewer dimensions, and the share of the variance (of ``rows``) that they ``explained``.

    For Features, ``explained`` is a dict by modality.
    """

    features: np.ndarray | Features
    explained: float | dict[str, float]


def mutual_information(vectors: np.ndarray, labels: Sequence, rows=None, seed: int = 0) -> np.ndarray:
    """How many nats each column tells about the labels, by itself; float ``(dim,)``.

    Estimated from nearest neighbours (Kraskov et al., 2004; Ross, 2014, for classes), or counted where a column holds
    few whole numbers. Two columns that say the same both count in full.

    Parameters
    ----------
    vectors : array (n, dim)
    labels
        One per row; numbers with decimals, or more than 32 different numbers, are a quantity; anything else classes.
    rows : int or bool array, optional
        Rows to learn from. Default: all.
    seed
        Of the tiny noise that separates equal values.
    """
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    vectors = _array(vectors)
    rows = _rows(rows, len(vectors))
    if len(labels) != len(vectors):
        raise DataError(f"{len(labels)} labels for {len(vectors)} rows: give one each")
    vectors, labels = vectors[rows], pd.Series(list(labels)).iloc[rows]
    if labels.isna().any():
        raise DataError(f"row {labels.index[labels.isna()][0]} has no label: leave it out by rows")
    if len(vectors) < 5:
        raise DataError(f"{len(vectors)} rows are too few to measure information; at least 5 are needed")
    discrete = np.array([_few_whole(column) for column in vectors.T])
    if _is_quantity(labels):
        target = labels.to_numpy(float)
        return mutual_info_regression(vectors, target, discrete_features=discrete, random_state=seed)
    return mutual_info_classif(vectors, pd.factorize(labels)[0], discrete_features=discrete, random_state=seed)


def select(features, labels: Sequence, k: int, rows=None, seed: int = 0) -> Selected:
    """Keep the ``k`` columns that tell most about the labels; of Features, ``k`` of each modality.

    See :func:`mutual_information` for labels and rows. Masked rows are not learned from, and stay masked.

    >>> a = np.array([[0, 5], [0, 7], [1, 6], [1, 5], [0, 6], [1, 7]])
    >>> select(a, ["x", "x", "y", "y", "x", "y"], k=1).kept.tolist()
    [0]
    """
    _check_size("k", k)
    if not isinstance(features, Features):
        information = mutual_information(features, labels, rows, seed)
        kept = np.argsort(-information, kind="stable")[:k]
        return Selected(_array(features)[:, kept], kept, information)
    chosen = {m: select(features[m], labels, k, _there(features, m, rows), seed) for m in features}
    return Selected(
        Features({m: part.features for m, part in chosen.items()}, features.mask),
        {m: part.kept for m, part in chosen.items()},
        {m: part.information for m, part in chosen.items()},
    )


def pca(features, dim: int, rows=None) -> Reduced:
    """Project on the ``dim`` directions of largest variance (principal component analysis), modality by modality.

    Parameters
    ----------
    features : array (n, d) or Features
        Masked rows are not learned from, and stay masked.
    dim
        At most the number of columns and one less than the rows that are learned from.
    rows : int or bool array, optional
        Rows to learn mean and directions from. Default: all.
    """
    from sklearn.decomposition import PCA

    _check_size("dim", dim)
    if isinstance(features, Features):
        parts = {m: pca(features[m], dim, _there(features, m, rows)) for m in features}
        kept = Features({m: part.features for m, part in parts.items()}, features.mask)
        return Reduced(kept, {m: part.explained for m, part in parts.items()})
    vectors = _array(features)
    rows = _rows(rows, len(vectors))
    most = min(vectors.shape[1], len(rows) - 1)
    if dim > most:
        raise ParameterError(
            f"dim={dim}: {len(rows)} rows of {vectors.shape[1]} columns have at most {most} directions"
        )
    model = PCA(dim, svd_solver="full").fit(vectors[rows])
    return Reduced(model.transform(vectors).astype(np.float32), float(model.explained_variance_ratio_.sum()))


def _array(vectors) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.number):
        raise DataError(f"vectors must be numbers in an array (n, dim); got {vectors.dtype} {vectors.shape}")
    return vectors


def _rows(rows, n: int) -> np.ndarray:
    if rows is None:
        return np.arange(n)
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n,):
            raise DataError(f"rows: a mask of shape {rows.shape} for {n} rows")
        return np.flatnonzero(rows)
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        raise DataError(f"rows: {rows.min()} to {rows.max()}, but there are rows 0 to {n - 1}")
    return rows


def _there(features: Features, modality: str, rows) -> np.ndarray:
    rows = _rows(rows, features.n_items)
    return rows[features.mask[modality][rows]]


def _check_size(name: str, value) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")


def _few_whole(column: np.ndarray) -> bool:
    values = np.unique(column)
    return len(values) <= _FEW and bool(np.all(values == np.round(values)))


def _is_quantity(labels: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(labels) or pd.api.types.is_bool_dtype(labels):
        return False
    values = labels.unique()
    return len(values) > _FEW or bool(np.any(values != np.round(values)))
