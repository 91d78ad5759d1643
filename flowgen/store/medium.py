"""What a store asks of the place where it lies, be it a folder or object storage."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from flowgen.store.zarr_format import Buffer

BLOCKS = "blocks"
DAMAGED = "damaged"
MANIFEST = "block.json"
"""the last file of a block to be there: a block without it isn't one"""


class Damaged(Exception):
    """A block that isn't what was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object."""

    name: str
    """path in the store, parts divided by ``/``"""
    size: int
    """bytes"""
    time: float
    """when it was written: seconds since 1970 by the clock of the medium, which may not be this machine's"""
    version: str
    """another one whenever it is written anew; empty where the medium can't tell"""


class Got(NamedTuple):
    """An object that was read."""

    data: bytes
    time: float
    """as of ``Entry``"""


@dataclass(frozen=True, slots=True)
class Shard:
    """The blocks whose names begin alike."""

    prefix: str
    blocks: frozenset[str]
    changed: int
    """a mark that changes when the blocks do; 0 if there is none"""


class Writing(Protocol):
    """A block on its way: nobody sees it before it settles."""

    def add(self, files: Mapping[str, tuple[Buffer, ...]]) -> None:
        """Take files over, each in pieces, by path in the block. The data must stay as it is until it settles."""

    def settle(self, block: str) -> None:
        """Publish under this name, the manifest last or with all else in one step. That it is there is no error."""


class Medium(Protocol):
    """A place that keeps objects by name. Safe for threads, processes and machines.

    Names are paths like ``leases/abc.claim``. What is away for a moment is tried again; all methods raise Unreachable
    if it stays away, and those that write raise Unwritable.
    """

    place: str
    """as the user calls it"""
    home: Path
    """a folder of this machine's for what may be lost: the index"""

    def put(self, name: str, data: bytes, lasting: bool = False) -> None:
        """Make an object, or replace it, in one step. lasting: on the disk when this returns."""

    def prepare(self) -> None:
        """Make sure that the place can be used. Raises OSError or UserError."""

    def get(self, names: Iterable[str]) -> dict[str, Got]:
        """Objects by name; those that aren't there are left out."""

    def stat(self, name: str) -> Entry:
        """What a listing says of one object. Raises FileNotFoundError."""

    def entries(self, folder: str) -> list[Entry]:
        """The objects in a folder and its folders. One that comes or goes meanwhile may be left out, no other."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; that one isn't there is no error."""

    def writing(self) -> AbstractContextManager[Writing]:
        """Write a block; what was written is gone if the context ends with an exception."""

    def read(self, block: str, sizes: Mapping[str, int]) -> dict[str, bytearray]:
        """Files of a block by path, up to one byte more than they should have. Raises Damaged if one can't be read."""

    def remove(self, blocks: Iterable[str]) -> None:
        """Take blocks away, each in one step for readers."""

    def set_aside(self, block: str) -> bool:
        """Move a block to ``damaged``; False if it was gone."""

    def shards(self, seen: Mapping[str, int]) -> Iterator[Shard]:
        """All blocks, but for the shards that are as they were ``seen``: their marks by prefix."""

    def sweep(self) -> None:
        """Remove what dead processes left of blocks that they were writing or removing."""


def get(medium: Medium, name: str) -> bytes:
    """One object's content. Raises FileNotFoundError."""
    found = medium.get([name])
    if name not in found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return found[name].data


def folder_of(block: str) -> str:
    """Where a block lies in a store."""
    return f"{BLOCKS}/{block[:2]}/{block}"


def manifest_at(block: str) -> str:
    """Where its manifest lies."""
    return f"{folder_of(block)}/{MANIFEST}"
