"""What a store asks of the place where it lies, be it a folder or object storage."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from flowgen.store.zarr_format import Buffer

BLOCKS = "blocks"
DAMAGED = "damaged"
PLACE = re.compile(rf"{BLOCKS}/([0-9a-f]{{2}})/(\1[0-9a-f]{{38}})\.zip")


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
    """when it was written: seconds since 1970 by the clock of the medium, which may not be this machine's; 0 if it
    wasn't asked"""
    version: str
    """another one whenever it is written anew; empty where the medium can't tell"""


class Got(NamedTuple):
    """An object that was read."""

    data: bytes
    size: int
    """bytes of the whole object"""
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
    """An object on its way: nobody sees it before it settles. The data must stay as it is until then."""

    def write(self, at: int, data: Sequence[Buffer]) -> None:
        """Write from an offset on, in pieces."""

    def settle(self, name: str) -> None:
        """Make it an object, in one step. It has this content wherever it is there, and may stay as it is."""


class Medium(Protocol):
    """A place that keeps objects by name. Safe for threads, processes and machines.

    Names are paths like ``leases/abc.claim``. What is away for a moment is tried again; all methods raise Unreachable
    if it stays away, and those that write raise Unwritable.
    """

    place: str
    """as the user calls it"""
    home: Path
    """a folder of this machine's for what may be lost: the index"""

    def put(self, name: str, data: bytes, lasting: bool = False, whole: bool = True) -> None:
        """Make an object, or replace it, in one step. lasting: on the disk when this returns.

        whole: who reads it meanwhile sees all of it or nothing; else he may see its beginning, which costs less.
        """

    def writing(self, lasting: bool) -> AbstractContextManager[Writing]:
        """Write an object of which the name isn't known yet; what was written is gone if it doesn't settle.

        What passes isn't tried again: raises OSError for that, Unwritable for all else.
        """

    def prepare(self) -> None:
        """Make sure that the place can be used, and remove what dead processes left. Raises OSError or UserError."""

    def get(self, names: Iterable[str], last: int = 0) -> dict[str, Got]:
        """Objects by name, or their ``last`` bytes; those that aren't there are left out."""

    def read(self, name: str) -> Tensor:
        """An object's bytes, in memory that is the caller's and aligned for any number. Raises OSError."""

    def stat(self, name: str) -> Entry:
        """What a listing says of one object. Raises FileNotFoundError."""

    def entries(self, folder: str, bare: bool = False) -> list[Entry]:
        """The objects in a folder and its folders. One that comes or goes meanwhile may be left out, no other.

        bare: names are enough; sizes and times are left at 0 where each would have to be asked for.
        """

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; that one isn't there is no error."""

    def set_aside(self, block: str) -> bool:
        """Move a block to ``damaged``; False if it was gone."""

    def shards(self, seen: Mapping[str, int]) -> Iterator[Shard]:
        """All blocks, but for the shards that are as they were ``seen``: their marks by prefix."""


def get(medium: Medium, name: str) -> bytes:
    """One object's content. Raises FileNotFoundError."""
    found = medium.get([name])
    if name not in found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return found[name].data


def place_of(block: str) -> str:
    """Where a block lies in a store."""
    return f"{BLOCKS}/{block[:2]}/{block}.zip"


def block_at(name: str) -> str:
    """The block that lies at a place; empty for another object."""
    found = PLACE.fullmatch(name)
    return found[2] if found else ""


def strangers(medium: Medium) -> int:
    """How many things lie among the blocks that are none: blocks of an earlier layout were folders."""
    names = (entry.name for entry in medium.entries(BLOCKS))
    return len({"/".join(name.split("/")[:3]) for name in names if not block_at(name)})
