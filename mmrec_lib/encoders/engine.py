"""Running an encoder over many items: batches, a reading thread, memory that runs out, damage, cache, processes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from ..errors import MediaWarning, ParameterError
from ..training import device as devices
from . import distributed
from .base import Damage, Encoded, Encoder, content_key
from .cache import FeatureCache, Store

_READERS = 2  # threads that open the items of the next batch
_SHOWN = 5  # damaged files named in the warning


def run(encoder: Encoder, items: Sequence, batch_size="auto", device="auto", cache=None) -> Encoded:
    """See :meth:`mmrec_lib.encoders.Encoder.run`."""
    start = time.perf_counter()
    encoder.check_fitted()
    if batch_size != "auto" and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise ParameterError(f'batch_size={batch_size!r}: give a whole number of at least 1, or "auto"')
    items = encoder.as_items(items)
    work = _Work(encoder, items, cache)
    work.do(batch_size, device)
    result = work.result()
    result.seconds = time.perf_counter() - start
    if result.damaged:
        _warn(encoder, items, result.damaged)
    return result


class _Work:
    """Distinct items of a run, where their vectors are, and what went wrong."""

    def __init__(self, encoder: Encoder, items: list, cache) -> None:
        self.encoder, self.items = encoder, items
        self.damaged: dict[int, str] = {}  # first row of a distinct item to reason
        self.store: Store | None = None if cache is None else _as_cache(cache).open(encoder)
        self.first = self._distinct()  # row of each item to the first row with the same content; -1 for None
        self.rows = sorted(set(self.first.tolist()) - {-1} - set(self.damaged))
        self.found: dict[int, np.ndarray] = {}
        self.n_encoded = self.n_cached = 0

    def _distinct(self) -> np.ndarray:
        """Equal items are encoded once; without a cache nothing is hashed, and each item counts for itself."""
        first = np.full(len(self.items), -1, np.int64)
        self.keys: dict[int, bytes] = {}
        seen: dict[bytes, int] = {}
        for row, item in enumerate(self.items):
            if item is None:
                continue
            first[row] = row
            if self.store is None:
                continue
            try:
                key = content_key(item)
            except OSError as error:
                self.damaged[row] = _reason(error)
                continue
            first[row] = seen.setdefault(key, row)
            self.keys[first[row]] = key
        return first

    def do(self, batch_size, device) -> None:
        rank, world = distributed.rank_and_world()
        if world > 1 and self.store is None:
            raise ParameterError("several processes share their work through the cache: give cache=<a folder>")
        known = {row for row in self.rows if self.store is not None and self.keys[row] in self.store}
        self.n_cached = len(known)
        if len(known) < len(self.rows):
            # resolved only when there is work: a run from the cache alone does not wait for torch
            device = distributed.own_device(devices.resolve(device))
            size = self.encoder.batch_sizes.get(device.type, 32) if batch_size == "auto" else batch_size
            plan = self.encoder.plan([self.items[row] for row in self.rows], size)
            batches = [[self.rows[i] for i in batch] for batch in plan]
            missing = [[row for row in batch if row not in known] for batch in batches]
            self._encode([batch for batch in missing if batch][rank::world], device)
        if world > 1:
            gathered = distributed.gather((self.damaged, self.n_encoded))
            self.damaged = {row: reason for part, _ in gathered for row, reason in part.items()}
            self.n_encoded = sum(n for _, n in gathered)

    def _encode(self, batches: list[list[int]], device) -> None:
        total = sum(map(len, batches))
        name = f"encoding with {self.encoder.name}"
        with tqdm(total=total, desc=name, unit="item", disable=None, leave=False) as bar:
            for batch, opened in self._opened(batches):
                good = [row for row, item in zip(batch, opened, strict=True) if row not in self.damaged]
                if good:
                    self.encoder.settle(device)
                    vectors = _encode_halving(self.encoder, [x for x in opened if x is not None], device)
                    self._keep(good, vectors)
                bar.update(len(batch))

    def _opened(self, batches: list[list[int]]) -> Iterator[tuple[list[int], list]]:
        """Batches with their items read; the next batch is read while one is encoded."""
        with ThreadPoolExecutor(_READERS) as pool:
            coming = None
            for batch in [*batches, None]:
                submitted = None if batch is None else (batch, [pool.submit(self._open, row) for row in batch])
                if coming is not None:
                    yield coming[0], [future.result() for future in coming[1]]
                coming = submitted

    def _open(self, row: int):
        try:
            opened = self.encoder._open(self.items[row])
        except MemoryError:
            raise
        except Exception as error:  # every decoder has errors of its own; none may stop a run of a million
            self.damaged[row] = _reason(error)
            return None
        if opened is None:
            self.damaged[row] = "nothing in it"
        return opened

    def _keep(self, rows: list[int], vectors: np.ndarray) -> None:
        finite = np.isfinite(vectors).all(axis=1)
        for row in np.asarray(rows)[~finite].tolist():
            self.damaged[row] = "its vector is not finite"
        rows, vectors = [r for r, ok in zip(rows, finite, strict=True) if ok], vectors[finite]
        self.n_encoded += len(rows)
        if self.store is None:
            self.found.update(zip(rows, vectors, strict=True))
        elif rows:
            self.store.append([self.keys[row] for row in rows], vectors)

    def result(self) -> Encoded:
        n = len(self.items)
        bad = np.isin(self.first, list(self.damaged))
        mask = (self.first >= 0) & ~bad
        # the encoder itself knows its length only when it has learned, and with all vectors cached it need not
        known = None if self.store is None else self.store.dim
        vectors = np.zeros((n, known or self.encoder.dim), np.float32)
        real = np.flatnonzero(mask)
        if len(real):
            source = self.first[real].tolist()
            if self.store is None:
                vectors[real] = np.stack([self.found[row] for row in source])
            else:
                vectors[real] = self.store.get([self.keys[row] for row in source])
        damaged = [
            Damage(int(row), _name(self.items[row]), self.damaged[int(self.first[row])]) for row in np.flatnonzero(bad)
        ]
        return Encoded(vectors, mask, damaged, self.n_cached, self.n_encoded)


def _as_cache(cache) -> FeatureCache:
    return cache if isinstance(cache, FeatureCache) else FeatureCache(cache)


def _encode_halving(encoder: Encoder, batch: list, device) -> np.ndarray:
    """Encode a batch; when memory runs out, its two halves."""
    try:
        vectors = np.asarray(encoder._encode(batch, device), np.float32)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(batch) == 1:
            raise MemoryError(f"{encoder.name}: a single item does not fit into the memory of {device}") from None
        vectors = None
    if vectors is None:  # outside the except block, so that the failed attempt's memory is free again
        _free(device)
        half = len(batch) // 2
        return np.concatenate([_encode_halving(encoder, part, device) for part in (batch[:half], batch[half:])])
    if vectors.shape != (len(batch), encoder.dim):
        raise ParameterError(
            f"{encoder.name} gave vectors {vectors.shape} for {len(batch)} items of {encoder.dim} dimensions"
        )
    return vectors


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _free(device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _name(item) -> str:
    return str(item) if len(str(item)) <= 200 else str(item)[:197] + "..."


def _warn(encoder: Encoder, items: list, damaged: list[Damage]) -> None:
    there = sum(item is not None for item in items)
    shown = "; ".join(f"{d.name} ({d.reason})" for d in damaged[:_SHOWN])
    more = f"; and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
    warnings.warn(
        f"{encoder.name}: {len(damaged)} of {there} items could not be read and are masked: {shown}{more}",
        MediaWarning,
        stacklevel=4,
    )
