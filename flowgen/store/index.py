"""Which block holds which key: SQLite, disposable, rebuilt from the manifests whenever it is missing or unreadable."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowgen.store.database import Database

VERSION = 3
SCHEMA = """
CREATE TABLE IF NOT EXISTS items (key BLOB PRIMARY KEY, block INTEGER NOT NULL, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_by_block ON items (block);
CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, type TEXT NOT NULL,
    items INTEGER NOT NULL, bytes INTEGER NOT NULL, published REAL NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (key BLOB PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gone_by_time ON gone (at);
CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
DROP TABLE IF EXISTS files;
"""
CHUNK = 500
"""keys of one query; they are looked up in order, which keeps to few pages of the file"""
SCAN = 8
"""items of the index for each key asked for up to which reading them all is cheaper than looking each up"""
NOTED = 60.0
"""seconds within which another use of a block isn't noted again"""
REMEMBERED = 1_000_000
"""keys whose loss is remembered"""


@dataclass(frozen=True, slots=True)
class About:
    """What the index says of a block."""

    name: str
    type: str
    """node type of its items"""
    items: int
    """rows"""
    bytes: int
    """size of its file"""
    published: float
    """seconds since 1970"""
    used: float
    """when it was last read, or published"""


class Index:
    """The index of one store. Safe for threads and processes. ``renewed`` is called when it had to be made anew."""

    def __init__(self, path: Path, renewed: Callable[[], None] | None = None) -> None:
        self.path = path
        self.database = Database(path, SCHEMA, VERSION, renewed=renewed)

    def find(self, keys: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Block and row of the keys that are known."""
        wanted = sorted(map(bytes.fromhex, keys))
        if not wanted:
            return {}

        def work(connection: sqlite3.Connection) -> dict[str, tuple[str, int]]:
            found: dict[str, tuple[str, int]] = {}
            for start in range(0, len(wanted), CHUNK):
                query = among(wanted[start : start + CHUNK], "key, name, row", "items JOIN blocks ON block = id")
                found.update((key.hex(), (name, row)) for key, name, row in connection.execute(*query))
            return found

        return self.database.run(work)

    def has(self, keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Which keys are known. Where many are asked for, all that the index holds is read instead, in order."""

        def held(connection: sqlite3.Connection) -> NDArray[np.bytes_] | None:
            (count,) = connection.execute("SELECT count(*) FROM items").fetchone()
            if count > SCAN * len(keys):
                return None
            rows = connection.execute("SELECT key FROM items ORDER BY key").fetchall()
            return np.array([key for (key,) in rows], dtype="S20")

        known = self.database.run(held)
        if known is None:
            texts = keys.astype(str).tolist()
            found = self.find(texts)
            return np.array([key in found for key in texts], dtype=bool)
        if not len(known):
            return np.zeros(len(keys), dtype=bool)
        wanted = np.frombuffer(bytes.fromhex(b"".join(keys.tolist()).decode()), dtype="S20")
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        there: NDArray[np.bool_] = known[place] == wanted
        return there

    def add(self, about: About, keys: Sequence[str]) -> None:
        """A block and its items; a key that another block holds stays where it is."""
        held = [bytes.fromhex(key) for key in keys]

        def work(connection: sqlite3.Connection) -> None:
            number = insert(connection, about)
            rows = ((key, number, row) for row, key in enumerate(held))
            connection.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?)", rows)
            forgive(connection, held)

        self.database.transact(work)

    def move(self, old: Iterable[str], about: About, rows: Sequence[tuple[str, int]]) -> None:
        """Items of old blocks lie in a new one: their keys with their rows there."""

        def work(connection: sqlite3.Connection) -> None:
            number = insert(connection, about)
            for name in old:
                forget(connection, name)
            placed = ((bytes.fromhex(key), number, row) for key, row in rows)
            connection.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?)", placed)

        self.database.transact(work)

    def drop(self, names: Iterable[str], reason: str = "") -> list[str]:
        """Forget blocks and their items, whose keys are returned; with a reason, that is remembered for them."""

        def work(connection: sqlite3.Connection) -> list[str]:
            lost = [key for name in names for key in forget(connection, name)]
            if reason:
                remember(connection, lost, reason)
            return [key.hex() for key in lost]

        return self.database.transact(work)

    def clear(self) -> None:
        """Forget all blocks and items; what is gone and the files' digests stay."""

        def work(connection: sqlite3.Connection) -> None:
            for table in ("items", "blocks", "shards"):
                connection.execute(f"DELETE FROM {table}")

        self.database.transact(work)

    def blocks(self, prefix: str = "") -> list[About]:
        """The indexed blocks whose names begin so."""
        query = "SELECT name, type, items, bytes, published, used FROM blocks WHERE name >= ? AND name < ?"
        return self.database.run(lambda c: [About(*row) for row in c.execute(query, (prefix, prefix + "g"))])

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of some blocks that aren't indexed."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return []

        def work(connection: sqlite3.Connection) -> list[str]:
            query = "SELECT 1 FROM blocks WHERE name = ?"
            return [name for name in wanted if connection.execute(query, (name,)).fetchone() is None]

        return self.database.run(work)

    def shadowed(self) -> list[str]:
        """Blocks that hold items which are found in another block, so that they have to be read if that goes."""
        query = "SELECT name FROM blocks WHERE items > (SELECT count(*) FROM items WHERE block = id)"
        return self.database.run(lambda c: [name for (name,) in c.execute(query)])

    def counts(self, keys: Iterable[bytes]) -> dict[str, int]:
        """How many of these items, 20 bytes each, every block holds; blocks without any are left out."""
        wanted = sorted(set(keys))

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            found: Counter[int] = Counter()
            for start in range(0, len(wanted), CHUNK):
                found.update(b for (b,) in connection.execute(*among(wanted[start : start + CHUNK], "block")))
            return {name: found[n] for n, name in connection.execute("SELECT id, name FROM blocks") if n in found}

        return self.database.run(work)

    def rows(self, name: str) -> list[tuple[str, int]]:
        """The items that are found in a block: key and row."""
        query = "SELECT key, row FROM items WHERE block = (SELECT id FROM blocks WHERE name = ?) ORDER BY row"
        return self.database.run(lambda c: [(key.hex(), row) for key, row in c.execute(query, (name,))])

    def use(self, name: str) -> None:
        """Note that a block was read, now and then: what isn't used is collected first."""
        now = time.time()
        used = self.database.run(lambda c: c.execute("SELECT used FROM blocks WHERE name = ?", (name,)).fetchone())
        if used and now - used[0] > NOTED:
            self.database.transact(lambda c: c.execute("UPDATE blocks SET used = ? WHERE name = ?", (now, name)))

    def used(self, latest: Mapping[str, float]) -> None:
        """Note when blocks were used elsewhere; an earlier time than the one that is known changes nothing."""
        query = "UPDATE blocks SET used = ? WHERE name = ? AND used < ?"
        rows = [(used, name, used) for name, used in latest.items()]
        self.database.transact(lambda c: c.executemany(query, rows))

    def gone(self, keys: Iterable[str]) -> dict[str, tuple[float, str]]:
        """When and why keys were removed: of those that are remembered."""
        wanted = sorted(map(bytes.fromhex, keys))

        def work(connection: sqlite3.Connection) -> dict[str, tuple[float, str]]:
            found: dict[str, tuple[float, str]] = {}
            for start in range(0, len(wanted), CHUNK):
                query = among(wanted[start : start + CHUNK], "key, at, reason", "gone")
                found.update((key.hex(), (at, reason)) for key, at, reason in connection.execute(*query))
            return found

        return self.database.run(work)

    def remember_gone(self, keys: Iterable[str], reason: str) -> None:
        """Note why keys were removed."""
        lost = [bytes.fromhex(key) for key in keys]
        self.database.transact(lambda c: remember(c, lost, reason))

    def shards(self) -> dict[str, int]:
        """By folder of blocks, its time of change when it was last compared with the index."""
        return self.database.run(lambda c: dict(c.execute("SELECT name, changed FROM shards").fetchall()))

    def saw(self, changed: dict[str, int]) -> None:
        """Folders agree with the index as of a time of change."""
        query = "INSERT OR REPLACE INTO shards VALUES (?, ?)"
        self.database.transact(lambda c: c.executemany(query, list(changed.items())))

    def digest(self, path: str, stamp: str) -> str | None:
        """A file's remembered digest, if its stamp is as it was."""
        query = "SELECT digest FROM digests WHERE path = ? AND stamp = ?"
        row = self.database.run(lambda c: c.execute(query, (path, stamp)).fetchone())
        return row[0] if row else None

    def remember(self, path: str, stamp: str, digest: str) -> None:
        """Keep a file's digest."""
        query = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?)"
        self.database.transact(lambda c: c.execute(query, (path, stamp, digest)))

    def close(self) -> None:
        """Let the file go."""
        self.database.close()


def among(keys: Sequence[bytes], columns: str, table: str = "items") -> tuple[str, Sequence[bytes]]:
    """A query for some keys, and what it is executed with."""
    return f"SELECT {columns} FROM {table} WHERE key IN ({','.join('?' * len(keys))})", keys


def insert(connection: sqlite3.Connection, about: About) -> int:
    """A block's number, new or not."""
    values = (about.name, about.type, about.items, about.bytes, about.published, about.used)
    made = connection.execute(
        "INSERT OR IGNORE INTO blocks (name, type, items, bytes, published, used) VALUES (?, ?, ?, ?, ?, ?)", values
    )
    if made.rowcount and made.lastrowid:
        return made.lastrowid
    number: int = connection.execute("SELECT id FROM blocks WHERE name = ?", (about.name,)).fetchone()[0]
    return number


def forget(connection: sqlite3.Connection, name: str) -> list[bytes]:
    """Delete a block and its items; their keys."""
    row = connection.execute("SELECT id FROM blocks WHERE name = ?", (name,)).fetchone()
    if row is None:
        return []
    keys = [key for (key,) in connection.execute("SELECT key FROM items WHERE block = ?", row)]
    connection.execute("DELETE FROM items WHERE block = ?", row)
    connection.execute("DELETE FROM blocks WHERE id = ?", row)
    return keys


def remember(connection: sqlite3.Connection, keys: Sequence[bytes], reason: str) -> None:
    """Note keys as gone; the oldest notes make room."""
    now = time.time()
    connection.executemany("INSERT OR REPLACE INTO gone VALUES (?, ?, ?)", [(key, now, reason) for key in keys])
    excess = connection.execute("SELECT count(*) FROM gone").fetchone()[0] - REMEMBERED if keys else 0
    if excess > 0:
        connection.execute("DELETE FROM gone WHERE key IN (SELECT key FROM gone ORDER BY at LIMIT ?)", (excess,))


def forgive(connection: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    """Keys that are there again are gone no longer."""
    if connection.execute("SELECT 1 FROM gone LIMIT 1").fetchone():
        connection.executemany("DELETE FROM gone WHERE key = ?", [(key,) for key in keys])
