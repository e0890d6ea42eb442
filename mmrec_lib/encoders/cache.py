"""Vectors kept from run to run: one memory-mapped array and one list of ids for each encoder.

A folder per fingerprint holds ``vectors.f32`` (rows of float32, appended), ``ids.log`` (which row is which item) and
``meta.json``. Rows are written first, then one record of ids with a check sum; a row counts only when its record is
complete. So a run may be killed at any moment: what it finished stays, what it had begun is overwritten. Writers
take turns by a lock on the folder, and several processes, on one machine or a shared disk, may use one cache.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import __version__
from ..datasets.download import cache_dir, locked
from ..errors import DataError
from .base import Encoder

_ID = 32  # bytes of a SHA-256
_HEAD = struct.Struct("<II")  # number of ids, CRC-32 of the ids


class FeatureCache:
    """All vectors under one folder, by encoder.

    Parameters
    ----------
    root
        Default: ``features`` in the library's cache folder (``MMREC_CACHE``, see
        :func:`mmrec_lib.datasets.download.cache_dir`).
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = cache_dir() / "features" if root is None else Path(root)

    def __repr__(self) -> str:
        return f"FeatureCache({str(self.root)!r})"

    def open(self, encoder: Encoder) -> Store:
        """The vectors of one encoder, with its present weights and settings."""
        fingerprint = encoder.fingerprint
        name = re.sub(r"[^\w.-]+", "-", encoder.name)
        return Store(self.root / f"{name}-{fingerprint[:16]}", encoder, fingerprint)


class Store:
    """Vectors of one encoder: ``key in store``, ``get(keys)``, ``append(keys, vectors)``; keys are SHA-256 digests."""

    def __init__(self, folder: Path, encoder: Encoder, fingerprint: str) -> None:
        self.folder, self._encoder, self._fingerprint = folder, encoder, fingerprint
        self._rows: dict[bytes, int] = {}
        self._read_to = 0  # bytes of ids.log that are understood
        self.dim: int | None = None
        self.refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    @property
    def _vectors(self) -> Path:
        return self.folder / "vectors.f32"

    @property
    def _ids(self) -> Path:
        return self.folder / "ids.log"

    def refresh(self) -> None:
        """Take in what other processes have written since."""
        meta = self.folder / "meta.json"
        if not meta.exists() or not self._ids.exists():
            return
        try:
            found = json.loads(meta.read_text(encoding="utf-8"))
            self.dim = int(found["dim"])
            same = found["fingerprint"] == self._fingerprint
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise DataError(f"{meta} is damaged or belongs to another encoder; delete the folder {self.folder}")
        with open(self._ids, "rb") as file:
            file.seek(self._read_to)
            log = file.read()
        rows_there = self._vectors.stat().st_size // (4 * self.dim) if self._vectors.exists() else 0
        at, next_row = 0, len(self._rows)
        while at + _HEAD.size <= len(log):
            count, check = _HEAD.unpack_from(log, at)
            end = at + _HEAD.size + count * _ID
            ids = log[at + _HEAD.size : end]
            if end > len(log) or not count or zlib.crc32(ids) != check or next_row + count > rows_there:
                break
            self._rows.update({ids[k * _ID : (k + 1) * _ID]: next_row + k for k in range(count)})
            at, next_row = end, next_row + count
        self._read_to += at

    def append(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep vectors ``(len(keys), dim)``; keys that another process has written meanwhile are passed over."""
        with locked(self.folder):
            self._describe(vectors.shape[1])
            self.refresh()
            fresh = {key: row for row, key in enumerate(keys) if key not in self._rows}
            if not fresh:
                return
            rows = np.ascontiguousarray(vectors[list(fresh.values())], dtype="<f4")
            ids = b"".join(fresh)
            _write_at(self._vectors, len(self._rows) * 4 * rows.shape[1], rows.tobytes())
            # only now do these rows exist: a break before or within this write leaves no complete record
            _write_at(self._ids, self._read_to, _HEAD.pack(len(fresh), zlib.crc32(ids)) + ids)
            self.refresh()

    def get(self, keys: Sequence[bytes]) -> np.ndarray:
        """Vectors of keys that are there, float32 ``(len(keys), dim)``."""
        if any(key not in self._rows for key in keys):
            self.refresh()
        rows = np.array([self._rows[key] for key in keys], np.int64)
        if not len(rows):
            return np.zeros((0, self.dim or 0), np.float32)
        return np.array(np.memmap(self._vectors, "<f4", "r").reshape(-1, self.dim)[rows])

    def _describe(self, dim: int) -> None:
        from ..training.loop import write_atomically

        if (self.folder / "meta.json").exists():
            return
        meta = {
            "encoder": self._encoder.name,
            "modality": self._encoder.modality,
            "dim": dim,
            "settings": self._encoder.get_params(),
            "fingerprint": self._fingerprint,
            "library": __version__,
        }
        write_atomically(self.folder / "meta.json", json.dumps(meta, indent=1, default=str).encode())
        self.dim = dim
        self._ids.touch()


def _write_at(path: Path, offset: int, content: bytes) -> None:
    """Write at a place of a file, cut off what an interrupted run left behind it, and wait until it is on the disk."""
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
