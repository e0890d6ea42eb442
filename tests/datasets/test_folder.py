"""Anybody's own catalogue: what is read, and how mistakes in it are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, MissingColumnError

pytestmark = pytest.mark.filterwarnings("error")

INTERACTIONS = """user,item,value,time
u2,007,5,2024-05-01 12:00:00
u1,8,3.5,2024-05-01T14:30:00+02:00
u2,8,1,2024-05-03
"""
ITEMS = """item,title,description,category,price
8,Red bird,"A bird, red.
It sings.",birds,3.5
007,Agent,,people,
9,,,,7
"""


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text(INTERACTIONS, encoding="utf-8")
    (folder / "items.csv").write_text(ITEMS, encoding="utf-8")
    return folder


def put(folder, *files):
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_tables_and_codes(shop):
    data = mm.datasets.load_folder(shop)
    assert (data.name, data.n_users, data.n_items) == ("shop", 2, 3)
    assert list(data.items.index) == ["8", "007", "9"]  # order of the file; zeros in front stay
    assert list(data.users.index) == ["u1", "u2"]
    assert data.interactions.user.tolist() == [1, 0, 1]
    assert data.interactions.item.tolist() == [1, 0, 0]
    assert data.interactions.value.tolist() == [5, 3.5, 1]
    noon = pd.Timestamp("2024-05-01 12:00", tz="UTC").timestamp()
    assert data.interactions.time.tolist() == [noon, noon + 30 * 60, noon + 36 * 3600]
    assert data.items["price"].tolist()[::2] == [3.5, 7]
    assert np.isnan(data.items["price"].iloc[1])
    assert data.media["text"] == ["Red bird. A bird, red.\nIt sings.", "Agent", None]


def test_the_least_that_is_needed(tmp_path):
    (tmp_path / "interactions.csv").write_text("user,item\n1,a\n2,a\n")
    (tmp_path / "items.csv").write_text("item\na\nb\n")
    data = mm.datasets.load_folder(str(tmp_path), name="least")
    assert data.interactions.value.tolist() == [1, 1]
    assert data.interactions.time is None
    assert (len(data.media), data.name) == (0, "least")


def test_users_with_attributes_and_without_events(shop):
    (shop / "users.csv").write_text("user,age\nu3,30\nu2,20\nu1,\n")
    data = mm.datasets.load_folder(shop)
    assert list(data.users.index) == ["u3", "u2", "u1"]
    assert data.users["age"].iloc[0] == 30
    assert data.interactions.user.tolist() == [1, 2, 1]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_the_mark_that_spreadsheets_write(shop, separator):
    text = INTERACTIONS.replace(",", separator)
    (shop / "interactions.csv").write_text(text, encoding="utf-8-sig")
    assert len(mm.datasets.load_folder(shop).interactions) == 3


def test_parquet_says_the_same(shop):
    pytest.importorskip("pyarrow")
    expected = mm.datasets.load_folder(shop)
    frame = pd.DataFrame(
        {
            "user": ["u2", "u1", "u2"],
            "item": ["007", "8", "8"],
            "value": [5, 3.5, 1],
            "time": pd.to_datetime(["2024-05-01 12:00", "2024-05-01 12:30", "2024-05-03 00:00"], utc=True),
        }
    )
    (shop / "interactions.csv").unlink()
    frame.to_parquet(shop / "interactions.parquet")
    pd.read_csv(shop / "items.csv", dtype={"item": str}).to_parquet(shop / "items.parquet")
    (shop / "items.csv").unlink()
    data = mm.datasets.load_folder(shop)
    assert data.interactions.to_frame().equals(expected.interactions.to_frame())
    assert data.media["text"] == expected.media["text"]


def test_parquet_with_numbers_as_ids(tmp_path):
    pd.DataFrame({"user": [1, 2], "item": [7.0, 8.0], "time": [10, 20]}).to_parquet(tmp_path / "interactions.parquet")
    pd.DataFrame({"item": [7, 8]}).to_parquet(tmp_path / "items.parquet")
    data = mm.datasets.load_folder(tmp_path)
    assert list(data.items.index) == ["7", "8"]
    assert data.interactions.time.tolist() == [10, 20]
    pd.DataFrame({"user": [1, None], "item": [7, 8]}).to_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions.parquet, row 2, column 'user': is empty"):
        mm.datasets.load_folder(tmp_path)


# -- media -----------------------------------------------------------------------------------------------------
def test_media_are_found_by_the_items_id(shop):
    put(shop, "images/8.PNG", "images/8.jpg", "images/other.png", "images/notes.txt", "sounds/007.ogg", "video/9.mp4")
    media = mm.datasets.load_folder(shop).media
    assert media["image"] == [shop / "images" / "8.jpg", None, None]
    assert media["audio"] == [None, shop / "sounds" / "007.ogg", None]
    assert media["video"] == [None, None, shop / "video" / "9.mp4"]


def test_a_column_may_name_the_file(shop):
    put(shop, "photos/agent.png", "image/birds/red.png", "image/9.png")
    (shop / "items.csv").write_text("item,image\n8,birds/red.png\n007,photos/agent.png\n9,\n")
    media = mm.datasets.load_folder(shop).media
    assert media["image"] == [shop / "image/birds/red.png", shop / "photos/agent.png", shop / "image/9.png"]
    assert all(isinstance(path, Path) for path in media["image"])


def test_a_named_file_that_is_not_there(shop):
    (shop / "items.csv").write_text("item,image\n8,\n007,agent.png\n")
    with pytest.raises(DataError, match=r"items.csv, line 3, column 'image': there is no file 'agent.png'"):
        mm.datasets.load_folder(shop)


def test_files_of_which_none_fits_are_a_mistake(shop):
    put(shop, "image/IMG_0001.jpg")
    with pytest.raises(DataError, match=r"IMG_0001.jpg.*none of the 1 files there.*first item is '8'"):
        mm.datasets.load_folder(shop)


def test_a_text_column_wins_over_title_and_description(shop):
    (shop / "items.csv").write_text("item,text,title\n8,words,Bird\n007,,Agent\n")
    assert mm.datasets.load_folder(shop).media["text"] == ["words", "Agent"]


# -- mistakes --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("file", "text", "error", "words"),
    [
        ("interactions.csv", "user,thing\n1,8\n", MissingColumnError, "interactions.csv: column 'item' is missing"),
        (
            "items.csv",
            "id,title\n8,x\n",
            MissingColumnError,
            "column 'item' is missing; found 'id', 'title'",
        ),
        ("users.csv", "name\nx\n", MissingColumnError, "users.csv: column 'user' is missing"),
        ("interactions.csv", "", DataError, "interactions.csv is empty; its first line must name"),
        ("interactions.csv", "user,item\n", DataError, "interactions.csv holds no rows"),
        ("interactions.csv", "user,item\nu1,8\n,8\n", DataError, "line 3, column 'user': is empty"),
        ("interactions.csv", "user,item\nu1,8\nu1\n", DataError, "line 3, column 'item': is empty"),
        (
            "interactions.csv",
            "user,item\nu1,8\n\nu1,77\n",
            DataError,
            "line 4, column 'item': '77' is not in items",
        ),
        ("users.csv", "user\nu1\n", DataError, r"interactions.csv, line 2, column 'user': 'u2' .* \(2 such rows\)"),
        (
            "interactions.csv",
            "user,item,value\nu1,8,3\nu1,8,good\n",
            DataError,
            "line 3, column 'value': 'good' is not",
        ),
        ("interactions.csv", "user,item,value\nu1,8,\n", DataError, "line 2, column 'value'"),
        ("interactions.csv", "user,item,value\nu1,8,inf\n", DataError, "line 2, column 'value': inf is not a number"),
        (
            "interactions.csv",
            "user,item,time\nu1,8,5\nu1,8,soon\n",
            DataError,
            "line 3, column 'time': 'soon' is",
        ),
        ("interactions.csv", "user,item,time\nu1,8,2024-13-01\n", DataError, "line 2, column 'time': '2024-13-01'"),
        (
            "interactions.csv",
            "user,item,time\nu1,8,1714564800000\n",
            DataError,
            "1714564800000 .*divide by 1000",
        ),
        ("items.csv", ITEMS + "8,again,,,\n", DataError, "line 6, column 'item': '8' occurs again, first in line 2"),
        ("items.csv", ITEMS + ",lost,,,\n", DataError, "line 6, column 'item': is empty"),
        ("items.csv", "item,title\n8,x,y\n007,x\n", DataError, "items.csv: .*more fields"),
        ("items.csv", "item,title\n8,x\n007,x,y\n", DataError, "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_mistakes_name_file_line_and_column(shop, file, text, error, words):
    (shop / file).write_text(text, encoding="utf-8")
    with pytest.raises(error, match=words):
        mm.datasets.load_folder(shop)


def test_another_encoding_is_named_with_its_line(shop):
    (shop / "items.csv").write_bytes("item,title\n8,ok\n007,Misérables\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"items.csv, line 3: byte 0xe9 is not UTF-8: save the file as UTF-8"):
        mm.datasets.load_folder(shop)


def test_missing_doubled_and_damaged_files(shop, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        mm.datasets.load_folder(tmp_path / "nowhere")
    put(shop, "items.parquet")
    with pytest.raises(DataError, match=r"items.csv and items.parquet; keep one"):
        mm.datasets.load_folder(shop)
    (shop / "items.csv").unlink()
    with pytest.raises(DataError, match=r"items.parquet cannot be read as Parquet"):
        mm.datasets.load_folder(shop)
    (shop / "items.parquet").unlink()
    with pytest.raises(DataError, match=r"items.csv \(or items.parquet\) is missing; found interactions.csv"):
        mm.datasets.load_folder(shop)


def test_the_example_of_the_data_card_can_be_loaded(tmp_path):
    """The blocks of ``datasets/own-catalogue.md`` that start with a file name are that file."""
    card = Path(mm.__file__).parents[1] / "datasets" / "own-catalogue.md"
    for block in card.read_text(encoding="utf-8").split("```")[1::2]:
        kind, _, content = block.partition("\n")
        if kind.startswith("text "):
            (tmp_path / kind.split()[1]).write_text(content, encoding="utf-8")
    put(tmp_path, "image/mug-blue.jpg", "audio/bell.ogg")
    data = mm.datasets.load_folder(tmp_path)
    assert (data.n_users, data.n_items, len(data.interactions)) == (3, 3, 5)
    assert {name: int(data.media.mask(name).sum()) for name in data.media} == {"text": 3, "image": 1, "audio": 1}
