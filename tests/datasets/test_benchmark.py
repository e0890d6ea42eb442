"""Published benchmark folders."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, FeatureError, MissingColumnError

HEADER = "userID\titemID\tx_label\n"


@pytest.fixture
def folder(tmp_path):
    """Three users, items 0 to 2 in the interactions, no test label; a picture vector also for an item 3."""
    (tmp_path / "tiny.inter").write_text(HEADER + "0\t1\t0\n0\t2\t1\n2\t0\t0\n1\t1\t0\n")
    np.save(tmp_path / "image_feat.npy", np.arange(8.0).reshape(4, 2))
    np.save(tmp_path / "text_feat.npy", np.ones((4, 3)))
    return tmp_path


def test_everything_is_there(folder):
    data, split, features = mm.datasets.load_benchmark(folder)
    assert (data.name, data.n_users, data.n_items, len(data.interactions)) == ("tiny", 3, 4, 4)
    assert split.train.to_frame().to_numpy().tolist() == [[0, 1, 1], [2, 0, 1], [1, 1, 1]]
    assert split.valid.to_frame().to_numpy().tolist() == [[0, 2, 1]]
    assert (len(split.test), split.test.shape, split.how) == (0, (3, 4), "given")
    assert features["image"].tolist() == np.arange(8).reshape(4, 2).tolist()
    assert features.dims == {"image": 2, "text": 3}
    assert features.check(data.n_items) is features


def test_without_features_and_with_ratings_and_times(tmp_path):
    header = "userID\titemID\trating\ttimestamp\tx_label\n"
    (tmp_path / "tiny.inter").write_text(header + "0\t0\t4.5\t100\t2\n0\t1\t3\t200\t0\n")
    data, split, features = mm.datasets.load_benchmark(str(tmp_path))
    assert len(features) == 0
    assert split.test.to_frame().to_numpy().tolist() == [[0, 0, 4.5, 100]]
    assert data.interactions.time.tolist() == [100, 200]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("userID\titemID\n0\t0\n", MissingColumnError, "tiny.inter: column 'x_label' is missing"),
        ("userID,itemID,x_label\n0,0,0\n", MissingColumnError, "separated by tabs"),
        (HEADER, DataError, "no interactions, only the header"),
        ("", DataError, "tiny.inter"),
        (HEADER + "0\t0\t0\nx\t0\t0\n", DataError, "line 3: userID is 'x'"),
        (HEADER + "0\t0\t0\n0\t-1\t0\n", DataError, "line 3: itemID is -1"),
        (HEADER + "0\t0.5\t0\n", DataError, "line 2: itemID is .*0.5.*, expected a whole number"),
        (HEADER + "0\t\t0\n", DataError, "line 2: itemID is empty"),
        (HEADER + "0\t0\t3\n", DataError, "line 2: x_label is 3"),
        (HEADER + "0\t0\t0\t7\n0\t0\t0\t7\n", DataError, "more fields than the first line"),
    ],
)
def test_bad_interactions_name_file_line_and_column(tmp_path, text, error, words):
    (tmp_path / "tiny.inter").write_text(text)
    with pytest.raises(error, match=words):
        mm.datasets.load_benchmark(tmp_path)


def test_bad_features_name_the_file(folder):
    file = folder / "image_feat.npy"
    np.save(file, np.ones((2, 2)))
    with pytest.raises(FeatureError, match=r"image_feat.npy has 2 rows, but the interactions name item 2"):
        mm.datasets.load_benchmark(folder)
    np.save(file, np.array([[1.0], [np.nan], [1.0], [1.0]]))
    with pytest.raises(FeatureError, match=r"image_feat.npy: .*row 1 holds NaN"):
        mm.datasets.load_benchmark(folder)
    np.save(file, np.array([["a"]] * 4, dtype=object))
    with pytest.raises(FeatureError, match=r"image_feat.npy cannot be read"):
        mm.datasets.load_benchmark(folder)
    file.write_bytes(b"\x93NUMPY")
    with pytest.raises(FeatureError, match=r"image_feat.npy cannot be read"):
        mm.datasets.load_benchmark(folder)
    np.save(file, np.ones((3, 2)))
    with pytest.raises(FeatureError, match="different numbers of rows"):
        mm.datasets.load_benchmark(folder)


def test_no_folder_no_file_two_files(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        mm.datasets.load_benchmark(tmp_path / "nowhere")
    with pytest.raises(DataError, match="found none"):
        mm.datasets.load_benchmark(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.inter").write_text(HEADER + "0\t0\t0\n")
    with pytest.raises(DataError, match=r"found a.inter, b.inter"):
        mm.datasets.load_benchmark(tmp_path)
