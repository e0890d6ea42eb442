"""Running an encoder over many items: batches, a reading thread, memory that runs out, damage, cache, processes."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import MediaWarning, ParameterError
from ..training import device as devices
from . import distributed
from .base import Damage, Encoded, Encoder, content_key
from .cache import FeatureCache, Store

_READERS = 4  # threads that read batches ahead of a GPU
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
        """Read, encode and keep batch after batch; what is finished is kept before the next one is."""
        total = sum(map(len, batches))
        name = f"encoding with {self.encoder.name}"
        with tqdm(total=total, desc=name, unit="item", disable=None, leave=False) as bar:
            for batch, rows, vectors in self._computed(batches, device):
                if rows:
                    self._keep(rows, vectors)
                bar.update(len(batch))

    def _computed(self, batches: list[list[int]], device) -> Iterator[tuple[list[int], list[int], np.ndarray | None]]:
        """Batches in order, with the rows that could be read and their vectors.

        On a CPU as many batches are worked on at once as torch may use threads, each by one thread from reading to
        vectors: for small networks that is a quarter faster than all threads on one batch, which wait for each other
        at every layer, and the reading of one overlaps with the computing of another. On a GPU, threads read ahead.
        """
        batches = iter(batches)
        for batch in batches:  # alone until one has been encoded: models load and learn here, in this thread
            rows, vectors = self._one(batch, [self._open(row) for row in batch], device)
            yield batch, rows, vectors
            if rows:
                break
        if device.type == "cpu":
            jobs = _ahead(batches, lambda batch: self._one(batch, [self._open(row) for row in batch], device))
            yield from ((batch, *done) for batch, done in jobs)
        else:
            for batch, opened in _ahead(batches, lambda batch: [self._open(row) for row in batch], _READERS):
                yield batch, *self._one(batch, opened, device)

    def _one(self, batch: list[int], opened: list, device) -> tuple[list[int], np.ndarray | None]:
        rows = [row for row, item in zip(batch, opened, strict=True) if item is not None]
        if not rows:
            return rows, None
        self.encoder.settle(device)
        return rows, _encode_halving(self.encoder, [item for item in opened if item is not None], device)

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


def _ahead(batches: Iterator[list[int]], job: Callable, workers: int = 0) -> Iterator[tuple[list[int], Any]]:
    """Each batch with the result of its job, in order, while threads work on the next ones.

    ``workers=0``: as many as torch may use threads; each then uses one.
    """
    import torch

    threads, single = torch.get_num_threads(), not workers
    workers = workers or threads

    def start() -> None:
        if single:
            torch.set_num_threads(1)

    waiting: deque = deque()
    try:
        with ThreadPoolExecutor(workers, initializer=start) as pool:
            for batch in batches:
                waiting.append((batch, pool.submit(job, batch)))
                if len(waiting) > workers:
                    batch, future = waiting.popleft()
                    yield batch, future.result()
            while waiting:
                batch, future = waiting.popleft()
                yield batch, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
        torch.set_num_threads(threads)


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
