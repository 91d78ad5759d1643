"""A SQLite file that processes share and that may be deleted or damaged at any time: it is then opened or made anew."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

KEPT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CONSTRAINT,
}
"""errors that don't mean that the file is damaged"""
ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""what a damaged file raises: the second where the text of its own errors is damaged"""
ATTEMPTS = 3
CACHE = 4096
"""KiB of a file that a connection holds; the system holds more of it: with sixteen times as much nothing was faster"""


class Database:
    """One file. Safe for threads, processes and forks."""

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        synchronous: str = "NORMAL",
        renewed: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self.schema = schema
        self.version = version
        self.synchronous = synchronous
        self.renewed = renewed
        """called when what was open is gone and an other, perhaps empty file is used instead"""
        self.lock = threading.RLock()
        self.left: list[sqlite3.Connection] = []
        """a parent process's connections, which a child must not close"""
        self.open()

    def open(self) -> None:
        """Connect; a file of another version or that can't be read is removed first."""
        self.process = os.getpid()
        with only_one(self.path.with_suffix(".lock")):
            for _ in range(ATTEMPTS):
                if not self.path.exists():
                    self.remove()  # a log that was left would be replayed into the new file
                try:
                    self.connection = self.connect()
                except ERRORS as error:
                    if not damaged(error):
                        raise
                    self.remove()
                    self.connection = self.connect()
                self.inode = inode_of(self.path)
                if self.inode:
                    return
                self.connection.close()  # whoever deletes files by hand takes no lock
        raise FileNotFoundError(errno.ENOENT, "deleted as often as it is made", str(self.path))

    def connect(self) -> sqlite3.Connection:
        """A connection to a file of this schema. Raises sqlite3.DatabaseError."""
        connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            connection.execute(f"PRAGMA cache_size = -{CACHE}")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, self.version):
                raise sqlite3.DatabaseError(f"version {found}")
            connection.executescript(self.schema)
            connection.execute(f"PRAGMA user_version = {self.version}")
        except BaseException:
            connection.close()
            raise
        return connection

    def remove(self) -> None:
        """Delete the file and its logs."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def run(self, work: Work[T]) -> T:
        """What ``work`` reads. A damaged file is made anew, and the work done on that."""
        with self.lock:
            for _ in range(ATTEMPTS - 1):
                self.follow()
                try:
                    return work(self.connection)
                except ERRORS as error:
                    if not damaged(error):
                        raise
                    self.replace()
            self.follow()
            return work(self.connection)

    def transact(self, work: Work[T]) -> T:
        """``work`` as a transaction: all or nothing; other processes wait."""

        def whole(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return found

        return self.run(whole)

    def follow(self) -> None:
        """Use the file that is at the path now: it may have been deleted, or this process may be a fork."""
        inode = inode_of(self.path)
        if inode == self.inode and self.process == os.getpid():
            return
        if self.process == os.getpid():
            self.connection.close()
        else:
            self.left.append(self.connection)
        other = inode != self.inode
        self.open()
        if other and self.renewed:
            self.renewed()

    def replace(self) -> None:
        """Remove the damaged file, unless another process did, so that ``follow`` makes it anew."""
        with only_one(self.path.with_suffix(".lock")):
            if inode_of(self.path) == self.inode:
                self.remove()

    def close(self) -> None:
        """Let the file go."""
        with self.lock:
            self.connection.close()


def inode_of(path: Path) -> int:
    """Which file is at a path; 0 for none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def damaged(error: Exception) -> bool:
    """Whether an error says that the file itself is unusable."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in KEPT


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """One process at a time; the system lets go for a process that dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
