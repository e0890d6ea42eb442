"""Media to vectors: text, pictures, sound, video, place, metadata, users; a cache; one space for all.

``available()`` lists the encoders, ``create(name, **options)`` makes one, and ``encode(dataset, {...})`` turns the
media of a data set into :class:`~mmrec_lib.data.Features`. Packages load when an encoder first needs them.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING

from ..errors import ParameterError, UnknownNameError
from .base import Damage, Encoded, Encoder
from .cache import FeatureCache
from .catalogue import ENTRIES
from .keeping import load
from .pipeline import encode, encode_all
from .stored import load_features, save_features

if TYPE_CHECKING:
    import pandas as pd

_PARTS = ("alignment", "audio", "finetuning", "image", "metadata", "place", "selection", "text", "users", "video")
#: What reads a model of the hub that has no entry of its own, by modality.
_ANY_MODEL = {
    "text": ("text.transformer", "TransformerText"),
    "image": ("image.pretrained", "TransformerImage"),
    "audio": ("audio.pretrained", "TransformerAudio"),
    "video": ("video", "TransformerVideo"),
}

__all__ = [
    "Damage",
    "Encoded",
    "Encoder",
    "FeatureCache",
    "available",
    "create",
    "encode",
    "encode_all",
    "get_class",
    "load",
    "load_features",
    "save_features",
    *_PARTS,
]


def available(modality: str | None = None) -> pd.DataFrame:
    """Table of all encoders, or those of one modality; the index is the name for :func:`create`.

    Columns: modality; dim (of the defaults; missing where it depends on the data); download_mb (fetched at first use);
    licence (of the weights); offline (works without a network); needs_fit (learns from your items first); about.
    """
    import pandas as pd

    known = sorted({entry.modality for entry in ENTRIES.values()})
    if modality is not None and modality not in known:
        raise UnknownNameError("modality", modality, known)
    columns = ("modality", "dim", "download_mb", "licence", "offline", "needs_fit", "about")
    rows = {name: [getattr(entry, c) for c in columns] for name, entry in ENTRIES.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).astype({"dim": "Int64"})
    table.index.name = "name"
    return table if modality is None else table[table["modality"] == modality]


def get_class(name: str) -> type[Encoder]:
    """The class behind a registered name."""
    entry = ENTRIES[_key(name)]
    return _class(entry.module, entry.cls)


def create(name: str, modality: str | None = None, **options) -> Encoder:
    """Make an encoder by name.

    Parameters
    ----------
    name
        A row of :func:`available`; or, together with ``modality``, any model of the Hugging Face hub (``"org/model"``)
        or a folder that holds one.
    modality
        Needed only for models without an entry: text, image, audio or video.
    options
        Settings of the encoder's class; the rest keep their defaults.

    Raises
    ------
    UnknownNameError, ParameterError
        No such encoder; a setting that it does not have; an encoder of another modality.

    >>> create("log-mel").modality
    'audio'
    """
    entry = ENTRIES.get(_key(name, must=False))
    if entry is None:
        if "/" not in name or modality not in _ANY_MODEL:
            raise UnknownNameError("encoder", name, ENTRIES)
        cls, options = _class(*_ANY_MODEL[modality]), {"model": name} | options
    else:
        if modality is not None and entry.modality != modality:
            raise ParameterError(f"encoder {name!r} reads {entry.modality}, not {modality}")
        cls, options = _class(entry.module, entry.cls), entry.options | options
    known = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    for option in options:
        if option not in known:
            raise ParameterError(f"{cls.__name__} has no setting {option!r}; it has {', '.join(known) or 'none'}")
    encoder = cls(**options)
    encoder.name = name if entry is None else _key(name)
    return encoder


def _key(name: str, must: bool = True) -> str:
    key = str(name).lower().replace("_", "-")
    if must and key not in ENTRIES:
        raise UnknownNameError("encoder", name, ENTRIES)
    return key


def _class(module: str, cls: str) -> type[Encoder]:
    return getattr(importlib.import_module(f"{__name__}.{module}"), cls)


def __getattr__(name: str):
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
