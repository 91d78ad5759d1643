"""Entries of a store moved to another: a folder, or one tar file, of whole blocks, each verified on arrival."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from flowgen.errors import UserError
from flowgen.store import block as blocks
from flowgen.store.medium import BLOCKS, Damaged, Medium, block_at, place_of
from flowgen.store.patience import Unwritable
from flowgen.store.places import opened
from flowgen.store.store import Store

Packed = Iterator[tuple[str, Callable[[], Tensor]]]
"""blocks by name, with what reads their bytes"""
OTHERS = (".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz", ".zst", ".zip", ".7z", ".rar")
"""how names of archives end that nobody means as names of folders"""


@dataclass(slots=True)
class Moved:
    """What an export or import did."""

    blocks: int = 0
    items: int = 0
    bytes: int = 0
    there: int = 0
    """blocks that the target had already"""
    bad: dict[str, str] = field(default_factory=dict)
    """blocks that are damaged, with what is wrong; they are not copied"""
    missing: int = 0
    """items asked for that the store doesn't have"""

    def count(self, data: Tensor, items: int) -> None:
        """One block more."""
        self.blocks += 1
        self.items += items
        self.bytes += len(data)


def export(store: Store, keys: Iterable[bytes], target: Path | str) -> Moved:
    """Copy the blocks that hold these items to a folder, a URL, or a tar file if the name ends with ``.tar``.

    Raises UserError where the target can't be written, or is named as an archive of another kind.
    """
    if isinstance(target, Path) and target.suffix.lower() in OTHERS and not target.is_dir():
        raise UserError(f"an export is a folder or a .tar file, not '{target.suffix}'", hint="--to NAME.tar")
    wanted = {key.hex() for key in keys}
    places = store.find(wanted)
    done = Moved(missing=len(wanted) - len(places))
    names = sorted({place.block for place in places.values()})
    try:
        if isinstance(target, Path) and target.suffix == ".tar":
            pack(store, names, target, done)
            return done
        medium = opened(target)
        medium.prepare()
        for name, data, items in sound(((name, partial(blocks.load, store.medium, name)) for name in names), done):
            move(medium, name, data, items, done)
    except OSError as error:
        raise Unwritable(f"'{target}' can't be written: {error.strerror or error}") from None
    return done


def move(medium: Medium, name: str, data: Tensor, items: int, done: Moved) -> bool:
    """Put a sound block into a store; whether it wasn't there."""
    if medium.get([place_of(name)], last=1):
        done.there += 1
        return False
    blocks.put(medium, name, (data.numpy().data,))
    done.count(data, items)
    return True


def pack(store: Store, names: Iterable[str], target: Path, done: Moved) -> None:
    """Write blocks to a tar file, which is there when it is whole."""
    aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        with tarfile.open(aside, "w") as tar:
            for name, data, items in sound(((n, partial(blocks.load, store.medium, n)) for n in names), done):
                info = tarfile.TarInfo(place_of(name))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data.numpy().tobytes()))
                done.count(data, items)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def sound(some: Packed, done: Moved) -> Iterator[tuple[str, Tensor, int]]:
    """The blocks of some that are what was written: name, bytes, items; the others are noted and left out."""
    for name, load in some:
        try:
            data = load()
            manifest, _ = blocks.checked(name, data, thoroughly=True)
            yield name, data, len(manifest["keys"])
        except Damaged as error:
            done.bad[name] = str(error)


def import_(store: Store, source: Path | str) -> Moved:
    """Take over the blocks of an exported folder, of another store or of a tar file. Raises UserError."""
    return take(store, packed(source))


def take(store: Store, some: Packed) -> Moved:
    """Take over blocks that ``packed`` found."""
    done = Moved()
    for name, data, items in sound(some, done):
        if move(store.medium, name, data, items, done):
            store.enter_all([name])
    return done


def packed(source: Path | str) -> Packed:
    """The blocks of a store or a tar file: name, and what reads the bytes. Raises UserError if it is none."""
    if isinstance(source, str) or (source / BLOCKS).is_dir():
        medium = opened(source)
        names = [name for shard in medium.shards({}) for name in sorted(shard.blocks)]
        return ((name, partial(blocks.load, medium, name)) for name in names)
    try:
        return members(source, tarfile.open(source))
    except (OSError, tarfile.TarError) as error:
        raise unreadable(source, error) from None


def members(source: Path, tar: tarfile.TarFile) -> Packed:
    """The blocks of a tar file that was opened. Raises UserError."""
    try:
        with tar:
            for member in tar:
                if member.isfile() and (name := block_at(member.name)):
                    yield name, partial(extracted, tar, member)
    except (OSError, tarfile.TarError) as error:
        raise unreadable(source, error) from None


def unreadable(source: Path, error: Exception) -> UserError:
    """A source that is no export."""
    hint = "a folder or a .tar file that 'flowgen cache export' wrote, or another store"
    return UserError(f"'{source}' can't be read: {error}", hint=hint)


def extracted(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Tensor:
    """The bytes of a member of a tar file."""
    file = tar.extractfile(member)
    data = bytearray(file.read() if file else b"")
    return torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
