"""Columns of a table as vectors: numbers on one scale, categories as numbers, or all columns together.

An item is a row: a mapping from column to value. What is learned is kept as plain lists (``state_``).
"""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import DataError, MissingColumnError, ParameterError
from .base import Encoder
from .place import cyclic

SCALES = ("standard", "minmax", "quantile")
HOW = ("onehot", "target", "embedding")
OTHER = "(other)"
_QUANTILES = 101


class _Rows(Encoder):
    """What the encoders of tables have in common: items are rows of ``dataset.items``."""

    modality = "metadata"
    needs_fit = True
    batch_sizes = {"cpu": 4096, "cuda": 4096, "mps": 4096}  # noqa: RUF012 - read only

    def items_of(self, dataset, medium):
        return rows_of(dataset.items, self.columns)

    def as_items(self, items):
        return rows_of(items, self.columns) if isinstance(items, pd.DataFrame) else super().as_items(items)

    @property
    def dim(self) -> int:
        self.check_fitted()
        self.settle()
        return self._dim()

    def _open(self, item):
        if isinstance(item, pd.Series):
            item = item.to_dict()
        if not isinstance(item, Mapping):
            raise DataError(f"a row is a mapping from column to value (a dict); got {type(item).__name__}")
        return item


def rows_of(table: pd.DataFrame, columns: Sequence[str] | None = None) -> list[dict]:
    """Rows of a table as dicts, with ``None`` for missing values; all columns, or the named ones.

    Raises :class:`MissingColumnError` for a column that is not there.
    """
    for column in columns or ():
        if column not in table:
            raise MissingColumnError("metadata", column, list(map(str, table.columns)))
    table = table if columns is None else table[list(columns)]
    plain = table.astype(object).where(table.notna(), None)
    return plain.to_dict("records")


def _column(rows: list, name: str) -> list:
    """Values of a column, ``None`` where a row has none."""
    values = (row.get(name) for row in rows)
    return [None if v is None or v is pd.NA or (isinstance(v, float) and v != v) or v is pd.NaT else v for v in values]


def _names(rows: list) -> list[str]:
    """All columns of the rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _chosen(columns: Sequence[str] | None, rows: list, wanted: str) -> list[str]:
    """The named columns, or those of a kind; each must have a value somewhere."""
    kinds = {name: _kind(_column(rows, name)) for name in (columns if columns is not None else _names(rows))}
    for name, kind in kinds.items():
        if columns is not None and kind == "empty":
            raise DataError(f"column {name!r} has no value in any of the {len(rows)} rows: leave it out")
    found = [name for name, kind in kinds.items() if columns is not None or kind == wanted]
    if not found:
        raise DataError(f"no column holds {wanted}s; there are {', '.join(f'{n} ({k})' for n, k in kinds.items())}")
    return found


def _kind(values: list) -> str:
    """number, category, date, or empty."""
    there = [value for value in values if value is not None]
    if not there:
        return "empty"
    if all(isinstance(v, numbers.Real) and not isinstance(v, (bool, np.bool_)) for v in there):
        return "number"
    return "date" if all(hasattr(v, "isoformat") for v in there) else "category"


# -- numbers -------------------------------------------------------------------------------------------------------
class Numbers(_Rows):
    """Numeric columns on one scale, with what is missing filled by the median and marked by a column of its own.

    Parameters
    ----------
    columns : list of str, optional
        Default: all columns that hold nothing but numbers.
    scale : {"standard", "minmax", "quantile"}
        ``"standard"``: minus the mean, over the standard deviation. ``"minmax"``: the smallest value learned from
        becomes 0, the largest 1. ``"quantile"``: the share of values learned from that are smaller (equal ones count
        half), from 0 to 1; only the order matters, so that one extreme price does not push all others together.
    indicator : bool, default True
        For each column in which values were missing while learning, a column that is 1 where the value is missing.

    Values beyond those learned from go beyond 0 and 1 with ``"minmax"``. What is not finite counts as missing.
    """

    name = "numbers"

    def __init__(self, columns: Sequence[str] | None = None, scale: str = "standard", indicator: bool = True) -> None:
        if scale not in SCALES:
            raise ParameterError(f"scale={scale!r}: choose one of {', '.join(SCALES)}")
        self.columns = _checked_columns(columns)
        self.scale, self.indicator = scale, bool(indicator)

    def _fit(self, items, labels, device):
        rows = [self._open(item) for item in items]
        self.state_ = learn_numbers(rows, _chosen(self.columns, rows, "number"), self.scale, self.indicator)

    def _dim(self) -> int:
        return len(self.state_["columns"]) + len(self.state_["marked"])

    def _encode(self, batch, device):
        return apply_numbers(batch, self.state_)


def learn_numbers(rows: list, columns: list[str], scale: str, indicator: bool) -> dict:
    """What :func:`apply_numbers` needs, as plain values."""
    values = _matrix(rows, columns)
    for name, column in zip(columns, values.T, strict=True):
        if np.isnan(column).all():
            raise DataError(f"column {name!r} has no finite number to learn from: leave it out")
    missing = np.isnan(values)
    fill = np.nanmedian(values, axis=0)
    values = np.where(missing, fill, values)
    state = {"columns": columns, "scale": scale, "fill": fill.tolist()}
    state["marked"] = [name for name, any_ in zip(columns, missing.any(axis=0), strict=True) if any_ and indicator]
    if scale == "quantile":
        return state | {"quantiles": np.quantile(values, np.linspace(0, 1, _QUANTILES), axis=0).T.tolist()}
    if scale == "standard":
        low, width = values.mean(axis=0), values.std(axis=0)
    else:
        low, width = values.min(axis=0), np.ptp(values, axis=0)
    return state | {"low": low.tolist(), "width": np.where(width > 0, width, 1).tolist()}


def apply_numbers(rows: list, state: dict) -> np.ndarray:
    """Scaled columns, then the marks of what was missing."""
    columns = state["columns"]
    values = _matrix(rows, columns)
    missing = np.isnan(values)
    values = np.where(missing, state["fill"], values)
    if state["scale"] == "quantile":
        scaled = np.stack([_rank(v, np.array(q)) for v, q in zip(values.T, state["quantiles"], strict=True)], axis=1)
    else:
        scaled = (values - state["low"]) / state["width"]
    marks = missing[:, [columns.index(name) for name in state["marked"]]]
    return np.concatenate([scaled, marks], axis=1).astype(np.float32)


def _matrix(rows: list, columns: list[str]) -> np.ndarray:
    try:
        values = np.array([[np.nan if v is None else float(v) for v in _column(rows, name)] for name in columns]).T
    except (TypeError, ValueError) as error:
        raise DataError(f"a value of the columns {', '.join(columns)} is no number ({error})") from None
    return np.where(np.isfinite(values), values, np.nan).reshape(len(rows), len(columns))


def _rank(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Share of the learned values below, half of the equal ones counted: the mean of the two interpolations."""
    levels = np.linspace(0, 1, len(quantiles))
    up = np.interp(values, quantiles, levels)
    down = 1 - np.interp(-values, -quantiles[::-1], levels)
    return (up + down) / 2


# -- categories ----------------------------------------------------------------------------------------------------
class Categories(_Rows):
    """Categorical columns as numbers.

    Parameters
    ----------
    columns : list of str, optional
        Default: all columns that hold neither numbers nor dates.
    how : {"onehot", "target", "embedding"}
        ``"onehot"``: a column for each category. ``"target"``: one number a column, the mean of the labels of the
        rows in the category, drawn towards the mean of all rows as if there were ``smoothing`` more of these
        (Micci-Barreca, 2001). ``"embedding"``: a vector of ``size`` numbers a column, learned by predicting the
        labels, or where there are none the other columns (Guo and Berkhahn, 2016).
    separator : str, optional
        A cell holds several categories, ``"Comedy|Crime"``: their columns are set together, numbers are averaged.
    min_count : int, default 2
        Categories with fewer rows are taken together as ``"(other)"``, which also stands for those never seen before.
    smoothing : float, default 10
    size : int, default 8
    folds : int, default 5
        Of :meth:`fit_encode`.
    epochs, seed : int
        Of the embedding; the seed also shuffles the folds.

    A missing value is no category: zeros with ``"onehot"`` and ``"embedding"``, the mean of all with ``"target"``.

    With ``"target"``, ``fit`` needs numeric ``labels``, and the vectors of the very rows that it learned from know
    their own labels. A model that is trained on these rows must be given :meth:`fit_encode` instead.
    """

    name = "categories"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        how: str = "onehot",
        separator: str | None = None,
        min_count: int = 2,
        smoothing: float = 10.0,
        size: int = 8,
        folds: int = 5,
        epochs: int = 30,
        seed: int = 0,
    ) -> None:
        if how not in HOW:
            raise ParameterError(f"how={how!r}: choose one of {', '.join(HOW)}")
        for name, value, least in (
            ("min_count", min_count, 1), ("size", size, 1), ("folds", folds, 2), ("epochs", epochs, 1),
            ("seed", seed, 0),
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
        if not smoothing >= 0:
            raise ParameterError(f"smoothing={smoothing!r}: give a number of at least 0")
        self.columns = _checked_columns(columns)
        self.how, self.separator, self.min_count, self.smoothing = how, separator, min_count, smoothing
        self.size, self.folds, self.epochs, self.seed = size, folds, epochs, seed

    def _fit(self, items, labels, device):
        rows = [self._open(item) for item in items]
        columns = _chosen(self.columns, rows, "category")
        self.state_ = learn_levels(rows, columns, self.separator, self.min_count)
        if self.how == "target":
            self.state_["means"] = learn_means(rows, self.state_, _numeric(labels, self.name), self.smoothing)
        elif self.how == "embedding":
            from .tables import learn_embeddings

            bags = [levels_in(rows, self.state_, column) for column in columns]
            self.state_["vectors"] = learn_embeddings(self, bags, labels, device)

    def fit_encode(self, items: Sequence, labels: Sequence) -> np.ndarray:
        """Learn from all rows, and give vectors of these rows that do not know their own labels.

        Only for ``how="target"``, and for training a model on the same rows: each is encoded by the means of the other
        folds. Rows that come later are encoded by :meth:`encode`. ``None`` gives a row of zeros.
        """
        if self.how != "target":
            raise ParameterError(f"fit_encode is for how='target', not {self.how!r}: call fit, then encode")
        items = self.as_items(items)
        self.fit(items, labels)
        vectors = np.zeros((len(items), self.dim), np.float32)
        there = np.array([row for row, item in enumerate(items) if item is not None])
        if len(there) < self.folds:
            raise DataError(f"{len(there)} rows cannot be cut into {self.folds} folds")
        for held_out in np.array_split(np.random.default_rng(self.seed).permutation(there), self.folds):
            others = np.setdiff1d(there, held_out)
            part = type(self)(**self.get_params())
            part.fit([items[row] for row in others], [labels[row] for row in others])
            vectors[held_out] = apply_categories([items[row] for row in held_out], part.state_, "target")
        return vectors

    def _dim(self) -> int:
        if self.how == "onehot":
            return sum(map(len, self.state_["levels"]))
        return len(self.state_["columns"]) * (1 if self.how == "target" else self.size)

    def names(self) -> list[str]:
        """What each number of a vector stands for, as ``column=category`` (one-hot) or the column."""
        pairs = zip(self.state_["columns"], self.state_["levels"], strict=True)
        if self.how == "onehot":
            return [f"{column}={level}" for column, levels in pairs for level in levels]
        each = 1 if self.how == "target" else self.size
        return [column for column, _ in pairs for _ in range(each)]

    def _encode(self, batch, device):
        return apply_categories(batch, self.state_, self.how)


def learn_levels(rows: list, columns: list[str], separator: str | None, min_count: int) -> dict:
    """The categories of each column, the rare ones as one; the first is ``(other)``."""
    levels = []
    for column in columns:
        counts = Counter(level for cell in _cells(rows, column, separator) for level in cell)
        levels.append([OTHER, *sorted(level for level, n in counts.items() if n >= min_count and level != OTHER)])
    return {"columns": columns, "levels": levels, "separator": separator}


def _cells(rows: list, column: str, separator: str | None) -> list[list[str]]:
    cells = [None if value is None else str(value) for value in _column(rows, column)]
    if separator is None:
        return [[] if cell is None else [cell] for cell in cells]
    return [[] if cell is None else [part.strip() for part in cell.split(separator) if part.strip()] for cell in cells]


def levels_in(rows: list, state: dict, column: str):
    """CSR ``(rows, levels)`` with 1 for each category of a row."""
    from scipy import sparse

    code = {level: at for at, level in enumerate(state["levels"][state["columns"].index(column)])}
    cells = _cells(rows, column, state["separator"])
    columns = [sorted({code.get(level, 0) for level in cell}) for cell in cells]
    starts = np.concatenate([[0], np.cumsum([len(c) for c in columns])])
    flat = np.array([c for cell in columns for c in cell], np.int64)
    return sparse.csr_matrix((np.ones(len(flat), np.float32), flat, starts), shape=(len(rows), len(code)))


def learn_means(rows: list, state: dict, target: np.ndarray, smoothing: float) -> dict:
    """Smoothed mean of the target in each category, and of all rows."""
    mean = float(target.mean())
    tables = []
    for column in state["columns"]:
        table = levels_in(rows, state, column)
        n = np.asarray(table.sum(axis=0)).ravel()
        total = table.T @ target
        with np.errstate(invalid="ignore"):
            smoothed = (total + smoothing * mean) / (n + smoothing)
        tables.append(np.where(n + smoothing > 0, smoothed, mean).tolist())
    return {"all": mean, "levels": tables}


def apply_categories(rows: list, state: dict, how: str) -> np.ndarray:
    """Vectors of rows; see :class:`Categories`."""
    parts = []
    for at, column in enumerate(state["columns"]):
        table = levels_in(rows, state, column)
        n = np.asarray(table.sum(axis=1))
        if how == "onehot":
            parts.append(table.toarray())
        elif how == "target":
            mean = table @ np.array(state["means"]["levels"][at])[:, None] / np.maximum(n, 1)
            parts.append(np.where(n > 0, mean, state["means"]["all"]))
        else:
            parts.append(table @ np.array(state["vectors"][at]) / np.maximum(n, 1))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _numeric(labels, name: str) -> np.ndarray:
    if labels is None:
        raise DataError(f"{name} with how='target' learns the mean of a number: give fit(items, labels=[...])")
    try:
        target = np.array([float(label) for label in labels])
    except (TypeError, ValueError):
        raise DataError(f"{name} with how='target' needs numeric labels; there is {labels[0]!r}") from None
    if not np.isfinite(target).all():
        raise DataError(f"{name} with how='target': label {target[~np.isfinite(target)][0]} is no number: leave it out")
    return target


# -- all columns ---------------------------------------------------------------------------------------------------
class Metadata(_Rows):
    """All columns of a table together: numbers scaled, categories one-hot, dates on circles.

    The parts follow one another in this order. A missing category or date is a row of zeros, a missing number its
    median and a mark.

    Parameters
    ----------
    columns : list of str, optional
        Default: all.
    scale
        See :class:`Numbers`.
    separator, min_count
        See :class:`Categories`.
    max_levels : int, default 100
        A column of more categories than this (a title, an address) is left out, unless it is named in ``columns``.
        Those left out are in ``left_out_``.
    """

    name = "metadata"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        scale: str = "standard",
        separator: str | None = None,
        min_count: int = 2,
        max_levels: int = 100,
    ) -> None:
        if scale not in SCALES:
            raise ParameterError(f"scale={scale!r}: choose one of {', '.join(SCALES)}")
        for name, value in (("min_count", min_count), ("max_levels", max_levels)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least 1")
        self.columns = _checked_columns(columns)
        self.scale, self.separator, self.min_count, self.max_levels = scale, separator, min_count, max_levels

    def _fit(self, items, labels, device):
        rows = [self._open(item) for item in items]
        kinds = {name: _kind(_column(rows, name)) for name in (self.columns or _names(rows))}
        of = {kind: [name for name, k in kinds.items() if k == kind] for kind in ("number", "category", "date")}
        self.left_out_ = [name for name, kind in kinds.items() if kind == "empty"]
        self.numbers_ = learn_numbers(rows, of["number"], self.scale, True) if of["number"] else None
        kept = [name for name in of["category"] if self.columns is not None or self._few(rows, name)]
        self.left_out_ += [name for name in of["category"] if name not in kept]
        self.categories_ = learn_levels(rows, kept, self.separator, self.min_count) if kept else None
        self.dates_ = of["date"]
        if not self._dim():
            raise DataError(f"no column is left to encode; left out: {', '.join(self.left_out_)}")

    def _few(self, rows: list, name: str) -> bool:
        return len({level for cell in _cells(rows, name, self.separator) for level in cell}) <= self.max_levels

    def _dim(self) -> int:
        n = 0 if self.numbers_ is None else len(self.numbers_["columns"]) + len(self.numbers_["marked"])
        return n + sum(map(len, (self.categories_ or {"levels": []})["levels"])) + 8 * len(self.dates_)

    def _encode(self, batch, device):
        parts = []
        if self.numbers_ is not None:
            parts.append(apply_numbers(batch, self.numbers_))
        if self.categories_ is not None:
            parts.append(apply_categories(batch, self.categories_, "onehot"))
        for name in self.dates_:
            parts.append(_dates(_column(batch, name)))
        return np.concatenate(parts, axis=1)


def _dates(values: list) -> np.ndarray:
    times = pd.to_datetime(pd.Series(values, dtype=object), utc=True)
    there = times.notna().to_numpy()
    vectors = np.zeros((len(values), 8), np.float32)
    if there.any():
        vectors[there] = cyclic(pd.DatetimeIndex(times[there]))
    return vectors


def _checked_columns(columns) -> list[str] | None:
    if columns is None:
        return None
    if isinstance(columns, str) or not len(columns):
        raise ParameterError(f"columns={columns!r}: give a list of names, or None for all that suit")
    return list(columns)
