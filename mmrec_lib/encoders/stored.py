"""Features in a folder: one ``.npy`` file a modality, with masks, the ids of the items, and a summary."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Features
from ..errors import DataError

_IDS, _SUMMARY = "items.json", "summary.json"
_REMEDY = "write it anew with `mmrec encode`"


def save_features(folder, features: Features, items: pd.Index, summary: dict | None = None) -> Path:
    """Write features to a folder, made if need be; files of the same names are replaced when all are complete.

    ``<modality>.npy`` holds float32 ``(n_items, dim)``, ``<modality>.mask.npy`` bool ``(n_items,)``, ``items.json`` the
    ids in the order of the rows (``dataset.items.index``), ``summary.json`` whatever ``summary`` says.
    """
    features.check(len(items))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as scratch:
        for modality, vectors in features.items():
            np.save(Path(scratch, f"{modality}.npy"), vectors)
            np.save(Path(scratch, f"{modality}.mask.npy"), features.mask[modality])
        Path(scratch, _IDS).write_text(json.dumps([str(item) for item in items], ensure_ascii=False), encoding="utf-8")
        text = json.dumps(summary or {}, indent=1, ensure_ascii=False)
        Path(scratch, _SUMMARY).write_text(text, encoding="utf-8")
        for file in sorted(Path(scratch).iterdir(), key=lambda file: file.name == _SUMMARY):
            os.replace(file, folder / file.name)
    return folder


def load_features(folder, items: pd.Index | None = None) -> Features:
    """Read what :func:`save_features` or ``mmrec encode`` wrote.

    With ``items`` (``dataset.items.index``) the rows are brought into that order by their ids; an item that the folder
    does not know gets a masked row. Raises :class:`DataError` when files are missing or do not fit together.
    """
    folder = Path(folder)
    try:
        ids = json.loads((folder / _IDS).read_text(encoding="utf-8"))
        files = sorted(f for f in folder.glob("*.npy") if not f.name.endswith(".mask.npy"))
        arrays = {file.stem: np.load(file) for file in files}
        masks = {name: np.load(folder / f"{name}.mask.npy") for name in arrays}
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no complete folder of features ({error}); {_REMEDY}") from None
    if not arrays or any(len(array) != len(ids) for array in arrays.values()):
        raise DataError(f"{folder}: {_IDS} and the arrays differ in length; {_REMEDY}")
    if items is not None:
        rows = pd.Index(ids).get_indexer(pd.Index([str(item) for item in items]))
        arrays = {name: array[rows] for name, array in arrays.items()}
        masks = {name: mask[rows] & (rows >= 0) for name, mask in masks.items()}
    return Features(arrays, masks)
