"""Writing a block aside: its files go to the disk while their digests are made, then one rename gives it its name."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from flowgen.store.medium import folder_of
from flowgen.store.patience import PASSING, Unwritable
from flowgen.store.zarr_format import Buffer

TMP = "tmp"
"""folder of a store for what is being written or removed"""

LARGE = 1 << 17
"""bytes from which a file is on its way to the disk while digests are made"""


@lru_cache(maxsize=1)
def syncers(process: int) -> ThreadPoolExecutor:
    """Threads of a process: fsync is the cost of publishing, so the paths of a block are synced side by side."""
    return ThreadPoolExecutor(8, thread_name_prefix=f"sync-{process}")


SAID = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full: your quota is used up",
    errno.EROFS: "can't be written: it is read-only",
    errno.EIO: "reports an error (EIO)",
}
"""the system's errors in words"""
ROOM = "make room ('flowgen cache collect') or give another place with --store; what was published is kept"
"""what helps against them"""


class Aside:
    """A folder that becomes a block. Errors of the system while it is written come from ``settle``."""

    def __init__(self, folder: Path, lasting: bool) -> None:
        self.folder = folder
        self.lasting = lasting
        """it is on the disk when it has settled"""
        self.making: list[Future[None]] = []
        """what threads do: whole files, then syncs"""
        self.unsynced: list[str] = []
        self.made: set[str] = set()
        """folders"""

    def add(self, files: Mapping[str, tuple[Buffer, ...]]) -> None:
        """Write files, each in pieces, by relative path. Large ones are written and synced in threads."""
        threads = syncers(os.getpid())
        for path, data in files.items():
            full = f"{self.folder}/{path}"
            self.make(os.path.dirname(full))
            if sum(map(len, data)) >= LARGE:
                self.making.append(threads.submit(write_synced if self.lasting else write_file, full, data))
            else:
                write_file(full, data)
                self.unsynced.append(full)

    def make(self, folder: str) -> None:
        """A folder inside, if it isn't there."""
        if folder not in self.made:
            if folder != str(self.folder):
                self.make(os.path.dirname(folder))
            os.mkdir(folder)
            self.made.add(folder)
            self.unsynced.append(folder)

    def settle(self, block: str) -> None:
        """Sync everything and rename. Raises OSError."""
        target = self.folder.parent.parent / folder_of(block)
        if self.lasting:
            threads = syncers(os.getpid())
            self.making += [threads.submit(sync, path) for path in self.unsynced]
        wait(self.making)
        for future in self.making:
            future.result()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(self.folder, target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                shutil.rmtree(self.folder)  # the same block is there already
            elif error.errno != errno.ENOENT or not os.path.exists(target):  # NFS may say so of one that was done
                raise
        if self.lasting:
            sync(target.parent)


@contextmanager
def aside(root: Path, lasting: bool = True) -> Iterator[Aside]:
    """A folder to write in, gone if anything fails. The system's errors that don't pass are raised as Unwritable."""
    made = Aside(root / TMP / uuid.uuid4().hex, lasting)
    try:
        made.folder.parent.mkdir(parents=True, exist_ok=True)
        yield made
    except BaseException as error:
        wait(made.making)
        shutil.rmtree(made.folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno not in PASSING:
            raise unwritable(root, error) from None
        raise


def unwritable(root: Path, error: OSError) -> Unwritable:
    """The system's error as one of the user's."""
    what = SAID.get(error.errno or 0, f"can't be written: {error.strerror or error}")
    return Unwritable(f"the disk of the store {root} {what}", hint=ROOM)


def write_synced(path: str, data: tuple[Buffer, ...]) -> None:
    """Write one file through to the disk."""
    write_file(path, data)
    sync(path)


def write_file(path: str | Path, data: tuple[Buffer, ...]) -> None:
    """Write one file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        for piece in data:
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def sync(path: str | Path) -> None:
    """Make sure that a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
