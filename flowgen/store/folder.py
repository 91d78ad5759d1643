"""A store's folder on a file system: of this machine, or one that machines share."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from flowgen.store.aside import TMP, Aside, aside, sync, unwritable, write_file
from flowgen.store.medium import BLOCKS, DAMAGED, Damaged, Entry, Got, Shard, folder_of
from flowgen.store.patience import PASSING, patiently

STALE = 24 * 3600
"""seconds after which what a dead process left aside is removed"""
FORGOTTEN = 90 * 24 * 3600
"""seconds after which an index that nobody wrote to is removed; a machine that comes back makes another"""
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
        """blocks are on the disk when they are published; else they may be lost when the machine stops"""

    def prepare(self) -> None:
        """Make the folders. Raises OSError."""
        for name in (BLOCKS, TMP):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes, lasting: bool = False) -> None:
        """Write aside and rename. Raises Unwritable."""
        target, made = self.root / name, self.root / TMP / uuid.uuid4().hex

        def work() -> None:
            try:
                write_file(made, (data,))
                if lasting:
                    sync(made)
                os.replace(made, target)
            except BaseException:
                with suppress(OSError):
                    os.unlink(made)
                raise

        with refusing(self.root):
            try:
                patiently(work, self.root)
            except FileNotFoundError:  # the first of its folder
                for folder in (made.parent, target.parent):
                    folder.mkdir(parents=True, exist_ok=True)
                patiently(work, self.root)

    def get(self, names: Iterable[str]) -> dict[str, Got]:
        """Files by name."""
        found = {}
        for name in names:
            with suppress(FileNotFoundError):
                found[name] = patiently(partial(read_whole, f"{self.root}/{name}"), self.root, READING)
        return found

    def stat(self, name: str) -> Entry:
        """A file. Raises FileNotFoundError."""
        return patiently(lambda: entry(name, os.stat(f"{self.root}/{name}")), self.root)

    def entries(self, folder: str) -> list[Entry]:
        """The files in a folder and its folders."""
        return patiently(lambda: list(walk(f"{self.root}/{folder}", folder)), self.root)

    def delete(self, names: Iterable[str]) -> None:
        """Delete files."""
        for name in names:
            with refusing(self.root), suppress(FileNotFoundError):
                patiently(partial(os.unlink, f"{self.root}/{name}"), self.root)

    def writing(self) -> AbstractContextManager[Aside]:
        """A folder aside that becomes a block by one rename."""
        return aside(self.root, self.lasting)

    def read(self, block: str, sizes: Mapping[str, int]) -> dict[str, bytearray]:
        """Files of a block. Raises Damaged."""
        folder = f"{self.root}/{folder_of(block)}"
        data = {}
        for path, size in sizes.items():
            try:
                data[path] = patiently(partial(read_file, f"{folder}/{path}", size), self.root, READING)
            except OSError as error:
                raise Damaged(f"{path} can't be read ({error.strerror})") from None
        return data

    def remove(self, blocks: Iterable[str]) -> None:
        """Rename blocks, then delete them."""
        aside = []
        for block in blocks:
            target = f"{self.root}/{TMP}/{uuid.uuid4().hex}"
            if self.rename(block, target):
                aside.append(target)
        for target in aside:
            shutil.rmtree(target, ignore_errors=True)

    def set_aside(self, block: str) -> bool:
        """Rename a block; False if it was gone."""
        with refusing(self.root):
            patiently(partial(os.makedirs, self.root / DAMAGED, exist_ok=True), self.root)
        return self.rename(block, f"{self.root}/{DAMAGED}/{block}-{time.time_ns()}")

    def rename(self, block: str, target: str) -> bool:
        """Move a block; False if it was gone. Raises Unwritable."""
        try:
            with refusing(self.root):
                patiently(partial(os.rename, self.root / folder_of(block), target), self.root)
        except FileNotFoundError:
            return False
        return True

    def shards(self, seen: Mapping[str, int]) -> Iterator[Shard]:
        """The folders of blocks whose time of change differs from what was seen, or was just then."""
        for prefix in sorted(patiently(partial(os.listdir, self.root / BLOCKS), self.root)):
            folder = self.root / BLOCKS / prefix
            before, changed = time.time_ns(), patiently(partial(os.stat, folder), self.root).st_ctime_ns
            if seen.get(prefix) != changed:  # a copy doesn't carry it over
                names = frozenset(patiently(partial(os.listdir, folder), self.root))
                yield Shard(prefix, names, changed if before - changed > SETTLED else 0)

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


def remove_old(path: Path, age: float) -> None:
    """Remove a file or folder that wasn't changed for some seconds."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > age:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def entry(name: str, about: os.stat_result) -> Entry:
    """A file as a listing has it. It may be written anew while others are listed, so that no version is given."""
    return Entry(name, about.st_size, about.st_mtime, "")


def walk(folder: str, name: str) -> Iterator[Entry]:
    """The files below a folder; none if it isn't there."""
    try:
        found = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for each in found:
        try:
            if each.is_dir(follow_symlinks=False):
                yield from walk(each.path, f"{name}/{each.name}")
            else:
                yield entry(f"{name}/{each.name}", os.stat(each.path))
        except FileNotFoundError:
            continue


def read_whole(path: str) -> Got:
    """A file."""
    with open(path, "rb", buffering=0) as file:
        return Got(file.readall(), os.fstat(file.fileno()).st_mtime)


def read_file(path: str, size: int) -> bytearray:
    """A file of which the size is known, and one byte more if it is longer. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        data = bytearray(size + 1)
        got = 0
        while more := file.readinto(memoryview(data)[got:]):
            got += more
    del data[got:]
    return data
