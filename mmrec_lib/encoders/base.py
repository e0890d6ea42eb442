"""The one protocol of all encoders: media in, vectors out; with what is shared by classic and pretrained ones."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, NotFittedError, ParameterError

if TYPE_CHECKING:
    import torch

    from .cache import FeatureCache


@dataclass(frozen=True)
class Damage:
    """An item whose medium could not be turned into a vector: row ``item``, the file's ``name``, and the ``reason``."""

    item: int
    name: str
    reason: str


@dataclass
class Encoded:
    """What a run of an encoder gave.

    Attributes
    ----------
    vectors : float32 (n, dim)
        Zeros where there is no vector.
    mask : bool (n,)
        Which rows are real: False for ``None`` and for what could not be read.
    damaged : list of Damage
        What could not be read, in the order of the items.
    n_cached, n_encoded : int
        Items whose vector came from the cache, and items that were encoded now (equal items count once).
    seconds : float
    """

    vectors: np.ndarray
    mask: np.ndarray
    damaged: list[Damage] = field(default_factory=list)
    n_cached: int = 0
    n_encoded: int = 0
    seconds: float = 0.0


class Encoder:
    """Base class: turns a list of media into float32 vectors, one row an item.

    Settings are the arguments of the constructor, stored under their own names. What is learned by :meth:`fit` ends in
    an underscore. A subclass writes

    ``dim``
        Length of a vector (a property or attribute; it may be known only after ``fit``).
    ``_open(item)``
        Reads one item (a file, a text) into what ``_encode`` wants; raises whatever its decoder raises when the item
        is damaged. Runs in a thread beside the encoding of the batch before. Default: the item itself.
    ``_encode(batch, device)``
        Vectors ``(len(batch), dim)`` of opened items, on a torch device.
    ``_fit(items, labels, device)``
        Only where ``needs_fit``: learns from items (none is ``None``) and, where there are any, their labels.
    ``_weights_id()``
        Only for pretrained encoders: a string that changes when the weights do; must not load the model.
    """

    #: Registered name, as in ``mm.encoders.create(name)``.
    name: str = ""
    #: What it reads: text, image, audio, video, place, time, metadata, user.
    modality: str = ""
    #: Raise it when a change of the code changes the vectors, so that cached ones are not taken for new ones.
    version: int = 1
    #: Must it learn from items (:meth:`fit`) before it can encode?
    needs_fit: bool = False
    #: Are its items files? Then a ``str`` is the name of one.
    reads_files: bool = False
    #: Settings that do not change the vectors, and so stay out of the fingerprint.
    not_in_fingerprint: tuple[str, ...] = ()
    #: Items a batch, by kind of device; what ``batch_size="auto"`` means, until memory runs out.
    batch_sizes: dict[str, int] = {"cpu": 32, "cuda": 128, "mps": 64}  # noqa: RUF012 - read only

    # -- what it is ------------------------------------------------------------------------------------------------
    @property
    def dim(self) -> int:
        """Length of a vector."""
        raise NotImplementedError

    def get_params(self) -> dict[str, Any]:
        """Settings by name."""
        return {p: getattr(self, p) for p in inspect.signature(type(self).__init__).parameters if p != "self"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    @property
    def fingerprint(self) -> str:
        """Hash of class, version, settings and weights: equal fingerprints give equal vectors."""
        settings = {k: v for k, v in self.get_params().items() if k not in self.not_in_fingerprint}
        parts = [type(self).__name__, self.name, self.version, settings, self._weights_id(), self.fitted_on_]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def _weights_id(self) -> str:
        return ""

    # -- learning --------------------------------------------------------------------------------------------------
    #: Hash of what ``fit`` learned from; empty before, and for encoders that learn nothing here.
    fitted_on_: str = ""

    def fit(self, items: Sequence, labels: Sequence | None = None, device: str | torch.device = "auto") -> Encoder:
        """Learn from items and return self; an encoder that has nothing to learn does nothing.

        Parameters
        ----------
        items
            As for :meth:`encode`; ``None`` and what cannot be read is left out.
        labels
            One per item (categories, say), for encoders that learn better with them; see the class.
        device
            ``"auto"``: CUDA, then MPS, then CPU.

        Raises
        ------
        DataError
            There is nothing to learn from, or labels and items differ in number.
        """
        if not self.needs_fit:
            return self
        self._pending = None
        there, known = self._to_learn_from(items, labels)
        self._fit(there, known, device)
        self.fitted_on_ = corpus_key(there, known)
        return self

    #: Items and labels that :meth:`fit_when_needed` was given and nothing has needed yet.
    _pending: tuple[list, list | None] | None = None

    def fit_when_needed(self, items: Sequence, labels: Sequence | None = None) -> Encoder:
        """Like :meth:`fit`, but learn only when the first item has to be encoded: not when all vectors are cached."""
        if self.needs_fit:
            self._pending = self._to_learn_from(items, labels)
            self.fitted_on_ = corpus_key(*self._pending)
        return self

    def settle(self, device: str | torch.device = "auto") -> None:
        """Do what :meth:`fit_when_needed` put off."""
        if self._pending is not None:
            (items, labels), self._pending = self._pending, None
            self._fit(items, labels, device)

    def _to_learn_from(self, items: Sequence, labels: Sequence | None) -> tuple[list, list | None]:
        items = self.as_items(items)
        if labels is not None and len(labels) != len(items):
            raise DataError(f"{self.name}.fit: {len(labels)} labels for {len(items)} items: give one each")
        there = [i for i, item in enumerate(items) if item is not None]
        if not there:
            raise DataError(f"{self.name}.fit: there is no item to learn from (all are None)")
        return [items[i] for i in there], None if labels is None else [labels[i] for i in there]

    def as_items(self, items: Sequence) -> list:
        """The items as a list; names of files become paths where the encoder reads files."""
        if isinstance(items, (str, Path)):
            raise ParameterError(f"items={str(items)[:60]!r}: give a list, one entry an item")
        return [Path(item) if self.reads_files and isinstance(item, str) else item for item in items]

    def _fit(self, items: list, labels: list | None, device) -> None:
        raise NotImplementedError

    def check_fitted(self) -> None:
        """Raise :class:`NotFittedError` when the encoder must learn first."""
        if self.needs_fit and not self.fitted_on_:
            raise NotFittedError(
                f"encoder {self.name!r} has not learned yet: call fit(items) first, "
                "or mm.encoders.encode(dataset, ...), which does"
            )

    # -- encoding --------------------------------------------------------------------------------------------------
    def encode(
        self, items: Sequence, batch_size: int | str = "auto", device: str | torch.device = "auto"
    ) -> np.ndarray:
        """Vectors of items, float32 ``(len(items), dim)``.

        Parameters
        ----------
        items
            Texts (``str``), files (``Path`` or ``str``), or what the class says; ``None`` gives a row of zeros.
        batch_size
            Items encoded at once; ``"auto"`` takes what suits encoder and device. When memory runs out, a batch is
            halved and tried again.
        device
            ``"auto"``: CUDA, then MPS, then CPU.

        What cannot be read is named in a :class:`~mmrec_lib.errors.MediaWarning` and gets a row of zeros;
        :meth:`run` also says which rows these are. Raises :class:`NotFittedError` where :meth:`fit` comes first.
        """
        return self.run(items, batch_size, device).vectors

    def run(
        self,
        items: Sequence,
        batch_size: int | str = "auto",
        device: str | torch.device = "auto",
        cache: FeatureCache | str | Path | None = None,
    ) -> Encoded:
        """Like :meth:`encode`, with the mask, what was damaged, and a cache of vectors that exist already."""
        from .engine import run

        return run(self, items, batch_size, device, cache)

    def items_of(self, dataset, medium: str) -> list:
        """What this encoder reads of a data set, one entry an item. Default: ``dataset.media[medium]``."""
        return dataset.media[medium]

    def plan(self, items: list, batch_size: int) -> list[list[int]]:
        """Batches of row numbers. Depends on items and batch size alone, so that an interrupted run makes the same
        batches again. Default: in order of :meth:`_cost`, the costly first, so that one batch holds like sizes."""
        costs = [self._cost(item) for item in items]
        order = sorted(range(len(items)), key=lambda row: -costs[row])  # stable
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    def _cost(self, item) -> float:
        """How much work an item is, for ordering only; equal costs keep the order of the items."""
        return 0.0

    def _open(self, item):
        return item

    def _encode(self, batch: list, device: torch.device) -> np.ndarray:
        raise NotImplementedError

    # -- keeping ---------------------------------------------------------------------------------------------------
    def save(self, path) -> Path:
        """Write settings and what was learned to the folder ``path`` (JSON and safetensors; no pickle)."""
        from .keeping import save

        return save(self, path)

    def _network(self):
        """The untrained ``nn.Module`` of an encoder that keeps one in ``network_``; used when it is loaded again."""
        raise NotImplementedError


# -- identity of items ---------------------------------------------------------------------------------------------
def content_key(item) -> bytes:
    """SHA-256 of what an item contains: the text, the bytes of a file, the files of a folder, the values of an array.

    Two files with the same bytes have the same key, whatever their names.
    """
    digest = hashlib.sha256()
    if isinstance(item, str):
        digest.update(b"text\0" + item.encode("utf-8", "surrogatepass"))
    elif isinstance(item, Path):
        for file in sorted(item.iterdir()) if item.is_dir() else [item]:
            digest.update(b"file\0" + (file.name.encode() if item.is_dir() else b""))
            with open(file, "rb") as handle:
                while chunk := handle.read(2**20):
                    digest.update(chunk)
    elif isinstance(item, np.ndarray):
        digest.update(f"array\0{item.dtype}{item.shape}".encode() + np.ascontiguousarray(item).tobytes())
    else:
        digest.update(b"value\0" + json.dumps(item, sort_keys=True, default=_plain).encode())
    return digest.digest()


def _plain(value):
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    return value.item() if isinstance(value, np.generic) else str(value)


def corpus_key(items: Sequence, labels: Sequence | None) -> str:
    """One hash for a list of items and their labels; a file that cannot be opened counts by its name."""
    digest = hashlib.sha256()
    for item in items:
        try:
            digest.update(content_key(item))
        except OSError:
            digest.update(str(item).encode())
    digest.update(json.dumps(None if labels is None else [str(label) for label in labels]).encode())
    return digest.hexdigest()
