"""Which block holds which key: SQLite, disposable, rebuilt from the manifests whenever it is missing or unreadable."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, block TEXT NOT NULL, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_by_block ON items (block);
CREATE TABLE IF NOT EXISTS blocks (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, digest TEXT) WITHOUT ROWID;
"""
CHUNK = 500
SCAN = 8
"""items of the index for each key asked for up to which reading them all is cheaper than looking each up"""


class Index:
    """The index of one store. Safe for threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"index version {version}")
            connection.executescript(SCHEMA)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("SELECT count(*) FROM blocks").fetchone()
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; other processes wait."""
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def find(self, keys: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Block and row of the keys that are known."""
        listed = list(keys)
        found: dict[str, tuple[str, int]] = {}
        with self.lock:
            for start in range(0, len(listed), CHUNK):
                part = listed[start : start + CHUNK]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, block, row FROM items WHERE key IN ({marks})"
                found.update((key, (block, row)) for key, block, row in self.connection.execute(query, part))
        return found

    def has(self, keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Which keys are known. Where many are asked for, all that the index holds is read instead, in order."""
        with self.lock:
            (count,) = self.connection.execute("SELECT count(*) FROM items").fetchone()
            if count > SCAN * len(keys):
                texts = keys.astype(str).tolist()
                found = self.find(texts)
                return np.array([key in found for key in texts], dtype=bool)
            if not count:
                return np.zeros(len(keys), dtype=bool)
            held = np.fromiter(
                (key for (key,) in self.connection.execute("SELECT key FROM items ORDER BY key")), keys.dtype, count
            )
        place = np.minimum(np.searchsorted(held, keys), len(held) - 1)
        known: NDArray[np.bool_] = held[place] == keys
        return known

    def add(self, name: str, keys: Sequence[str]) -> None:
        """A block and its items; a key that another block holds stays where it is."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO blocks VALUES (?)", (name,))
            rows = ((key, name, row) for row, key in enumerate(keys))
            connection.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?)", rows)

    def drop(self, names: Iterable[str]) -> None:
        """Forget blocks and their items."""
        with self.transaction() as connection:
            for name in names:
                connection.execute("DELETE FROM items WHERE block = ?", (name,))
                connection.execute("DELETE FROM blocks WHERE name = ?", (name,))

    def clear(self) -> None:
        """Forget all blocks and items."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM items")
            connection.execute("DELETE FROM blocks")

    def blocks(self) -> set[str]:
        """Names of the indexed blocks."""
        with self.lock:
            return {name for (name,) in self.connection.execute("SELECT name FROM blocks")}

    def digest(self, path: str, size: int, mtime: int) -> str | None:
        """A file's remembered digest, if size and time are as they were."""
        with self.lock:
            query = "SELECT digest FROM files WHERE path = ? AND size = ? AND mtime = ?"
            row = self.connection.execute(query, (path, size, mtime)).fetchone()
        return row[0] if row else None

    def remember(self, path: str, size: int, mtime: int, digest: str) -> None:
        """Keep a file's digest."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (path, size, mtime, digest))

    def close(self) -> None:
        """Let the file go."""
        with self.lock:
            self.connection.close()
