"""A data set's media to Features: several encoders, one cache, one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data import Dataset, Features
from ..errors import DataError, ParameterError, UnknownNameError
from .base import Encoded, Encoder
from .cache import FeatureCache

#: Modalities that are read from a data set's media; others read its tables.
_MEDIA = ("text", "image", "audio", "video")


def encode(
    dataset: Dataset,
    encoders: Mapping[str, str | Encoder | tuple[str, str | Encoder]],
    *,
    labels: Sequence | None = None,
    batch_size: int | str = "auto",
    device="auto",
    cache: FeatureCache | str | Path | None = "default",
) -> Features:
    """Vectors of all items, by modality.

    Parameters
    ----------
    dataset
        Its ``media`` are read (and its ``items``, by encoders of metadata, place and time).
    encoders
        Name in the result to encoder: a registered name, a model of the hub (``"org/model"``), or an
        :class:`Encoder`. The name is that of the medium, ``{"image": "hog"}``; where one medium is read by several
        encoders, or under another name, give a pair, ``{"shape": ("image", "hog")}``.
    labels
        One per item, for encoders that are trained in place and learn better with them. Never give what the features
        will be asked to predict for test users; the item's category is fine.
    batch_size, device
        See :meth:`Encoder.encode`.
    cache
        Folder of vectors that exist already; those that do are not computed again. ``"default"`` is the library's own
        (see :class:`FeatureCache`), ``None`` keeps nothing.

    Returns
    -------
    Features
        float32 ``(n_items, dim)`` for each name, with a mask: items without the medium, and items whose file is
        damaged (named in a :class:`~mmrec_lib.errors.MediaWarning`), have a masked row of zeros.

    Encoders that learn in place learn from all items of the data set, never from interactions.
    """
    parts = encode_all(dataset, encoders, labels=labels, batch_size=batch_size, device=device, cache=cache)
    return Features({name: part.vectors for name, part in parts.items()}, {n: part.mask for n, part in parts.items()})


def encode_all(
    dataset: Dataset, encoders: Mapping, *, labels=None, batch_size="auto", device="auto", cache="default"
) -> dict[str, Encoded]:
    """Like :func:`encode`, but what each run gave: vectors, mask, damaged files, counts, seconds."""
    if not encoders:
        raise ParameterError('encoders is empty: name at least one, as in {"text": "minilm"}')
    cache = FeatureCache() if cache == "default" else cache
    plan = {name: _resolve(dataset, name, wanted) for name, wanted in encoders.items()}  # all checked before any runs
    done = {}
    for name, (medium, encoder) in plan.items():
        items = encoder.items_of(dataset, medium)
        if len(items) != dataset.n_items:
            raise DataError(f"{encoder.name} reads {len(items)} entries; the data set has {dataset.n_items} items")
        if encoder.needs_fit and not encoder.fitted_on_:
            encoder.fit_when_needed(items, labels)
        done[name] = encoder.run(items, batch_size, device, cache)
    return done


def _resolve(dataset: Dataset, name: str, wanted) -> tuple[str, Encoder]:
    from . import ENTRIES, create

    medium, encoder = wanted if isinstance(wanted, tuple) else (name, wanted)
    if isinstance(encoder, str) and encoder in ENTRIES and ENTRIES[encoder].modality == "user":
        encoder = create(encoder)  # refused below, with what to do instead
    if isinstance(encoder, str):
        modality = _modality(medium)
        # a medium of another name (under which it stands in the result) says nothing about what its encoder reads
        encoder = create(encoder, modality=modality if modality in _MEDIA or encoder not in ENTRIES else None)
    if not isinstance(encoder, Encoder):
        raise ParameterError(f"encoders[{name!r}]={encoder!r}: give the name of an encoder, an Encoder, or a pair")
    if encoder.modality == "user":
        raise ParameterError(f"encoders[{name!r}]: {encoder.name} makes vectors of users; call its encode(...) itself")
    if encoder.modality in _MEDIA and medium not in dataset.media:
        raise UnknownNameError("medium of the data set", medium, dataset.media)
    return medium, encoder


def _modality(medium: str) -> str:
    """The modality of a medium by its name: ``text_zh`` is text."""
    named = next((m for m in _MEDIA if medium == m or medium.startswith(f"{m}_")), medium)
    return "audio" if named == "speech" else named
