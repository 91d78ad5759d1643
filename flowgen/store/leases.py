"""Leases: what living processes are computing, and what their runs stand on.

A claim names items that one process computes; others wait for them. A hold names items that a run has planned to read;
they aren't collected. Both end with their owner: at once if its process is dead on this machine, after EXPIRY if it is
on another one or hangs. Losing all of them costs work that is done twice, never a wrong answer.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flowgen.store.database import Database

EXPIRY = 30.0
"""seconds without a sign of life after which a lease is over"""
BEAT = 5.0
"""seconds between two signs of life"""
VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL,
    expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, lease TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_by_lease ON claims (lease);
"""
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process may compute now."""

    mine: frozenset[str]
    """keys that nobody else computes"""
    took_over: bool
    """some of them were claimed by an owner that died"""


class Leases:
    """The leases of one store, in a folder of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "leases.sqlite", SCHEMA, VERSION, synchronous="OFF")
        self.lock = threading.Lock()
        self.living: set[str] = set()
        self.beating: tuple[int, threading.Event] | None = None

    @contextmanager
    def claim(self, keys: Sequence[str]) -> Iterator[Claim]:
        """Claim the keys that no living process has claimed, as long as the context lasts."""
        lease, wanted = uuid.uuid4().hex, sorted(map(bytes.fromhex, set(keys)))

        def work(connection: sqlite3.Connection) -> Claim:
            dead = remove_dead(connection)
            taken = {key for key, _ in claimed(connection, wanted)}
            begin(connection, lease)
            mine = [key for key in wanted if key not in taken]
            connection.executemany("INSERT INTO claims VALUES (?, ?)", [(key, lease) for key in mine])
            return Claim(frozenset(key.hex() for key in mine), dead)

        try:
            found = self.database.transact(work)
            self.live(lease)
            yield found
        finally:
            self.end(lease)

    def claimed(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that living processes are computing."""
        wanted = sorted(map(bytes.fromhex, set(keys)))

        def work(connection: sqlite3.Connection) -> set[str]:
            found = claimed(connection, wanted)
            ids = {lease for _, lease in found}
            dead = {row[0] for row in all_leases(connection) if row[0] in ids and over(*row[1:])}
            return {key.hex() for key, lease in found if lease not in dead}

        return self.database.run(work)

    @contextmanager
    def hold(self, keys: bytes) -> Iterator[None]:
        """Keep items from being collected as long as the context lasts; ``keys`` are 20 bytes each."""
        lease = uuid.uuid4().hex
        file = self.folder / f"{lease}.keys"
        try:
            file.write_bytes(keys)
            self.database.transact(lambda connection: begin(connection, lease))
            self.live(lease)
            yield
        finally:
            file.unlink(missing_ok=True)
            self.end(lease)

    def held(self) -> set[bytes]:
        """Keys, 20 bytes each, that living runs stand on or compute."""

        def work(connection: sqlite3.Connection) -> tuple[set[bytes], set[str]]:
            remove_dead(connection)
            keys = {key for (key,) in connection.execute("SELECT key FROM claims")}
            return keys, {row[0] for row in all_leases(connection)}

        found, living = self.database.transact(work)
        for file in self.folder.glob("*.keys"):
            try:
                if file.stem in living or time.time() - file.stat().st_mtime < EXPIRY:
                    found.update(split(file.read_bytes()))
                else:
                    file.unlink()
            except FileNotFoundError:
                continue
        return found

    def live(self, lease: str) -> None:
        """Give signs of life for a lease."""
        with self.lock:
            self.living.add(lease)
            if self.beating is None or self.beating[0] != os.getpid():
                stop = threading.Event()
                self.beating = (os.getpid(), stop)
                beat = threading.Thread(target=keep_alive, args=(weakref.ref(self), stop), daemon=True, name="leases")
                beat.start()

    def end(self, lease: str) -> None:
        """A lease is over."""
        with self.lock:
            self.living.discard(lease)
        self.database.transact(lambda connection: finish(connection, [lease]))

    def renew(self) -> None:
        """A sign of life for all leases of this process. Claims that were lost with their file stay lost."""
        with self.lock:
            mine = list(self.living)

        def work(connection: sqlite3.Connection) -> None:
            for lease in mine:
                begin(connection, lease)

        if mine:
            self.database.transact(work)

    def close(self) -> None:
        """Let the file go."""
        if self.beating:
            self.beating[1].set()
        self.database.close()


def keep_alive(leases: weakref.ref[Leases], stop: threading.Event) -> None:
    """Renew until the store is closed or forgotten. What can't be renewed now is tried again."""
    while not stop.wait(BEAT):
        found = leases()
        if found is None:
            return
        try:
            found.renew()
        except (sqlite3.Error, OSError):
            continue
        finally:
            del found


def begin(connection: sqlite3.Connection, lease: str) -> None:
    """Enter a lease of this process, or move its end."""
    row = (lease, socket.gethostname(), os.getpid(), born(os.getpid()), time.time() + EXPIRY)
    connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", row)


def finish(connection: sqlite3.Connection, leases: Iterable[str]) -> None:
    """Delete leases and their claims."""
    for lease in leases:
        connection.execute("DELETE FROM claims WHERE lease = ?", (lease,))
        connection.execute("DELETE FROM leases WHERE id = ?", (lease,))


def remove_dead(connection: sqlite3.Connection) -> bool:
    """Delete what dead owners left; whether there was any."""
    dead = [row[0] for row in all_leases(connection) if over(*row[1:])]
    finish(connection, dead)
    return bool(dead)


def all_leases(connection: sqlite3.Connection) -> list[tuple[str, str, int, str, float]]:
    """Every lease with its owner and its end."""
    return connection.execute("SELECT id, host, pid, born, expires FROM leases").fetchall()


def claimed(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[tuple[bytes, str]]:
    """Those of the keys that are claimed, with the lease."""
    found: list[tuple[bytes, str]] = []
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        query = f"SELECT key, lease FROM claims WHERE key IN ({','.join('?' * len(part))})"
        found += connection.execute(query, part).fetchall()
    return found


def over(host: str, pid: int, begun: str, expires: float) -> bool:
    """Whether a lease has ended: in time, or with its process if that was on this machine."""
    return expires < time.time() or (host == socket.gethostname() and (pid != os.getpid()) and born(pid) != begun)


def born(pid: int) -> str:
    """When a process started, which tells it from a later one of the same number; empty if there is none."""
    if pid == os.getpid():
        return born_once(pid)
    return read_born(pid)


@lru_cache(maxsize=1)
def born_once(pid: int) -> str:
    """``read_born`` of this process."""
    return read_born(pid)


def read_born(pid: int) -> str:
    """From /proc (field 22 of stat, clock ticks since the machine started); elsewhere only whether it lives."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        state, ticks = (fields := text.rpartition(")")[2].split())[0], fields[19]
        return "" if state in "ZX" else ticks
    except OSError:
        if Path("/proc/self").exists():
            return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def split(keys: bytes) -> list[bytes]:
    """Keys of 20 bytes each."""
    return [keys[start : start + 20] for start in range(0, len(keys) - 19, 20)]
