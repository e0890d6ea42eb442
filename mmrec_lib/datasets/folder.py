"""Anybody's own catalogue: two tables and folders of media."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Dataset
from ..errors import DataError, MissingColumnError

#: Folder names and file endings of each modality; when an item has several files, the first ending wins.
_MEDIA = {
    "image": (("image", "images"), (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")),
    "audio": (("audio", "audios", "sound", "sounds"), (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus")),
    "video": (("video", "videos"), (".mp4", ".webm", ".mkv", ".mov", ".avi")),
}
_QUOTE = "put text that contains a separator into double quotes"


def load_folder(path, name: str | None = None) -> Dataset:
    """Read a catalogue from a folder.

    Parameters
    ----------
    path
        Folder with these files; a table may be ``.csv`` (UTF-8; comma, semicolon or tab) or ``.parquet``.

        ``interactions``: columns ``user`` and ``item``; optionally ``value`` (rating, count; default 1) and ``time``
        (seconds since 1970, or dates such as ``2024-05-01 12:30``, taken as UTC when they name no zone).

        ``items``: column ``item`` with the id, once each; any further columns. Text is taken from ``text``, else from
        ``title`` and ``description``. Columns ``image``, ``audio``, ``video`` may name a file each.

        ``users`` (optional): column ``user`` with the id; any further columns.

        ``image/``, ``audio/``, ``video/`` (or ``images/``, ...; optional): a file belongs to the item whose id is its
        name without the ending.
    name
        Name of the data set. Default: that of the folder.

    Returns
    -------
    Dataset
        Ids are strings, in the order of ``items``, and of ``users`` if given, else sorted. An item that lacks a
        medium has ``None`` there.

    Raises
    ------
    MissingColumnError, DataError
        Named by file, line and column: a missing file or column, an empty table, ids that are missing, unknown or
        occur twice, values or times that cannot be read, text that is not UTF-8, media named but not there.

    References
    ----------
    The format with a complete small example: ``datasets/own-catalogue.md``.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder")
    events = _Table(path, "interactions", ["user", "item"])
    items = _Table(path, "items", ["item"]).indexed("item")
    users = _Table(path, "users", ["user"], optional=True)
    users = users.indexed("user") if users.file else None
    for kind, table in (("user", users), ("item", items)):
        if table is not None:
            events.check_known(kind, table)
    frame = events.frame[["user", "item"]].copy()
    if "value" in events.frame:
        frame["value"] = events.numbers("value")
    if "time" in events.frame:
        frame["time"] = events.times("time")
    people = users.frame if users else None
    return Dataset.from_frame(frame, people, items.frame, _media(path, items), name or path.resolve().name)


class _Table:
    """One of the tables, and where in its file each row stands."""

    def __init__(self, folder: Path, stem: str, ids: list[str], optional: bool = False) -> None:
        found = [file for ending in (".csv", ".parquet") if (file := folder / f"{stem}{ending}").is_file()]
        self.file = found[0] if found else None
        if len(found) > 1:
            raise DataError(f"{folder}: there are {found[0].name} and {found[1].name}; keep one of them")
        if not found:
            if optional:
                return
            there = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
            raise DataError(f"{folder}: {stem}.csv (or {stem}.parquet) is missing; found {there}")
        self.ids = ids
        self.frame = self._read_csv() if self.file.suffix == ".csv" else self._read_parquet()
        self.frame.columns = [str(column).strip() for column in self.frame.columns]
        for column in ids:
            if column not in self.frame:
                raise MissingColumnError(str(self.file), column, list(self.frame.columns), "The first line names them.")
        if self.frame.empty:
            raise DataError(f"{self.file} holds no rows, only the names of the columns")
        for column in ids:
            empty = self.frame[column].isna()
            if empty.any():
                raise self.error(empty, column, "is empty", "fill in the id or remove the line")

    def _read_csv(self) -> pd.DataFrame:
        try:
            with open(self.file, encoding="utf-8-sig", newline="") as file:
                header = file.readline()
            self.separator = max(",;\t", key=header.count)
            columns = next(csv.reader([header], delimiter=self.separator), [])
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # lines longer than the header
                return pd.read_csv(
                    self.file,
                    sep=self.separator,
                    encoding="utf-8-sig",
                    dtype={column: str for column in columns if column.strip() in self.ids},
                    keep_default_na=False,
                    na_values=[""],
                    index_col=False,
                    low_memory=False,
                )
        except UnicodeDecodeError:
            raise DataError(f"{self.file}{self._first_undecodable()}: save the file as UTF-8") from None
        except pd.errors.EmptyDataError:
            raise DataError(f"{self.file} is empty; its first line must name the columns {self.ids}") from None
        except pd.errors.ParserWarning:
            raise DataError(f"{self.file}: lines have more fields than the first line has names; {_QUOTE}") from None
        except pd.errors.ParserError as error:
            raise DataError(f"{self.file}: {str(error).strip()}; {_QUOTE}") from None

    def _first_undecodable(self) -> str:
        raw = self.file.read_bytes()
        try:
            raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return f", line {raw[: error.start].count(10) + 1}: byte {raw[error.start]:#04x} is not UTF-8"
        return ""

    def _read_parquet(self) -> pd.DataFrame:
        try:
            frame = pd.read_parquet(self.file).reset_index(drop=True)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.file} cannot be read as Parquet ({error}); write it again") from None
        for column in set(self.ids) & set(frame.columns):
            ids = frame[column]
            if pd.api.types.is_float_dtype(ids) and (ids.dropna() % 1 == 0).all():
                ids = ids.astype("Int64")  # whole numbers turn into floats when a table has gaps: 7.0 means 7
            frame[column] = ids.astype(object).where(ids.notna()).map(str, na_action="ignore")
        return frame

    # -- rows with their place ---------------------------------------------------------------------------------------
    def place(self, row: int) -> str:
        """The line of a CSV file as an editor numbers it (quoted text may hold line breaks), the row of Parquet."""
        if self.file.suffix != ".csv":
            return f"{self.file}, row {row + 1}"
        with open(self.file, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=self.separator)
            record, start = -2, 1
            for fields in reader:
                record += bool(fields)  # pandas skips blank lines
                if record == row:
                    return f"{self.file}, line {start}"
                start = reader.line_num + 1
        return f"{self.file}, record {row + 1}"

    def error(self, bad, column: str, wrong: str, remedy: str) -> DataError:
        """The error for the first row of the boolean mask ``bad``."""
        rows = np.flatnonzero(bad)
        count = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
        return DataError(f"{self.place(rows[0])}, column {column!r}: {wrong}{count}; {remedy}")

    def _first(self, bad, column: str):
        return self.frame[column].iloc[[np.flatnonzero(bad)[0]]].tolist()[0]

    # -- columns -----------------------------------------------------------------------------------------------------
    def indexed(self, column: str) -> _Table:
        """The same table with the ids as its index; each may occur once."""
        twice = self.frame[column].duplicated().to_numpy()
        if twice.any():
            id_ = self._first(twice, column)
            first = self.place(int((self.frame[column] == id_).to_numpy().argmax())).rpartition(", ")[2]
            raise self.error(twice, column, f"{id_!r} occurs again, first in {first}", "every id may occur once")
        self.frame = self.frame.set_index(column)
        return self

    def check_known(self, column: str, table: _Table) -> None:
        unknown = ~self.frame[column].isin(table.frame.index).to_numpy()
        if unknown.any():
            wrong = f"{self._first(unknown, column)!r} is not in {table.file.name}"
            raise self.error(unknown, column, wrong, "add it there, or remove these interactions")

    def numbers(self, column: str) -> np.ndarray:
        values = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            wrong = f"{self._first(bad, column)!r} is not a number"
            raise self.error(bad, column, wrong, "correct it (with a point for decimals), or remove the column")
        return values

    def times(self, column: str) -> np.ndarray:
        """Seconds since 1970 from numbers, dates as text, or dates of Parquet."""
        raw = self.frame[column]
        if not pd.api.types.is_datetime64_any_dtype(raw):
            seconds = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isfinite(seconds).all():
                return self._plausible(seconds, column)
            dates = pd.to_datetime(raw.astype(object), errors="coerce", utc=True, format="ISO8601")
            neither = np.isnan(seconds) & dates.isna().to_numpy()
            bad = neither if neither.any() else dates.isna().to_numpy()  # the latter: numbers among dates
        else:
            dates = pd.to_datetime(raw, utc=True)
            bad = dates.isna().to_numpy()
        if bad.any():
            wrong = f"{self._first(bad, column)!r} is neither seconds since 1970 nor a date such as 2024-05-01 12:30"
            raise self.error(bad, column, wrong, "write all times in one of these ways, or remove the column")
        return dates.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)

    def _plausible(self, seconds: np.ndarray, column: str) -> np.ndarray:
        far = np.abs(seconds) > 1e11  # the year 5138; today in milliseconds is 1.7e12
        if far.any():
            raise self.error(far, column, f"{self._first(far, column)} is no time in seconds", "divide by 1000?")
        return seconds.astype(np.int64)


def _media(folder: Path, items: _Table) -> dict[str, list]:
    media = {"text": _texts(items.frame)}
    for modality, (names, endings) in _MEDIA.items():
        files = _named_after_items(folder, names, endings, items)
        if modality in items.frame:
            files = [named or file for named, file in zip(_named(folder, items, modality), files, strict=True)]
        media[modality] = files
    return {modality: entries for modality, entries in media.items() if any(entries)}


def _texts(items: pd.DataFrame) -> list[str | None]:
    """``text`` where it is filled in, else title and description."""
    none = pd.Series("", index=items.index)
    text, title, description = (
        items[c].fillna("").astype(str).str.strip() if c in items else none for c in ("text", "title", "description")
    )
    both = title.where(description == "", title.str.rstrip(".") + ". " + description).where(title != "", description)
    return [entry or None for entry in text.where(text != "", both)]


def _named_after_items(folder: Path, names, endings, items: _Table) -> list[Path | None]:
    found: dict[str, Path] = {}
    others = []
    known = set(items.frame.index)
    for place in (folder / name for name in names):
        files = [f for f in sorted(place.iterdir()) if f.suffix.lower() in endings] if place.is_dir() else []
        for file in sorted(files, key=lambda f: endings.index(f.suffix.lower())):
            if file.stem in known:
                found.setdefault(file.stem, file)
            else:
                others.append(file)
    if others and not found and not set(names) & set(items.frame.columns):
        raise DataError(
            f"{others[0]}: none of the {len(others)} files there is named after an item (the first item is "
            f"{items.frame.index[0]!r}); name each file by the item's id, or name the files in a column of "
            f"{items.file.name} called {names[0]!r}"
        )
    return [found.get(id_) for id_ in items.frame.index]


def _named(folder: Path, items: _Table, modality: str) -> list[Path | None]:
    """Files that a column of the items names, relative to the folder or to the modality's folder."""
    places = [folder, *(folder / name for name in _MEDIA[modality][0])]
    files: list[Path | None] = []
    for row, entry in enumerate(items.frame[modality]):
        file = None
        if isinstance(entry, str) and entry.strip():
            file = next((place / entry.strip() for place in places if (place / entry.strip()).is_file()), None)
            if file is None:
                bad = np.arange(len(items.frame)) == row
                wrong = f"there is no file {entry!r} in {folder}"
                raise items.error(bad, modality, wrong, "correct it, or leave it empty")
        files.append(file)
    return files
