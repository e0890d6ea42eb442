"""Dataset, Media and Features: people, things, what the things look and sound like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError, FeatureError, MissingColumnError, UnknownNameError
from .interactions import Interactions


class Media(Mapping):
    """Raw media of the items: modality name to one entry per item.

    An entry is a ``str`` (the text itself), a ``Path`` (image, audio, video), or ``None`` where the item has none;
    the missing values of pandas (``NaN``, ``NA``) become ``None``. Anything else raises :class:`DataError`.

    >>> media = Media({"text": ["a red bird", None]})
    >>> media["text"][0], media.mask("text").tolist()
    ('a red bird', [True, False])
    """

    def __init__(self, entries: Mapping[str, Sequence[str | Path | None]] | None = None) -> None:
        self._entries = {
            name: [_entry(name, item, entry) for item, entry in enumerate(column)]
            for name, column in (entries or {}).items()
        }
        sizes = {name: len(column) for name, column in self._entries.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(f"modalities list different numbers of items: {sizes}; use None where an item has no media")

    def __getitem__(self, modality: str) -> list[str | Path | None]:
        if modality not in self._entries:
            raise UnknownNameError("modality", modality, self._entries)
        return self._entries[modality]

    def __contains__(self, modality: object) -> bool:
        return modality in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def n_items(self) -> int | None:
        """Number of items, or ``None`` when there is no modality at all."""
        return next((len(column) for column in self._entries.values()), None)

    def mask(self, modality: str) -> np.ndarray:
        """Boolean ``(n_items,)``: does the item have this medium?"""
        return np.array([entry is not None for entry in self[modality]], dtype=bool)

    def __repr__(self) -> str:
        parts = [f"{name}: {int(self.mask(name).sum()):,} of {len(self[name]):,}" for name in self]
        return f"Media({', '.join(parts) or 'none'})"


class Features(Mapping):
    """Item vectors by modality, with a mask that says which rows are real.

    Parameters
    ----------
    arrays
        Modality name to array ``(n_items, dim)``; stored as float32.
    mask
        Modality name to boolean ``(n_items,)``, ``False`` where the item lacks the medium. Default: all ``True``.
        Rows that are masked out are set to zero, so that nothing can leak through them.

    Raises
    ------
    FeatureError
        Values that are not finite in a row that is not masked, arrays that are not two-dimensional, or modalities
        with different numbers of rows.

    >>> features = Features({"image": np.ones((2, 3))}, mask={"image": [True, False]})
    >>> features["image"].tolist(), features.dims
    ([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], {'image': 3})
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], mask: Mapping[str, Sequence[bool]] | None = None) -> None:
        mask = dict(mask or {})
        for name in mask:
            if name not in arrays:
                raise FeatureError(f"mask names modality {name!r}, but there is no such array; found {list(arrays)}")
        self._arrays: dict[str, np.ndarray] = {}
        self.mask: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            self._arrays[name], self.mask[name] = _feature_array(name, array, mask.get(name))
        sizes = {name: len(array) for name, array in self._arrays.items()}
        if len(set(sizes.values())) > 1:
            raise FeatureError(f"modalities have different numbers of rows: {sizes}; one row per item is needed")

    def __getitem__(self, modality: str) -> np.ndarray:
        if modality not in self._arrays:
            raise UnknownNameError("modality", modality, self._arrays)
        return self._arrays[modality]

    def __contains__(self, modality: object) -> bool:
        return modality in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def n_items(self) -> int:
        """Number of items (rows)."""
        return next((len(a) for a in self._arrays.values()), 0)

    @property
    def dims(self) -> dict[str, int]:
        """Modality name to number of dimensions."""
        return {name: array.shape[1] for name, array in self._arrays.items()}

    def check(self, n_items: int) -> Features:
        """Return self if there is one row per item, else raise :class:`FeatureError`."""
        if len(self) and self.n_items != n_items:
            raise FeatureError(
                f"features have {self.n_items} rows, but there are {n_items} items: "
                "row number must equal the item code (use a masked row where an item has no vector)"
            )
        return self

    def only(self, *modalities: str) -> Features:
        """Features of the named modalities, in that order."""
        return Features({m: self[m] for m in modalities}, {m: self.mask[m] for m in modalities if m in self})

    def __repr__(self) -> str:
        parts = [f"{m}: {d}-d, {int(self.mask[m].sum()):,} of {self.n_items:,}" for m, d in self.dims.items()]
        return f"Features({'; '.join(parts) or 'none'})"


@dataclass
class Dataset:
    """People, things, what happened between them, and what the things look and sound like.

    Attributes
    ----------
    interactions : Interactions
    users, items : DataFrame
        Row number is the code that ``interactions`` uses; the index holds the raw ids.
    media : Media
    name : str
    graph : DataFrame or None
        Knowledge graph as triples: columns head, relation, tail (strings), when the data set has one; and
        ``items["entity"]`` links items to its nodes.
    extras : dict
        Whatever else belongs to the data set (the simulated audience of ``stamps``, for example).
    """

    interactions: Interactions
    users: pd.DataFrame
    items: pd.DataFrame
    media: Media = field(default_factory=Media)
    name: str = "unnamed"
    graph: pd.DataFrame | None = None
    extras: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, table, n in (
            ("users", self.users, self.interactions.n_users),
            ("items", self.items, self.interactions.n_items),
        ):
            if len(table) != n:
                raise DataError(f"{kind} table has {len(table)} rows, interactions count {n} {kind}: they must agree")
            if table.index.has_duplicates:
                twice = table.index[table.index.duplicated()].tolist()[0]
                raise DataError(f"{kind} table: id {twice!r} occurs more than once; ids must be unique")
        if self.media.n_items not in (None, self.n_items):
            raise DataError(f"media list {self.media.n_items} items, the data set has {self.n_items}")

    @property
    def n_users(self) -> int:
        return self.interactions.n_users

    @property
    def n_items(self) -> int:
        return self.interactions.n_items

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}: {self.n_users:,} users, {self.n_items:,} items, "
            f"{len(self.interactions):,} interactions, media: {', '.join(self.media) or 'none'})"
        )

    @classmethod
    def from_frame(
        cls,
        interactions: pd.DataFrame,
        users: pd.DataFrame | None = None,
        items: pd.DataFrame | None = None,
        media: Mapping[str, Sequence] | None = None,
        name: str = "unnamed",
    ) -> Dataset:
        """Build a data set from tables with raw ids.

        ``interactions`` needs the columns ``user`` and ``item`` (any hashable ids) and may have ``value`` and
        ``time``. ``users`` and ``items`` have the raw ids as their index; left out, they are made from the
        interactions. Raises :class:`MissingColumnError`, and :class:`DataError` for ids without a row.
        """
        for column in ("user", "item"):
            if column not in interactions:
                raise MissingColumnError("interactions", column, list(interactions.columns))
        users = _id_table(interactions["user"], users, "user")
        items = _id_table(interactions["item"], items, "item")
        events = Interactions(
            _lookup(interactions["user"], users, "user"),
            _lookup(interactions["item"], items, "item"),
            interactions["value"].to_numpy() if "value" in interactions else None,
            interactions["time"].to_numpy() if "time" in interactions else None,
            len(users),
            len(items),
        )
        return cls(events, users, items, Media(media), name)


def _entry(modality: str, item: int, entry) -> str | Path | None:
    if entry is None or isinstance(entry, (str, Path)):
        return entry
    if entry is pd.NA or entry != entry:  # only NaN differs from itself
        return None
    raise DataError(
        f"media[{modality!r}], item {item}: expected text, a Path or None, got {type(entry).__name__}; "
        "vectors belong into Features"
    )


def _feature_array(name: str, array, mask) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(array)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.number):
        raise FeatureError(
            f"features[{name!r}] must be numbers in an array (n_items, dim); got {array.dtype} {array.shape}"
        )
    mask = np.ones(len(array), bool) if mask is None else np.asarray(mask, dtype=bool)
    if mask.shape != (len(array),):
        raise FeatureError(f"mask[{name!r}] has shape {mask.shape}; expected ({len(array)},)")
    with np.errstate(over="ignore", invalid="ignore"):
        array = array.astype(np.float32, copy=not mask.all())  # a float64 beyond 3.4e38 turns into infinity here
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1) & mask)
    if len(bad):
        raise FeatureError(
            f"features[{name!r}] row {bad[0]} holds NaN or infinity ({len(bad)} such rows): "
            "mask these rows, or fill them with mm.data.impute"
        )
    if not mask.all():
        array[~mask] = 0.0
    return array, mask


def _id_table(column: pd.Series, table: pd.DataFrame | None, kind: str) -> pd.DataFrame:
    if column.isna().any():
        row = column.index[column.isna()][0]
        raise DataError(f"interactions row {row}: column {kind!r} is empty; drop the row or fill it in")
    if table is not None:
        if table.index.has_duplicates:
            twice = table.index[table.index.duplicated()].tolist()[0]
            raise DataError(f"{kind}s table: id {twice!r} occurs more than once; ids must be unique")
        return table
    try:
        ids = sorted(column.unique())
    except TypeError:
        kinds = sorted({type(id_).__name__ for id_ in column.unique()})
        raise DataError(f"interactions column {kind!r} mixes ids of types {' and '.join(kinds)}; use one") from None
    return pd.DataFrame(index=pd.Index(ids, name=kind))


def _lookup(column: pd.Series, table: pd.DataFrame, kind: str) -> np.ndarray:
    codes = table.index.get_indexer(column)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        unknown = column.iloc[[row]].tolist()[0]
        raise DataError(
            f"interactions row {column.index[row]}: {kind} {unknown!r} has no row in the {kind}s table "
            f"({int((codes < 0).sum())} such rows); add it there or drop these interactions"
        )
    return codes
