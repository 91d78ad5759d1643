"""The store: blocks on disk, an index over them, and a bounded cache of what was read."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.store import block as blocks
from flowgen.store.block import Block, Damaged
from flowgen.store.index import Index
from flowgen.values.record import Record

STALE = 24 * 3600
"""seconds after which what a dead process left aside is removed"""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an item lies."""

    block: str
    row: int


class Lost(Exception):
    """Items that the index promised and that can't be read: damaged or gone. They count as not computed."""

    def __init__(self, keys: Sequence[str], reason: str) -> None:
        super().__init__(tuple(keys), reason)
        self.keys = tuple(keys)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}; {len(self.keys)} items are computed again"


class Store:
    """A store at a path. Several processes and threads may use one at once."""

    def __init__(self, path: Path, cache_bytes: int = 1 << 30) -> None:
        self.path = Path(path)
        self.cache_bytes = cache_bytes
        self.cache: OrderedDict[str, Block] = OrderedDict()
        self.lock = threading.RLock()
        try:
            for name in ("blocks", "tmp"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self.index = Index(self.path / "index.sqlite")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"can't use the store {path}: {reason}", hint="give another place with --store") from None
        self.remove_stale()
        self.sync()

    def __reduce__(self) -> Any:
        return Store, (self.path, self.cache_bytes)

    def find(self, keys: Iterable[str]) -> dict[str, Location]:
        """Where the keys that are known lie."""
        return {key: Location(*place) for key, place in self.index.find(keys).items()}

    def has(self, keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Which keys are known, for a whole column of them."""
        return self.index.has(keys)

    def write(self, keys: Sequence[str], values: Mapping[str, Record], provenance: Mapping[str, Any]) -> str:
        """Publish items, the outputs of one node by name, as one block; its name. Raises UserError on a full disk."""
        name = blocks.publish(self.path, keys, values, provenance)
        self.index.add(name, keys)
        self.keep(name, Block(tuple(keys), dict(values), dict(provenance)))
        return name

    def read(self, keys: Sequence[str], output: str) -> list[tuple[list[int], Record]]:
        """Items in groups of equal signature: their positions in ``keys``, and one batch in that order.

        Raises Lost for items that aren't there or lie in a block that is damaged, which is then set aside.
        """
        places = self.find(set(keys))
        if missing := [key for key in dict.fromkeys(keys) if key not in places]:
            raise Lost(missing, "items are gone from the store")
        by_block: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            by_block.setdefault(places[key].block, []).append(position)
        groups: dict[tuple[Any, ...], tuple[list[int], list[Record]]] = {}
        for name, positions in by_block.items():
            value = self.block(name).outputs[output]
            part = value.take([places[keys[position]].row for position in positions])
            held = groups.setdefault(part.signature(), ([], []))
            held[0].extend(positions)
            held[1].append(part)
        return [in_order(positions, type(parts[0]).concat(parts)) for positions, parts in groups.values()]

    def block(self, name: str) -> Block:
        """A block, read and verified once by this process. Raises Lost."""
        with self.lock:
            if name in self.cache:
                self.cache.move_to_end(name)
                return self.cache[name]
        try:
            found = blocks.read(self.path, name)
        except Damaged as error:
            raise self.set_aside(name, str(error)) from None
        self.keep(name, found)
        return found

    def keep(self, name: str, found: Block) -> None:
        """Hold a block in memory; the least recently used go when there are too many bytes."""
        with self.lock:
            self.cache[name] = found
            while len(self.cache) > 1 and sum(b.nbytes for b in self.cache.values()) > self.cache_bytes:
                self.cache.popitem(last=False)

    def manifest(self, name: str) -> dict[str, Any]:
        """A block's manifest. Raises Lost."""
        try:
            return blocks.read_manifest(self.path, name)
        except Damaged as error:
            raise self.set_aside(name, str(error)) from None

    def set_aside(self, name: str, reason: str) -> Lost:
        """Move a damaged block away and forget its items."""
        with self.index.lock:
            query = "SELECT key FROM items WHERE block = ?"
            keys = [key for (key,) in self.index.connection.execute(query, (name,))]
        folder = blocks.folder_of(self.path, name)
        if folder.exists():
            aside = self.path / "damaged" / f"{name}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            os.rename(folder, aside)
        self.index.drop([name])
        with self.lock:
            self.cache.pop(name, None)
        return Lost(keys, f"block {name[:8]} is damaged: {reason}")

    def verify(self) -> list[str]:
        """Read every block from the disk; the names of the damaged ones, which are set aside."""
        bad = []
        for name in sorted(self.on_disk()):
            try:
                blocks.read(self.path, name)
            except Damaged as error:
                self.set_aside(name, str(error))
                bad.append(name)
        return bad

    def sync(self) -> None:
        """Bring the index up to the blocks on disk: a crash may have come between the two."""
        disk, known = self.on_disk(), self.index.blocks()
        self.index.drop(known - disk)
        for name in sorted(disk - known):
            try:
                self.index.add(name, blocks.read_manifest(self.path, name)["keys"])
            except Damaged as error:
                self.set_aside(name, str(error))

    def rebuild_index(self) -> int:
        """Make the index anew from the manifests; how many blocks there are."""
        self.index.clear()
        self.sync()
        return len(self.index.blocks())

    def on_disk(self) -> set[str]:
        """Names of the blocks on disk."""
        return {path.name for path in (self.path / "blocks").glob("??/*")}

    def remove_stale(self) -> None:
        """Remove what dead processes left aside."""
        for path in (self.path / "tmp").iterdir():
            try:
                if time.time() - path.stat().st_mtime > STALE:
                    shutil.rmtree(path)
            except FileNotFoundError:
                continue

    def file_digest(self, path: Path) -> str:
        """sha256 of a file's content, remembered by path, size and time."""
        absolute = str(Path(path).resolve())
        about = os.stat(absolute)
        known = self.index.digest(absolute, about.st_size, about.st_mtime_ns)
        if known is None:
            with open(absolute, "rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
            self.index.remember(absolute, about.st_size, about.st_mtime_ns, known)
        return known

    def close(self) -> None:
        """Let the index go."""
        self.index.close()


def in_order(positions: list[int], batch: Record) -> tuple[list[int], Record]:
    """A group with its positions ascending."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    if order == list(range(len(order))):
        return positions, batch
    return [positions[n] for n in order], batch.take(order)
