"""Published benchmark folders of multimodal recommendation: interactions with a given split, and item vectors."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Dataset, Features, Interactions, Media, Split
from ..errors import DataError, FeatureError, MissingColumnError

_HINT = "A benchmark folder's *.inter is separated by tabs and starts with the line: userID, itemID, x_label."
_CODES = ("userID", "itemID", "x_label")


def load_benchmark(path) -> tuple[Dataset, Split, Features]:
    """Read a folder in the format of published multimodal benchmarks (Zhou, 2023: MMRec).

    Parameters
    ----------
    path
        Folder with one ``*.inter``: separated by tabs, columns ``userID`` and ``itemID`` (codes from 0) and
        ``x_label`` (0 train, 1 validation, 2 test; a label that does not occur gives an empty part), optionally
        ``rating`` and ``timestamp`` (seconds). Optionally ``image_feat.npy``, ``text_feat.npy``, ``audio_feat.npy``
        (any ``*_feat.npy``): arrays ``(n_items, dim)`` whose row number is the item code.

    Returns
    -------
    data : Dataset
        All interactions; users and items have no attributes. There are as many items as feature rows, also when
        the last of them have no interaction.
    split : Split
        The given division, over the same codes.
    features : Features
        By modality (``"image"``, ...); empty when the folder has none.

    Raises
    ------
    DataError, MissingColumnError
        No such folder or file, a column is missing, a code that is no whole number from 0, an unknown label.
    FeatureError
        A feature file that cannot be read, has fewer rows than there are items, or holds NaN.
    """
    path = Path(path)
    file = _interaction_file(path)
    table = _read(file)
    events = Interactions(
        table["userID"],
        table["itemID"],
        table.get("rating"),
        table.get("timestamp"),
    )
    arrays = {f.name.removesuffix("_feat.npy"): _read_array(f, events.n_items) for f in sorted(path.glob("*_feat.npy"))}
    features = Features(arrays)
    n_items = max(events.n_items, features.n_items)
    events = Interactions(events.user, events.item, events.value, events.time, events.n_users, n_items)
    data = Dataset(
        events,
        pd.DataFrame(index=pd.RangeIndex(events.n_users, name="user")),
        pd.DataFrame(index=pd.RangeIndex(n_items, name="item")),
        Media(),
        name=file.stem,
    )
    label = table["x_label"].to_numpy()
    return data, Split(*(events.select(label == part) for part in range(3))), features


def _interaction_file(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder")
    files = sorted(path.glob("*.inter"))
    if len(files) != 1:
        found = ", ".join(f.name for f in files) or "none"
        raise DataError(f"{path}: expected one file *.inter, found {found}. {_HINT}")
    return files[0]


def _read(file: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # lines longer than the header
            table = pd.read_csv(file, sep="\t", low_memory=False, index_col=False)
    except pd.errors.ParserWarning:
        raise DataError(f"{file}: lines have more fields than the first line has names. {_HINT}") from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{file}: {str(error).strip()}. {_HINT}") from None
    for column in _CODES:
        if column not in table:
            raise MissingColumnError(str(file), column, list(table.columns), _HINT)
    if table.empty:
        raise DataError(f"{file} holds no interactions, only the header")
    for column in (*_CODES, "rating", "timestamp"):
        if column in table:
            table[column] = _numbers(file, table[column], whole=column in _CODES)
    wrong = np.flatnonzero(~table["x_label"].isin([0, 1, 2]))
    if len(wrong):
        label = table["x_label"].iloc[wrong[0]]
        raise DataError(f"{file}, line {wrong[0] + 2}: x_label is {label}; it must be 0 (train), 1 (valid) or 2 (test)")
    return table


def _numbers(file: Path, column: pd.Series, whole: bool) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(numbers) & (~np.asarray(whole) | ((numbers == np.floor(numbers)) & (numbers >= 0)))
    bad = np.flatnonzero(~good)
    if len(bad):
        kind = "a whole number from 0" if whole else "a number"
        found = "empty" if pd.isna(column.iloc[bad[0]]) else repr(column.iloc[[bad[0]]].tolist()[0])
        count = f" ({len(bad):,} such lines)" if len(bad) > 1 else ""
        raise DataError(
            f"{file}, line {bad[0] + 2}: {column.name} is {found}, expected {kind}{count}; correct or remove the line"
        )
    return numbers.astype(np.int64) if whole else numbers


def _read_array(file: Path, n_items: int) -> np.ndarray:
    try:
        array = np.load(file, allow_pickle=False)
        Features({file.stem: array})
    except FeatureError as error:
        raise FeatureError(f"{file}: {error}") from None
    except (ValueError, EOFError, OSError) as error:
        raise FeatureError(f"{file} cannot be read as a NumPy array ({error}); obtain the file again") from None
    if len(array) < n_items:
        raise FeatureError(
            f"{file} has {len(array)} rows, but the interactions name item {n_items - 1}: one row per item is needed, "
            "row number = item code; is the file of another version of the data set?"
        )
    return array
