"""What people did, kept so that nothing which was acknowledged is lost; and things that were added while running."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError, StoreError

#: What a person can do to a thing; only the liking ones say that it was wanted.
KINDS = ("click", "like", "purchase", "dislike", "hide", "impression")
LIKING = ("click", "like", "purchase")
_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, item TEXT NOT NULL, kind TEXT NOT NULL,
    value REAL, time REAL NOT NULL, request TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS events_of_user ON events (user, id);
CREATE TABLE IF NOT EXISTS items (
    id TEXT PRIMARY KEY, columns TEXT NOT NULL, vectors BLOB NOT NULL, media TEXT NOT NULL, time REAL NOT NULL
);
"""


@dataclass(frozen=True)
class Event:
    """One thing that one person did. ``request`` makes it safe to send it twice: the second time changes nothing."""

    user: str
    item: str
    kind: str = "click"
    value: float | None = None
    time: float | None = None
    request: str | None = None


@dataclass(frozen=True)
class Added:
    """A thing that was added while a service ran; ``encoders`` names, by fingerprint, what made each vector."""

    item: str
    columns: dict = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    media: dict[str, str] = field(default_factory=dict)
    encoders: dict[str, str] = field(default_factory=dict)


class EventStore:
    """What the engine needs of a store; a server database can be put behind the same four methods."""

    def add(self, events: Sequence[Event]) -> int:
        """Keep the events, durably, and return how many were new. Raises :class:`StoreError` when it cannot."""
        raise NotImplementedError

    def of_user(self, user: str, limit: int = 1000) -> pd.DataFrame:
        """The latest events of a person, oldest first: columns item, kind, value, time."""
        raise NotImplementedError

    def add_item(self, added: Added) -> None:
        """Keep a thing that was added; one of the same id is replaced."""
        raise NotImplementedError

    def items(self) -> list[Added]:
        """All things that were added, in the order of their coming."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is held."""


class SQLiteStore(EventStore):
    """A file; every ``add`` is on the disk when it returns (write-ahead log, synchronous).

    Parameters
    ----------
    path
        Of the file; made with its folder if need be. ``":memory:"`` keeps nothing, for tests.
    """

    def __init__(self, path) -> None:
        self.path = str(path)
        if self.path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()  # one connection, used in turn: SQLite writes one transaction at a time anyway
        try:
            self._connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=10)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_TABLES)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: no file of events that can be used ({error})") from None

    def add(self, events):
        rows = [(e.user, e.item, _kind(e.kind), e.value, e.time or time.time(), e.request) for e in events]
        command = "INSERT OR IGNORE INTO events (user, item, kind, value, time, request) VALUES (?, ?, ?, ?, ?, ?)"
        return self._write(command, rows)

    def of_user(self, user, limit=1000):
        command = "SELECT item, kind, value, time FROM events WHERE user = ? ORDER BY id DESC LIMIT ?"
        rows = self._read(command, (user, limit))[::-1]
        return pd.DataFrame(rows, columns=["item", "kind", "value", "time"])

    def add_item(self, added):
        header = {name: len(vector) for name, vector in added.vectors.items()}
        blob = b"".join(np.asarray(vector, "<f4").tobytes() for vector in added.vectors.values())
        told = {"columns": added.columns, "dims": header, "encoders": added.encoders}
        told, media = (json.dumps(value, ensure_ascii=False) for value in (told, added.media))
        row = (added.item, told, blob, media, time.time())
        self._write("INSERT OR REPLACE INTO items (id, columns, vectors, media, time) VALUES (?, ?, ?, ?, ?)", [row])

    def items(self):
        found = []
        for item, text, blob, media in self._read("SELECT id, columns, vectors, media FROM items ORDER BY time", ()):
            told = json.loads(text)
            cuts = np.cumsum(list(told["dims"].values()))[:-1] if told["dims"] else []
            parts = np.split(np.frombuffer(blob, "<f4"), cuts) if told["dims"] else []
            vectors = dict(zip(told["dims"], parts, strict=True))
            found.append(Added(item, told["columns"], vectors, json.loads(media), told.get("encoders", {})))
        return found

    def all_events(self) -> pd.DataFrame:
        """Everything, in the order of its coming: columns user, item, kind, value, time."""
        rows = self._read("SELECT user, item, kind, value, time FROM events ORDER BY id", ())
        return pd.DataFrame(rows, columns=["user", "item", "kind", "value", "time"])

    def close(self):
        with self._lock:
            self._connection.close()

    def _write(self, command: str, rows: list[tuple]) -> int:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    before = self._connection.total_changes
                    self._connection.executemany(command, rows)
                    self._connection.execute("COMMIT")
                    return self._connection.total_changes - before
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: the events were not kept ({error}); send them again") from None

    def _read(self, command: str, values: tuple) -> list[tuple]:
        with self._lock:
            try:
                return self._connection.execute(command, values).fetchall()
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: cannot be read ({error})") from None


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise DataError(f"kind={kind!r}: choose {', '.join(KINDS)}")
    return kind
