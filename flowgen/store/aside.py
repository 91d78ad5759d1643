"""Writing a file aside: a rename gives it its name when it is whole."""

from __future__ import annotations

import ctypes
import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from flowgen.store.patience import PASSING, Unwritable
from flowgen.store.zarr_format import Buffer

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
TMP = "tmp"
"""folder of a store for what is being written"""
LARGE = 1 << 17
"""bytes from which what is written is worth being on its way to the disk before all is"""
PAGE = os.sysconf("SC_PAGE_SIZE")
"""bytes: one that changes while it is on its way to the disk is sent once more"""
BEGIN = 2
"""SYNC_FILE_RANGE_WRITE: begin to write to the disk, and don't wait"""
PARTS = 4
"""of a large piece, at most: with more of them a disk whose operations are counted was slower by a third"""
AT_ONCE = 1024
"""pieces of one call of the system, at most (IOV_MAX of Linux and macOS)"""

sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
"""of Linux alone"""
if sync_file_range:
    sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

SAID = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full: your quota is used up",
    errno.EROFS: "can't be written: it is read-only",
    errno.EIO: "reports an error (EIO)",
}
"""the system's errors in words"""
ROOM = "make room ('flowgen cache collect') or give another place with --store; what was published is kept"
"""what helps against them"""


def unwritable(root: object, error: OSError) -> Unwritable:
    """The system's error as one of the user's."""
    what = SAID.get(error.errno or 0, f"can't be written: {error.strerror or error}")
    return Unwritable(f"the disk of the store {root} {what}", hint=ROOM)


class Aside:
    """A file that a rename makes an object of a store. Raises OSError."""

    def __init__(self, root: str, lasting: bool) -> None:
        self.root = root
        self.lasting = lasting
        """it is on the disk when it has settled"""
        self.path = f"{root}/{TMP}/{uuid.uuid4().hex}"
        self.at = 0
        """where the next bytes go if nothing else is said"""
        try:
            self.descriptor = os.open(self.path, NEW, 0o644)
        except FileNotFoundError:
            make_folder(os.path.dirname(self.path))
            self.descriptor = os.open(self.path, NEW, 0o644)

    def write(self, at: int, data: Sequence[Buffer]) -> None:
        """Write from an offset on, in pieces. What is large is on its way to the disk when this returns."""
        if at != self.at:
            os.lseek(self.descriptor, at, os.SEEK_SET)
        begun = -(-at // PAGE) * PAGE  # what shares a page with it may come later
        for run in runs(data):
            size = sum(map(len, run))
            self.append(run)
            at += size
            if size >= LARGE and self.lasting and sync_file_range:
                whole = at // PAGE * PAGE
                sync_file_range(self.descriptor, begun, whole - begun, BEGIN)  # what goes wrong is told by fsync
                begun = whole
        self.at = at

    def append(self, run: list[Buffer]) -> None:
        """Write pieces where the last ended."""
        while run:
            done = os.writev(self.descriptor, run)
            while run and done >= len(run[0]):
                done -= len(run.pop(0))
            if done:
                run[0] = memoryview(run[0])[done:]

    def settle(self, name: str) -> None:
        """Sync the file, rename it and sync its folder."""
        target = f"{self.root}/{name}"
        folder = os.path.dirname(target)
        changed = [folder]
        if self.lasting:
            os.fsync(self.descriptor)
        try:
            rename(self.path, target)
        except FileNotFoundError:
            changed = [*make_folder(folder), folder]
            rename(self.path, target)
        for path in changed if self.lasting else ():
            sync(path)

    def close(self, discard: bool) -> None:
        """Let the file go, or remove it."""
        os.close(self.descriptor)
        if discard:
            with suppress(OSError):
                os.unlink(self.path)


def runs(data: Sequence[Buffer]) -> Iterator[list[Buffer]]:
    """Pieces that are written at once, large ones in parts: the disk works on the first while others are copied."""
    run: list[Buffer] = []
    for piece in data:
        part = max(LARGE, -(-len(piece) // PARTS))
        for start in range(0, len(piece), part):
            run.append(memoryview(piece)[start : start + part] if len(piece) > part else piece)
            if len(piece) >= LARGE or len(run) == AT_ONCE:
                yield run
                run = []
    if run:
        yield run


@contextmanager
def aside(root: str, lasting: bool) -> Iterator[Aside]:
    """A file to write, gone if anything fails. The system's errors that don't pass are raised as Unwritable."""
    try:
        made = Aside(root, lasting)
        try:
            yield made
        except BaseException:
            made.close(discard=True)
            raise
        made.close(discard=False)
    except OSError as error:
        if error.errno in PASSING:
            raise
        raise unwritable(root, error) from None


def sync(path: str) -> None:
    """Make sure that a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(path: str, target: str) -> None:
    """Give a file another name. Raises OSError."""
    try:
        os.replace(path, target)
    except FileNotFoundError:
        if os.path.exists(path) or not os.path.exists(target):  # NFS may say so of what was done
            raise


def make_folder(path: str) -> list[str]:
    """Make a folder, if it isn't there; the folders in which others were made. Raises OSError."""
    if os.path.isdir(path):
        return []
    above = os.path.dirname(path)
    try:
        os.mkdir(path)
    except FileExistsError:
        return []
    except FileNotFoundError:
        return [*make_folder(above), *make_folder(path)]
    return [above]
