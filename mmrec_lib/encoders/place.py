"""Where and when: time on circles, places by the cells of a grid, and ways as sequences of places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import DataError, MissingColumnError, MMRecError, ParameterError
from .base import Encoder
from .precision import placed

_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"  # of a geohash: no a, i, l, o
_KM_A_DEGREE = 111.195  # of latitude, on a sphere of 6,371 km


# -- time ----------------------------------------------------------------------------------------------------------
def on_circle(values, period) -> np.ndarray:
    """Sine and cosine of ``values`` on a circle that closes after ``period``: shape ``(..., 2)``.

    >>> on_circle([0, 6, 23], 24).round(2).tolist()
    [[0.0, 1.0], [1.0, 0.0], [-0.26, 0.97]]
    """
    angle = 2 * np.pi * np.asarray(values, float) / period
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def cyclic(times: pd.DatetimeIndex) -> np.ndarray:
    """Hour, weekday, day of the month and day of the year on circles, float32 ``(n, 8)``."""
    hour = times.hour + times.minute / 60 + times.second / 3600
    leap = np.where(times.is_leap_year, 366, 365)
    parts = [(hour, 24), (times.day_of_week, 7), (times.day - 1, times.days_in_month), (times.day_of_year - 1, leap)]
    return np.concatenate([on_circle(value, np.asarray(period)) for value, period in parts], axis=1).astype(np.float32)


class CyclicTime(Encoder):
    """A moment as eight numbers: sine and cosine of hour, weekday, day of the month and day of the year.

    On a circle 23:00 is as near to 01:00 as 11:00 is to 13:00; as plain numbers they are the farthest apart.

    Items are seconds since 1970 (numbers), ``datetime``, NumPy's and pandas' times, or ISO texts
    (``"2024-03-01 18:30"``). The hour moves on with minutes and seconds; the others count whole days from 0, the
    weekday from Monday. From a data set it reads the column of ``items`` that is named as the medium, or ``column``.

    Parameters
    ----------
    zone : str, default "UTC"
        Time zone whose clock is read, such as ``"Asia/Shanghai"``; times without a zone are taken to be in it,
        seconds since 1970 are UTC by definition.
    column : str, optional
        Column of a data set's ``items``.
    """

    name = "cyclic-time"
    modality = "time"
    dim = 8
    batch_sizes = {"cpu": 4096, "cuda": 4096, "mps": 4096}  # noqa: RUF012 - read only

    def __init__(self, zone: str = "UTC", column: str | None = None) -> None:
        try:
            pd.Timestamp(0, tz=zone)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise ParameterError(f"zone={zone!r} is no time zone ({error}); one is 'UTC' or 'Asia/Shanghai'") from None
        self.zone, self.column = zone, column

    not_in_fingerprint = ("column",)

    def items_of(self, dataset, medium):
        return column_of(dataset.items, self.column or medium, self.name)

    def _open(self, item) -> pd.Timestamp:
        if isinstance(item, bool):
            raise DataError(f"{item!r} is no time: give seconds since 1970, a datetime, or an ISO text")
        if isinstance(item, (int, float, np.integer, np.floating)):
            moment = pd.Timestamp(item, unit="s", tz="UTC")
        else:
            moment = pd.Timestamp(item)
        if moment is pd.NaT:
            raise DataError("the time is missing (NaT or NaN): use None")
        if (
            moment.tzinfo is None
        ):  # an hour that a clock showed twice counts as the first, one that it left out as later
            return moment.tz_localize(self.zone, ambiguous=True, nonexistent="shift_forward")
        return moment.tz_convert(self.zone)

    def _encode(self, batch, device):
        return cyclic(pd.DatetimeIndex(batch))

    def of_seconds(self, seconds: Sequence[float]) -> np.ndarray:
        """Vectors of many moments at once, from seconds since 1970; for columns of interactions."""
        return cyclic(pd.to_datetime(np.asarray(seconds), unit="s", utc=True).tz_convert(self.zone))


def column_of(table: pd.DataFrame, column: str, who: str) -> list:
    """A column's values, ``None`` where they are missing."""
    if column not in table:
        raise MissingColumnError(f"{who}: items table", column, list(map(str, table.columns)), "Name it: column='...'")
    return [None if _missing(value) else value for value in table[column]]


def _missing(value) -> bool:
    return value is None or (np.isscalar(value) and pd.isna(value)) or value is pd.NaT or value is pd.NA


# -- geohash -------------------------------------------------------------------------------------------------------
def geohash(lat, lon, precision: int = 9):
    """The cell of a place as a text of ``precision`` letters (Niemeyer's geohash); arrays give a list.

    Each letter holds five bits, which halve the longitude and the latitude in turn. Places that begin with the same
    letters are near; the reverse is not true at the border of a cell.

    >>> geohash(57.64911, 10.40744, 11)
    'u4pruydqqvj'
    """
    lat, lon = np.broadcast_arrays(np.asarray(lat, float), np.asarray(lon, float))
    check_places(lat, lon)
    x, y = _grid(lat.ravel(), lon.ravel(), precision)
    columns, rows = _sizes(precision)
    names = _names(np.minimum(x.astype(np.int64), columns - 1), np.minimum(y.astype(np.int64), rows - 1), precision)
    return names[0] if lat.ndim == 0 else names


def geohash_box(cell: str) -> tuple[float, float, float, float]:
    """The borders of a cell in degrees: south, west, north, east.

    >>> geohash_box("u")
    (45.0, 0.0, 90.0, 45.0)
    """
    x, y = _place_in_grid(cell)
    columns, rows = _sizes(len(cell))
    high, wide = 180 / rows, 360 / columns
    return y * high - 90, x * wide - 180, (y + 1) * high - 90, (x + 1) * wide - 180


def geohash_neighbours(cell: str) -> list[str]:
    """The up to eight cells around a cell, from north-west to south-east; beyond a pole there are none.

    >>> geohash_neighbours("dqcjq")
    ['dqcjt', 'dqcjw', 'dqcjx', 'dqcjm', 'dqcjr', 'dqcjj', 'dqcjn', 'dqcjp']
    """
    x, y = _place_in_grid(cell)
    columns, rows = _sizes(len(cell))
    around = [(x + dx, y + dy) for dy in (1, 0, -1) for dx in (-1, 0, 1) if (dx or dy) and 0 <= y + dy < rows]
    return _names(np.array([c for c, _ in around]) % columns, np.array([r for _, r in around]), len(cell))


def check_places(lat, lon) -> None:
    """Raise :class:`DataError` unless all latitudes are within 90 and all longitudes within 180 degrees."""
    for name, values, most, hint in (
        ("latitude", lat, 90, " (a place is (latitude, longitude): were they exchanged?)"),
        ("longitude", lon, 180, ""),
    ):
        values = np.atleast_1d(values)
        bad = ~(np.abs(values) <= most)  # NaN is bad, too
        if bad.any():
            raise DataError(f"{name} {values[bad][0]} is not between -{most} and {most} degrees{hint}")


def _sizes(precision: int) -> tuple[int, int]:
    """Columns and rows of the grid: longitude has the odd bit more."""
    return 2 ** (5 * precision - 5 * precision // 2), 2 ** (5 * precision // 2)


def _grid(lat: np.ndarray, lon: np.ndarray, precision: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in units of cells, from the south-west corner of the map."""
    columns, rows = _sizes(precision)
    return (lon + 180) / 360 * columns, (lat + 90) / 180 * rows


def _names(x: np.ndarray, y: np.ndarray, precision: int) -> list[str]:
    bits = 5 * precision
    code = np.zeros(len(x), np.int64)
    for bit in range(bits):  # from the left: longitude, latitude, longitude, ...
        axis, left = (x, bits - bits // 2) if bit % 2 == 0 else (y, bits // 2)
        code = code << 1 | (axis >> (left - 1 - bit // 2)) & 1
    letters = np.array(list(_ALPHABET))
    places = np.stack([letters[(code >> 5 * k) & 31] for k in range(precision - 1, -1, -1)], axis=1)
    return ["".join(row) for row in places]


def _place_in_grid(cell: str) -> tuple[int, int]:
    x = y = 0
    try:
        bits = "".join(f"{_ALPHABET.index(letter):05b}" for letter in cell.lower())
    except ValueError:
        bits = ""
    if not bits:
        raise DataError(f"{cell!r} is no geohash: it has letters of {_ALPHABET}")
    x, y = int(bits[0::2], 2), int(bits[1::2] or "0", 2)
    return x, y


class Geohash(Encoder):
    """An embedding of places, learned from which places share cells of grids of several sizes.

    Each place is a bag of geohash cells, from continents to streets. Its weight at each size is shared among the four
    nearest cells by distance, so that two places on either side of a border have cells in common; the date line is
    no border. Rare cells count more (inverse document frequency), and a truncated singular value decomposition of
    places and cells gives the vectors, as latent semantic analysis does for texts and words (Deerwester et al., 1990).
    They have length 1.

    Items are pairs ``(latitude, longitude)`` in degrees. From a data set it reads the columns ``lat`` and ``lon``
    (or ``latitude`` and ``longitude``), else the column of pairs that is named as the medium. A place that lies in no
    cell of the learned ones, even the largest, gets a vector of zeros.

    Parameters
    ----------
    dim : int, default 32
        Where fewer places or cells were learned from, the last values are 0.
    precisions : list of int, default (1, 2, 3, 4, 5)
        Lengths of the geohashes, 1 to 9: cells are about 5,000, 1,250, 156, 39 and 4.9 km wide at the equator.
    soft : bool, default True
        ``False`` counts only the cell that a place lies in.
    seed : int
        Of the decomposition.
    """

    name = "geohash"
    modality = "place"
    needs_fit = True
    batch_sizes = {"cpu": 4096, "cuda": 4096, "mps": 4096}  # noqa: RUF012 - read only

    def __init__(
        self, dim: int = 32, precisions: Sequence[int] = (1, 2, 3, 4, 5), soft: bool = True, seed: int = 0
    ) -> None:
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ParameterError(f"dim={dim!r}: give a whole number of at least 1")
        precisions = sorted(precisions)
        if not precisions or any(p not in range(1, 10) for p in precisions):
            raise ParameterError(f"precisions={precisions!r}: give whole numbers from 1 to 9")
        self._dim, self.precisions, self.soft, self.seed = dim, precisions, bool(soft), seed

    @property
    def dim(self) -> int:
        return self._dim

    def items_of(self, dataset, medium):
        items = dataset.items
        for lat, lon in (("lat", "lon"), ("latitude", "longitude")):
            if lat in items and lon in items:
                pairs = zip(items[lat], items[lon], strict=True)
                return [None if _missing(a) or _missing(b) else (float(a), float(b)) for a, b in pairs]
        return column_of(items, medium, self.name)

    def _open(self, item) -> tuple[float, float]:
        lat, lon = map(float, item)
        check_places(lat, lon)
        return lat, lon

    def _fit(self, items, labels, device):
        from scipy import sparse
        from sklearn.decomposition import TruncatedSVD

        places = readable(self, items)
        rows, names, weights = self._cells(places)
        self.cells_ = sorted(set(names))
        counts = self._table(rows, names, weights, len(places))
        self.rarity_ = np.log(len(places) / np.maximum(np.asarray((counts > 0).sum(axis=0)).ravel(), 1)) + 1
        table = sparse.csr_matrix(counts.multiply(self.rarity_))
        rank = min(self.dim, min(table.shape) - 1)
        self.axes_ = np.zeros((len(self.cells_), self.dim), np.float32)
        if rank < 1:
            self.axes_[:, 0] = 1
        else:
            svd = TruncatedSVD(rank, random_state=self.seed).fit(table)
            self.axes_[:, :rank] = svd.components_.T

    def _encode(self, batch, device):
        table = self._table(*self._cells(batch), len(batch)).multiply(self.rarity_).tocsr()
        vectors = table @ self.axes_
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _cells(self, places) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Which place (row) lies in which cell (name), and with what weight; 1 a place and precision in all."""
        lat, lon = np.array(places, float).T
        rows, names, weights = [], [], []
        for precision in self.precisions:
            x, y = _grid(lat, lon, precision)
            for cell_x, cell_y, weight in _soft(x, y) if self.soft else [(np.floor(x), np.floor(y), np.ones(len(x)))]:
                columns, n_rows = _sizes(precision)
                at_x = cell_x.astype(np.int64) % columns  # round the world
                at_y = np.clip(cell_y.astype(np.int64), 0, n_rows - 1)  # up to the pole
                names += _names(at_x, at_y, precision)
                rows.append(np.arange(len(x)))
                weights.append(weight)
        return np.concatenate(rows), names, np.concatenate(weights)

    def _table(self, rows, names, weights, n: int):
        """CSR ``(n, cells)``; cells that were never learned are left out."""
        from scipy import sparse

        columns = pd.Index(self.cells_).get_indexer(names)
        known = (columns >= 0) & (weights > 0)
        return sparse.csr_matrix((weights[known], (rows[known], columns[known])), shape=(n, len(self.cells_)))


def _soft(x: np.ndarray, y: np.ndarray):
    """The four cells whose middles are nearest, with weights that fall with the distance and sum to 1."""
    left, below = np.floor(x - 0.5), np.floor(y - 0.5)
    right, above = x - 0.5 - left, y - 0.5 - below
    for dx, weight_x in ((0, 1 - right), (1, right)):
        for dy, weight_y in ((0, 1 - above), (1, above)):
            yield left + dx, below + dy, weight_x * weight_y


def readable(encoder: Encoder, items: list) -> list:
    """Items as ``_open`` reads them, without those that it cannot read (encoding names and masks these)."""
    opened = []
    for item in items:
        try:
            opened.append(encoder._open(item))
        except (MMRecError, TypeError, ValueError, OSError):
            continue
    if not opened:
        raise DataError(f"{encoder.name}.fit: none of {len(items)} items can be read; the first is {items[0]!r}")
    return opened


# -- ways ----------------------------------------------------------------------------------------------------------
class Trajectory(Encoder):
    """A way as a vector: what a recurrent network has in mind after it was trained to say where the next step leads.

    A GRU (Cho et al., 2014) reads steps, each the kilometres to the east and to the north since the place before (and
    the logarithm of the seconds, where there are times), and predicts the next. The vector is its last state. It
    knows the form of a way, not where on Earth it lies; put a :class:`Geohash` of start and end beside it for that.

    Items are sequences of ``(latitude, longitude)`` or ``(latitude, longitude, seconds)``; ways of all lengths may
    stand together. From a data set it reads the column of ``items`` that is named as the medium.

    Parameters
    ----------
    dim : int, default 64
    epochs, batch_size, learning_rate, seed
        Of the training (Adam, squared error of standardised steps).
    """

    name = "trajectory"
    modality = "place"
    needs_fit = True
    batch_sizes = {"cpu": 256, "cuda": 1024, "mps": 256}  # noqa: RUF012 - read only

    def __init__(
        self, dim: int = 64, epochs: int = 30, batch_size: int = 32, learning_rate: float = 5e-3, seed: int = 0
    ) -> None:
        for name, value, least in (
            ("dim", dim, 1),
            ("epochs", epochs, 1),
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
        if not learning_rate > 0:
            raise ParameterError(f"learning_rate={learning_rate!r}: give a number above 0")
        self._dim, self.epochs, self.batch_size = dim, epochs, batch_size
        self.learning_rate, self.seed = learning_rate, seed

    @property
    def dim(self) -> int:
        return self._dim

    def items_of(self, dataset, medium):
        return column_of(dataset.items, medium, self.name)

    def _open(self, item) -> np.ndarray:
        way = np.asarray(item, float)
        if way.ndim != 2 or way.shape[1] not in (2, 3) or len(way) < 2:
            raise DataError(f"a way is two or more (lat, lon) or (lat, lon, seconds); got an array {way.shape}")
        return steps(way)

    def _cost(self, item) -> float:
        return len(item) if hasattr(item, "__len__") else 0.0

    def _network(self):
        from .sequences import NextStep

        return NextStep(self.dim)

    def _fit(self, items, labels, device):
        from .sequences import train_next_step

        ways = readable(self, items)
        every = np.concatenate(ways)
        # one scale for both directions, so that a step to the north weighs as much as one to the east
        step = max(np.sqrt(np.square(every[:, :2]).mean()), 1e-9)
        wait = every[:, 2].std()
        self.centre_ = np.array([0.0, 0.0, every[:, 2].mean()])
        self.scale_ = np.array([step, step, wait if wait > 1e-9 else 1.0])
        self.network_, self.history_ = train_next_step(self, [self._standard(way) for way in ways], device)

    def _standard(self, way: np.ndarray) -> np.ndarray:
        return ((way - self.centre_) / self.scale_).astype(np.float32)

    def _encode(self, batch, device):
        import torch

        from .sequences import packed

        ways = packed([self._standard(way) for way in batch], device)
        with torch.inference_mode():
            return placed(self.network_, device).last_state(ways).float().cpu().numpy()


def steps(way: np.ndarray) -> np.ndarray:
    """Steps of a way: kilometres to the east, kilometres to the north, log of 1 + seconds (0 without times).

    ``way`` is ``(n, 2)`` or ``(n, 3)``; the result is ``(n - 1, 3)``. Over the date line the shorter way is taken.
    """
    lat, lon = way[:, 0], way[:, 1]
    check_places(lat, lon)
    turn = (np.diff(lon) + 180) % 360 - 180
    east = turn * _KM_A_DEGREE * np.cos(np.radians((lat[1:] + lat[:-1]) / 2))
    north = np.diff(lat) * _KM_A_DEGREE
    wait = np.diff(way[:, 2]) if way.shape[1] == 3 else np.zeros(len(way) - 1)
    if not np.all(wait >= 0):
        raise DataError("the times of a way go backwards or are missing: sort its places by time")
    return np.stack([east, north, np.log1p(wait)], axis=1)
