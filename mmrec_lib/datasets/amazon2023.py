"""Amazon Reviews 2023 (Hou et al., 2024, *Bridging Language and Items for Retrieval and Recommendation*): what people
rated, when, and the titles, descriptions, prices and pictures of the things; one category at a time."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..checks import whole
from ..data import Dataset, Interactions, Media
from ..data.cleaning import drop_duplicates, k_core
from ..errors import DataError, ParameterError
from . import download

ADDRESS = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
_LONGEST = 2**24  # bytes of one record; the longest description is far below
_TEXT = 2000  # characters that are kept of an item's text; encoders read less
_EARLIEST = 10**11  # milliseconds: 1973. What is smaller was written in seconds.
_AGAIN = "delete the file and load again"


def load(category: str = "Video_Games", *, path: str | Path | None = None, since: str | None = None,
         min_rating: float | None = None, core: int = 5) -> Dataset:  # fmt: skip
    """One category of Amazon Reviews 2023, as :func:`mmrec_lib.datasets.load_amazon_2023`.

    Parameters
    ----------
    category
        Name as in the addresses: ``"All_Beauty"``, ``"Video_Games"``, ``"Musical_Instruments"``, ...
    path
        Folder that holds ``CATEGORY.jsonl.gz`` and ``meta_CATEGORY.jsonl.gz`` (or both without ``.gz``). Default: the
        cache, into which they are downloaded; a transfer that breaks goes on where it was, in a later call too.
    since
        Leave out reviews from before this date (``"2021-01-01"``, UTC). Default: keep all.
    min_rating
        Leave out ratings below it. Default: keep all, also the bad ones: whoever rated a thing had chosen it.
    core : int, default 5
        Keep people with that many things and things with that many people (:func:`mmrec_lib.data.k_core`); 1 keeps all.

    Returns
    -------
    Dataset
        ``interactions``: one for each pair (the last review), value = stars from 1 to 5, time in seconds.
        ``items`` (index: ``parent_asin``, which unites colours and sizes): title (empty without metadata), category
        (path with slashes), store, price (dollars, ``NaN`` where unknown), image_url (the main picture, ``None`` where
        there is none). ``media["text"]``: title, features and description, at most 2,000 characters; ``None`` without
        all three. Pictures come with :func:`mmrec_lib.datasets.fetch_pictures`.
        ``extras["funnel"]``: table of reviews, people and things left after each step of cleaning.

        Average rating and number of ratings are left out on purpose: they were counted when the pages were collected,
        and so they know the test part.

    Raises
    ------
    DataError
        Named by file and line: a record that is no JSON, lacks a field or holds a value of another kind; a file that
        ends too early; nothing left after cleaning.
    DownloadError, ParameterError

    Notes
    -----
    Files are read line by line. What stays in memory is four numbers a review and the ids, and the texts of those
    things that are left after cleaning.
    """
    core = whole("core", core)
    start = _seconds(since)
    files = [_file(category, name, path) for name in (category, f"meta_{category}")]
    events, users, items = _read_reviews(files[0])
    steps = {"read": events}
    if start is not None:
        steps["since"] = events = events.select(events.time >= start)
    if min_rating is not None:
        steps["rated"] = events = events.at_least(min_rating)
    steps["once a pair"] = events = drop_duplicates(events)
    if not len(events):
        raise DataError(f"{files[0]}: no review is left; use an earlier since or a smaller min_rating")
    steps[f"{core}-core"] = events = k_core(events, core, core)
    kept_users, kept_items = np.flatnonzero(events.user_counts()), np.flatnonzero(events.item_counts())
    asins = [items[i] for i in kept_items]
    table, texts = _read_meta(files[1], asins)
    events = Interactions(np.searchsorted(kept_users, events.user), np.searchsorted(kept_items, events.item),
                          events.value, events.time, len(kept_users), len(kept_items))  # fmt: skip
    people = pd.DataFrame(index=pd.Index([users[u] for u in kept_users], name="user"))
    data = Dataset(events, people, table, Media({"text": texts}), f"amazon-2023 {category}")
    data.extras["funnel"] = pd.DataFrame(
        {name: {"reviews": len(e), "people": np.unique(e.user).size, "things": np.unique(e.item).size}
         for name, e in steps.items()}).T  # fmt: skip
    return data


# -- files -------------------------------------------------------------------------------------------------------
def _file(category: str, name: str, path: str | Path | None) -> Path:
    if not category or not category.replace("_", "").isalnum():
        raise ParameterError(f"category={category!r}: expected a name as in the addresses, such as 'Video_Games'")
    if path is None:
        kind = "meta_categories" if name.startswith("meta_") else "review_categories"
        target = download.cache_dir() / "amazon-2023" / f"{name}.jsonl.gz"
        with download.locked(target.parent):
            return download.fetch_large(f"{ADDRESS}/{kind}/{name}.jsonl.gz", target)
    for file in (Path(path) / f"{name}.jsonl.gz", Path(path) / f"{name}.jsonl"):
        if file.is_file():
            return file
    raise DataError(f"{path}: there is no {name}.jsonl.gz; get it from {ADDRESS}")


def _records(path: Path) -> Iterator[tuple[int, dict]]:
    """Number of the line and record, one at a time."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            while line := file.readline(_LONGEST + 1):
                number += 1
                if len(line) > _LONGEST:
                    raise DataError(f"{path}, line {number}: longer than {_LONGEST:,} bytes; {_AGAIN}")
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise DataError(f"{path}, line {number}: no JSON ({error}); {_AGAIN}") from None
                if not isinstance(record, dict):
                    raise DataError(f"{path}, line {number}: expected a record in braces; {_AGAIN}")
                yield number, record
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged after line {number} ({error}); {_AGAIN}") from None


# -- reviews -----------------------------------------------------------------------------------------------------
def _read_reviews(path: Path) -> tuple[Interactions, list[str], list[str]]:
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, value, time = array("i"), array("i"), array("f"), array("q")
    for line, record in _records(path):
        who, what = _id(record, "user_id", path, line), _id(record, "parent_asin", path, line)
        stars, when = _number(record, "rating", path, line), _number(record, "timestamp", path, line)
        if not 1 <= stars <= 5:
            raise _wrong(path, line, "rating", stars, "a number from 1 to 5")
        if when < _EARLIEST:
            raise _wrong(path, line, "timestamp", when, "milliseconds since 1970")
        user.append(users.setdefault(who, len(users)))
        item.append(items.setdefault(what, len(items)))
        value.append(stars)
        time.append(int(when) // 1000)
    if not users:
        raise DataError(f"{path} holds no reviews; {_AGAIN}")
    columns = [np.frombuffer(column, dtype=column.typecode) for column in (user, item, value, time)]
    return Interactions(*columns, len(users), len(items)), list(users), list(items)


def _id(record: dict, field: str, path: Path, line: int) -> str:
    found = record.get(field)
    if not isinstance(found, str) or not found:
        raise _wrong(path, line, field, found, "an id as text")
    return found


def _number(record: dict, field: str, path: Path, line: int) -> float:
    found = record.get(field)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        raise _wrong(path, line, field, found, "a number")
    return found


def _wrong(path: Path, line: int, field: str, found, expected: str) -> DataError:
    return DataError(f"{path}, line {line}, field {field!r}: {found!r}, expected {expected}; {_AGAIN}")


def _seconds(since: str | None) -> int | None:
    if since is None:
        return None
    try:
        return int(pd.Timestamp(since, tz="UTC").timestamp())
    except ValueError as error:
        raise ParameterError(f"since={since!r} is no date such as '2021-01-01' ({error})") from None


# -- metadata ----------------------------------------------------------------------------------------------------
def _read_meta(path: Path, asins: list[str]) -> tuple[pd.DataFrame, list[str | None]]:
    """Table and texts of the wanted items, in their order; the first record of an item counts."""
    found: dict[str, tuple] = {}
    wanted = set(asins)
    for line, record in _records(path):
        asin = _id(record, "parent_asin", path, line)
        if asin in wanted and asin not in found:
            features, description, categories, images = (
                _list(record, field, path, line) for field in ("features", "description", "categories", "images")
            )
            title = record.get("title") or ""
            parts = [str(part).strip() for part in (title, *features, *description) if str(part).strip()]
            path_of_categories = "/".join(map(str, categories)) or record.get("main_category") or ""
            found[asin] = (str(title), path_of_categories, record.get("store"), _price(record.get("price")),
                           _main_picture(images), "\n".join(parts)[:_TEXT] or None)  # fmt: skip
    rows = [found.get(asin, ("", "", None, math.nan, None, None)) for asin in asins]
    names = ["title", "category", "store", "price", "image_url", "text"]
    table = pd.DataFrame(rows, columns=names, index=pd.Index(asins, name="item"))
    texts = [row[-1] for row in rows]
    table["image_url"] = pd.Series([row[-2] for row in rows], index=table.index, dtype=object)
    return table.drop(columns="text"), texts


def _list(record: dict, field: str, path: Path, line: int) -> list:
    found = record.get(field)
    if found is not None and not isinstance(found, list):
        raise _wrong(path, line, field, found, "a list")
    return found or []


def _price(found) -> float:
    """Dollars; ``NaN`` for what is no price (``null``, ``"from 14.99"``)."""
    try:
        return float(found)
    except (TypeError, ValueError):
        return math.nan


def _main_picture(images: list) -> str | None:
    """Address of the main picture (variant ``MAIN``, else the first), of about 500 pixels if there is that size."""
    pictures = [picture for picture in images if isinstance(picture, dict)]
    pictures.sort(key=lambda picture: picture.get("variant") != "MAIN")
    addresses = (picture.get(size) for picture in pictures for size in ("large", "hi_res", "thumb"))
    return next((address for address in addresses if isinstance(address, str) and address), None)
