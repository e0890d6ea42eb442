"""A bundle: everything that a service needs to recommend, in one folder that is checked before it is believed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd

from .. import __version__, models
from ..data import Dataset, Features, Media
from ..datasets.download import sha256_of
from ..encoders import Encoder
from ..errors import BundleError, DataError, MMRecError
from ..evaluation import Report
from ..models import Recommender
from .export import load_encoder
from .index import Index, load_index

SCHEMA = 1
_HEADER = "bundle.json"
#: Sides of pictures in a bundle, in pixels; files of other media are copied as they are.
PICTURE_SIZE = 256


@dataclass(eq=False)
class Bundle:
    """A fitted model with what belongs to it.

    Attributes
    ----------
    model : Recommender
        Fitted on users and items in the order of the tables.
    users, items : DataFrame
        Raw ids in the index; row number is the code.
    features : Features, optional
        Vectors of the items; search and new items need them.
    encoders : dict of Encoder
        Modality of ``features`` to what made it; search and new items need them.
    media : Media
        Texts, and paths of files; of a loaded bundle, small pictures inside its folder.
    index : Index, optional
        Over the vectors of the model's items: :class:`Engine` then scores what it finds, in place of all items.
    report : DataFrame, optional
        Summary of an evaluation: metric to mean and interval.
    info : dict
        Name, time (UTC), version of the library, and whatever is added.
    """

    model: Recommender
    users: pd.DataFrame
    items: pd.DataFrame
    features: Features | None = None
    encoders: dict[str, Encoder] = field(default_factory=dict)
    media: Media = field(default_factory=Media)
    index: Index | None = None
    report: pd.DataFrame | None = None
    info: dict = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Recommender,
        data: Dataset,
        features: Features | None = None,
        encoders: dict[str, Encoder] | None = None,
        index: Index | None = None,
        report: Report | None = None,
        **info,
    ) -> Bundle:
        """From a fitted model and the data set that it learned from.

        Raises :class:`DataError` where model, data set and features count other users or items.
        """
        model._check_users([])  # fitted?
        if (model.n_users_, model.n_items_) != (data.n_users, data.n_items):
            raise DataError(
                f"the model counts {(model.n_users_, model.n_items_)} users and items, the data set "
                f"{(data.n_users, data.n_items)}: give the data set that the model was fitted on"
            )
        if features is not None:
            features.check(data.n_items)
        for name in encoders or {}:
            if features is None or name not in features:
                raise DataError(f"encoders names {name!r}, but there are no features of that name")
        told = {"name": data.name, "created": datetime.now(timezone.utc).isoformat(timespec="seconds")} | info
        summary = None if report is None else report.summary
        return cls(model, data.users, data.items, features, dict(encoders or {}), data.media, index, summary, told)

    def __repr__(self) -> str:
        parts = [f"{len(self.users):,} users", f"{len(self.items):,} items", type(self.model).__name__]
        if self.features is not None:
            parts.append("+".join(self.features))
        return f"Bundle({self.info.get('name', 'unnamed')!r}: {', '.join(parts)})"

    def save(self, path, media: bool = True) -> Path:
        """Write the folder ``path`` (safetensors, JSON, Parquet; no pickle); a bundle there is replaced in one step.

        With ``media`` the bundle carries texts, small pictures, and sounds and films as they are, so that it can be
        moved to another machine. When writing fails nothing half-written is left. Raises :class:`BundleError` where
        ``path`` is something else than a bundle.
        """
        path = Path(path)
        if path.exists() and not (path / _HEADER).is_file() and (path.is_file() or any(path.iterdir())):
            raise BundleError(f"{path} exists and is no bundle: name a new folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            self._write(scratch, media)
            os.chmod(scratch, 0o755)
            _replace(scratch, path)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        return path

    def _write(self, folder: Path, media: bool) -> None:
        self.model.save(folder / "model")
        for name, table in (("users", self.users), ("items", self.items), ("report", self.report)):
            if table is not None:
                _write_table(table, folder / f"{name}.parquet")
        if self.features is not None:
            _write_features(self.features, folder / "features.safetensors")
        for name, encoder in self.encoders.items():
            encoder.save(folder / "encoders" / name)
        if self.index is not None:
            self.index.save(folder / "index")
        if media:
            _write_media(self.media, folder)
        header = {
            "schema": SCHEMA,
            "library": __version__,
            "model": self.model.name,
            "modalities": [] if self.features is None else list(self.features),
            "encoders": {name: encoder.fingerprint for name, encoder in self.encoders.items()},
            "info": self.info,
            "files": {str(f.relative_to(folder)): sha256_of(f) for f in sorted(folder.rglob("*")) if f.is_file()},
        }
        text = json.dumps(header, indent=1, ensure_ascii=False, default=str)
        (folder / _HEADER).write_text(text + "\n", encoding="utf-8")


def load_bundle(path) -> Bundle:
    """Read a bundle that :meth:`Bundle.save` wrote, after every file was found to be what was written.

    Raises :class:`BundleError` when files are missing, changed or added, or of a newer schema.
    """
    path = Path(path)
    header = _read_header(path)
    _verify(path, header["files"])
    try:
        return Bundle(
            model=_load_model(path / "model"),
            users=_read_table(path / "users.parquet"),
            items=_read_table(path / "items.parquet"),
            features=_read_features(path / "features.safetensors") if header["modalities"] else None,
            encoders={name: load_encoder(path / "encoders" / name) for name in header["encoders"]},
            media=_read_media(path),
            index=load_index(path / "index") if (path / "index").is_dir() else None,
            report=_read_table(path / "report.parquet") if (path / "report.parquet").is_file() else None,
            info=header["info"] | {"library": header["library"], "checksum": sha256_of(path / _HEADER)},
        )
    except BundleError:
        raise
    except (MMRecError, OSError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: {error}") from error


def _load_model(folder: Path) -> Recommender:
    """A model of the library, or one in stages."""
    from .stages import TwoStage

    header = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return TwoStage.load(folder) if header.get("model") == TwoStage.name else models.load(folder)


# -- pieces --------------------------------------------------------------------------------------------------------
def _replace(new: Path, path: Path) -> None:
    old = new.with_suffix(".old")
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    shutil.rmtree(old, ignore_errors=True)


def _read_header(path: Path) -> dict:
    try:
        header = json.loads((path / _HEADER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path} holds no bundle: {_HEADER} is missing") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / _HEADER} is damaged ({error}); write the bundle again") from None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else None
        raise BundleError(f"{path} has schema {found}; this library ({__version__}) reads {SCHEMA}")
    return header


def _verify(path: Path, files: dict[str, str]) -> None:
    there = {str(f.relative_to(path)) for f in path.rglob("*") if f.is_file()} - {_HEADER}
    for name in sorted(there ^ set(files)):
        state = "is missing" if name in files else "does not belong to the bundle"
        raise BundleError(f"{path}: {name} {state}; write or copy the bundle again")
    for name, expected in files.items():
        if sha256_of(path / name) != expected:
            raise BundleError(f"{path}: {name} is not the file that was written; write or copy the bundle again")


def _write_table(table: pd.DataFrame, file: Path) -> None:
    plain = table.copy()
    for column in plain:  # mixed types that Parquet does not know
        if plain[column].dtype == object and len(set(plain[column].map(type))) > 1:
            plain[column] = plain[column].map(lambda value: None if value is None else str(value))
    plain.to_parquet(file)


def _read_table(file: Path) -> pd.DataFrame:
    return pd.read_parquet(file)


def _write_features(features: Features, file: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(vectors) for name, vectors in features.items()}
    masks = {f"mask:{name}": features.mask[name] for name in features}
    save_file(arrays | masks, file, metadata={"modalities": json.dumps(list(features))})


def _read_features(file: Path) -> Features:
    from safetensors import safe_open

    with safe_open(file, "numpy") as opened:
        names = json.loads(opened.metadata()["modalities"])
        arrays = {name: opened.get_tensor(name) for name in names}
        return Features(arrays, {name: opened.get_tensor(f"mask:{name}") for name in names})


def _write_media(media: Media, folder: Path) -> None:
    """Texts and the names of files as a table; files under ``media/``, named by item code."""
    columns: dict[str, list[str | None]] = {}
    for name in media:
        columns[name] = [_keep(entry, code, folder / "media" / name) for code, entry in enumerate(media[name])]
    if columns:
        pd.DataFrame(columns).to_parquet(folder / "media.parquet")


def _keep(entry: str | Path | None, code: int, folder: Path) -> str | None:
    if entry is None:
        return None
    if isinstance(entry, str):
        return f"text:{entry}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        name = f"{code}.png"
        small_picture(entry).save(folder / name)
    except (OSError, ValueError, SyntaxError):  # no picture: a sound or a film
        name = f"{code}{Path(entry).suffix.lower()}"
        if not Path(entry).is_file():
            return None
        shutil.copyfile(entry, folder / name)
    return f"file:{folder.name}/{name}"


def small_picture(file):
    """The picture on white, at most :data:`PICTURE_SIZE` pixels wide and high."""
    from PIL import Image

    with Image.open(file) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    sheet = Image.new("RGBA", picture.size, "white")
    sheet.alpha_composite(picture)
    return sheet.convert("RGB")


def _read_media(path: Path) -> Media:
    if not (path / "media.parquet").is_file():
        return Media()
    table = pd.read_parquet(path / "media.parquet")

    def entry(value):
        if not isinstance(value, str):
            return None
        kind, _, rest = value.partition(":")
        return rest if kind == "text" else path / "media" / rest

    return Media({name: [entry(value) for value in table[name]] for name in table})
