"""A store's folder on a file system: of this machine, or one that machines share."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowgen.store.aside import TMP, Aside, aside, make_folder, rename, unwritable
from flowgen.store.medium import BLOCKS, DAMAGED, Entry, Got, Shard, block_at, place_of
from flowgen.store.patience import PASSING, patiently
from flowgen.store.zip_format import ALIGNMENT

STALE = 24 * 3600
"""seconds after which what a dead process left aside is removed"""
FORGOTTEN = 90 * 24 * 3600
"""seconds after which an index that nobody wrote to is removed; a machine that comes back makes another"""
ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
SETTLED = 2_000_000_000
"""nanoseconds after which a folder's time of change surely differs from that of a later change"""
READING = PASSING | {errno.EIO}
"""what may pass when something is read: a soft mount answers EIO while its server is away, as a bad disk always does"""


class Folder:
    """The medium of a store in a folder."""

    def __init__(self, root: Path, lasting: bool = True) -> None:
        self.root = root
        self.place = str(root)
        self.home = root
        self.lasting = lasting
        """what shall be on the disk is; else it may be lost when the machine stops"""

    def prepare(self) -> None:
        """Make the folders, and remove what dead processes left aside. Raises OSError."""
        for name in (BLOCKS, TMP):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.sweep()

    def put(self, name: str, data: bytes, lasting: bool = False, whole: bool = True) -> None:
        """Write aside and rename, or write in its place what needn't be whole at once. Raises Unwritable."""

        def work() -> None:
            with self.writing(lasting) as file:
                file.write(0, (data,))
                file.settle(name)

        if lasting or whole:
            patiently(work, self.root)
        else:
            with refusing(self.root):
                patiently(partial(write, f"{self.root}/{name}", data), self.root)

    def writing(self, lasting: bool) -> AbstractContextManager[Aside]:
        """A file aside. Raises Unwritable."""
        return aside(self.place, lasting and self.lasting)

    def get(self, names: Iterable[str], last: int = 0) -> dict[str, Got]:
        """Files by name, or their last bytes."""
        found = {}
        for name in names:
            with suppress(FileNotFoundError):
                found[name] = patiently(partial(read_end, f"{self.root}/{name}", last), self.root, READING)
        return found

    def read(self, name: str) -> Tensor:
        """A file. Raises OSError."""
        return patiently(partial(read_whole, f"{self.root}/{name}"), self.root, READING)

    def stat(self, name: str) -> Entry:
        """A file. Raises FileNotFoundError."""
        return patiently(lambda: entry(name, os.stat(f"{self.root}/{name}")), self.root)

    def entries(self, folder: str, bare: bool = False) -> list[Entry]:
        """The files in a folder and its folders."""
        return patiently(lambda: list(walk(f"{self.root}/{folder}", folder, bare)), self.root)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files."""
        for name in names:
            with refusing(self.root), suppress(FileNotFoundError):
                patiently(partial(os.unlink, f"{self.root}/{name}"), self.root)

    def set_aside(self, block: str) -> bool:
        """Rename a block; False if it was gone. Raises Unwritable."""
        target = f"{self.root}/{DAMAGED}/{block}-{time.time_ns()}.zip"
        try:
            with refusing(self.root):
                patiently(partial(os.makedirs, self.root / DAMAGED, exist_ok=True), self.root)
                patiently(partial(rename, f"{self.root}/{place_of(block)}", target), self.root)
        except FileNotFoundError:
            return False
        return True

    def shards(self, seen: Mapping[str, int]) -> Iterator[Shard]:
        """The folders of blocks whose time of change differs from what was seen, or was just then."""
        for prefix in sorted(patiently(partial(os.listdir, self.root / BLOCKS), self.root)):
            folder = self.root / BLOCKS / prefix
            before, changed = time.time_ns(), patiently(partial(os.stat, folder), self.root).st_ctime_ns
            if seen.get(prefix) != changed:  # a copy doesn't carry it over
                names = patiently(partial(os.listdir, folder), self.root)
                there = frozenset(block for name in names if (block := block_at(f"{BLOCKS}/{prefix}/{name}")))
                yield Shard(prefix, there, changed if before - changed > SETTLED else 0)

    def sweep(self) -> None:
        """Remove what dead processes left aside, and indices of machines that don't come any more."""
        for path in (self.root / TMP).iterdir():
            remove_old(path, STALE)
        for path in self.root.glob("index-*"):
            remove_old(path, FORGOTTEN)


@contextmanager
def refusing(root: Path) -> Iterator[None]:
    """The system's errors are raised as Unwritable, but for a file that isn't there."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unwritable(root, error) from None


def write(path: str, data: bytes) -> None:
    """Write a file in its place. Raises OSError."""
    try:
        descriptor = os.open(path, ANEW, 0o644)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        descriptor = os.open(path, ANEW, 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def remove_old(path: Path, age: float) -> None:
    """Remove a file or folder that wasn't changed for some seconds."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > age:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def entry(name: str, about: os.stat_result) -> Entry:
    """A file as a listing has it. It may be written anew while others are listed, so that no version is given."""
    return Entry(name, about.st_size, about.st_mtime, "")


def walk(folder: str, name: str, bare: bool) -> Iterator[Entry]:
    """The files below a folder; none if it isn't there. ``bare`` as of ``Medium.entries``."""
    try:
        found = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for each in found:
        try:
            if each.is_dir(follow_symlinks=False):
                yield from walk(each.path, f"{name}/{each.name}", bare)
            elif bare:
                yield Entry(f"{name}/{each.name}", 0, 0.0, "")
            else:
                yield entry(f"{name}/{each.name}", os.stat(each.path))
        except FileNotFoundError:
            continue


def read_end(path: str, last: int) -> Got:
    """A file, or its last bytes."""
    with open(path, "rb", buffering=0) as file:
        about = os.fstat(file.fileno())
        if 0 < last < about.st_size:
            file.seek(-last, os.SEEK_END)
        return Got(file.readall(), about.st_size, about.st_mtime)


def read_whole(path: str) -> Tensor:
    """A file. numpy's memory is made of large pages if it is large, and isn't filled with zeros first."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        room = np.empty(size + ALIGNMENT, dtype=np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        left = room[start : start + size].data
        while got := file.readinto(left):
            left = left[got:]
    return torch.from_numpy(room[start : start + size - len(left)])
