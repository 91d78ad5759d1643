"""The store: blocks on disk, an index over them, and a bounded cache of what was read."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.store import block as blocks
from flowgen.store.aside import Unwritable
from flowgen.store.block import Block, Damaged
from flowgen.store.index import About, Index
from flowgen.store.leases import Leases
from flowgen.store.recent import Recent
from flowgen.values.record import Record

STALE = 24 * 3600
"""seconds after which what a dead process left aside is removed"""
SETTLED = 2_000_000_000
"""nanoseconds after which a folder's time of change surely differs from that of a later change"""
MOVES = 3
"""how often items are looked up again that were compacted while they were read"""


class Location(NamedTuple):
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


class Gone(NamedTuple):
    """What became of an item that was in the store."""

    when: float
    """seconds since 1970"""
    reason: str
    """``collected``, or ``damaged: ...``"""


class Store:
    """A store at a path. Several processes and threads may use one at once."""

    def __init__(self, path: Path, cache_bytes: int = 1 << 26) -> None:
        self.path = Path(path)
        self.recent = Recent(cache_bytes)
        try:
            for name in ("blocks", "tmp", "leases"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self.index = Index(self.path / "index.sqlite", renewed=self.sync)
            self.leases = Leases(self.path / "leases")
        except (OSError, sqlite3.OperationalError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"can't use the store {path}: {reason}", hint="give another place with --store") from None
        self.remove_stale()
        self.sync()

    def __reduce__(self) -> Any:
        return Store, (self.path, self.recent.limit)

    def find(self, keys: Iterable[str]) -> dict[str, Location]:
        """Where the keys that are known lie."""
        return {key: Location(*place) for key, place in self.index.find(keys).items()}

    def has(self, keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Which keys are known, for a whole column of them."""
        return self.index.has(keys)

    def write(self, keys: Sequence[str], values: Mapping[str, Record], provenance: Mapping[str, Any]) -> str:
        """Publish items, the outputs of one node by name, as one block; its name. Raises Unwritable."""
        name, size = blocks.publish(self.path, keys, values, provenance)
        now = time.time()
        self.enter(About(name, str(provenance.get("type", "")), len(keys), size, now, now), keys)
        self.recent.keep(name, Block(tuple(keys), dict(values), dict(provenance)))
        return name

    def enter(self, about: About, keys: Sequence[str]) -> None:
        """Bring a published block into the index. Raises Unwritable."""
        try:
            self.index.add(about, keys)
        except sqlite3.OperationalError as error:
            raise unwritable(self.path, error) from None

    def about(self, name: str, manifest: Mapping[str, Any]) -> About:
        """What the index holds of a block that is on the disk. Raises FileNotFoundError."""
        written = os.stat(blocks.folder_of(self.path, name) / blocks.MANIFEST)
        size = sum(file["size"] for file in manifest["files"].values()) + written.st_size
        kind = str(manifest["provenance"].get("type", ""))
        return About(name, kind, len(manifest["keys"]), size, written.st_mtime, written.st_mtime)

    def read(self, keys: Sequence[str], output: str) -> list[tuple[list[int], Record]]:
        """Items in groups of equal signature: their positions in ``keys``, and one batch in that order.

        Raises Lost for items that aren't there or lie in a block that is damaged, which is then set aside.
        """
        for _ in range(MOVES):
            places = self.find(set(keys))
            if missing := [key for key in dict.fromkeys(keys) if key not in places]:
                raise Lost(missing, "items are gone from the store")
            try:
                return self.gather(keys, places, output)
            except Lost as lost:  # compacted meanwhile: its items lie in another block now
                now = self.find(places)
                if len(now) < len(places) or any(now[key] == places[key] for key in lost.keys if key in places):
                    raise
        return self.gather(keys, places, output)

    def gather(
        self, keys: Sequence[str], places: Mapping[str, Location], output: str
    ) -> list[tuple[list[int], Record]]:
        """What ``read`` answers, from these places. Raises Lost."""
        by_block: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            by_block.setdefault(places[key].block, []).append(position)
        groups: dict[tuple[Any, ...], tuple[list[int], list[Record]]] = {}
        for name, positions in by_block.items():
            try:
                found = self.block(name)
            except Lost as lost:
                asked = [keys[position] for position in positions]
                raise Lost(list(dict.fromkeys([*lost.keys, *asked])), lost.reason) from None
            rows = [places[keys[position]].row for position in positions]
            if any(
                not 0 <= row < len(found.keys) or found.keys[row] != keys[n]
                for row, n in zip(rows, positions, strict=True)
            ):
                self.rebuild_index()
                raise Lost([keys[n] for n in positions], "the index was damaged and is made anew")
            part = found.outputs[output].take(rows)
            held = groups.setdefault(part.signature(), ([], []))
            held[0].extend(positions)
            held[1].append(part)
        return [in_order(positions, type(parts[0]).concat(parts)) for positions, parts in groups.values()]

    def block(self, name: str) -> Block:
        """A block, read and verified once by this process. Raises Lost."""
        if held := self.recent.get(name):
            return held
        try:
            found = blocks.read(self.path, name)
        except Damaged as error:
            raise self.set_aside(name, str(error)) from None
        self.index.use(name)
        self.recent.keep(name, found)
        return found

    def manifest(self, name: str) -> dict[str, Any]:
        """A block's manifest. Raises Lost."""
        try:
            return blocks.read_manifest(self.path, name)
        except Damaged as error:
            raise self.set_aside(name, str(error)) from None

    def set_aside(self, name: str, reason: str) -> Lost:
        """Move a damaged block away and forget its items; what to raise."""
        folder = blocks.folder_of(self.path, name)
        there = folder.exists()
        if there:
            aside = self.path / "damaged" / f"{name}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # another process does the same
                os.rename(folder, aside)
        lost = self.index.drop([name], f"damaged: {reason}" if there else "")
        self.recent.drop(name)
        return Lost(lost, f"block {name[:8]} is {f'damaged: {reason}' if there else 'gone'}")

    def verify(self, seen: Callable[[str, str], None] = lambda name, problem: None) -> list[str]:
        """Read every block from the disk, every digest; the names of the damaged ones, which are set aside.

        ``seen`` is told of each block and what is wrong with it, if anything.
        """
        bad = []
        for name in sorted(self.on_disk()):
            problem = ""
            try:
                blocks.verify(self.path, name)
            except Damaged as error:
                if blocks.folder_of(self.path, name).exists():  # not collected meanwhile
                    problem = str(error)
                    self.set_aside(name, problem)
                    bad.append(name)
            seen(name, problem)
        return bad

    def fate(self, keys: Iterable[str]) -> dict[str, Gone]:
        """When and why items left the store; those that never were there, and long past ones, are left out."""
        return {key: Gone(*found) for key, found in self.index.gone(keys).items()}

    def sync(self) -> None:
        """Bring the index up to the blocks on disk: a crash may have come between the two.

        A folder whose time of change is as it was, and wasn't just then, is not looked into.
        """
        before, changed = self.index.shards(), {}
        for shard in sorted((self.path / "blocks").iterdir()):
            now, found = time.time_ns(), shard.stat().st_ctime_ns  # which a copy doesn't carry over
            if before.get(shard.name) != found:
                self.sync_shard(shard)
                changed[shard.name] = found if now - found > SETTLED else 0
        if any(before.get(name) != found for name, found in changed.items()):
            self.index.saw(changed)

    def sync_shard(self, shard: Path) -> None:
        """Bring the index up to the blocks of one folder."""
        known, disk = {about.name for about in self.index.blocks(shard.name)}, set(os.listdir(shard))
        if known - disk:
            self.index.drop(known - disk)
        for name in sorted(disk - known):
            try:
                manifest = blocks.read_manifest(self.path, name)
                self.enter(self.about(name, manifest), manifest["keys"])
            except Damaged as error:
                self.set_aside(name, str(error))
            except FileNotFoundError:
                continue  # collected meanwhile

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
                    shutil.rmtree(path, ignore_errors=True)
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
        """Let the index and the leases go."""
        self.index.close()
        self.leases.close()


def unwritable(path: Path, error: sqlite3.OperationalError) -> Unwritable:
    """The index can't be written: the block is published and will be found, but the run should stop."""
    hint = "make room ('flowgen cache collect') or give another place with --store; what was published is kept"
    return Unwritable(f"the index of the store {path} can't be written: {error}", hint=hint)


def in_order(positions: list[int], batch: Record) -> tuple[list[int], Record]:
    """A group with its positions ascending."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    if order == list(range(len(order))):
        return positions, batch
    return [positions[n] for n in order], batch.take(order)
