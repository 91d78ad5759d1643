"""The store: blocks in a folder or in object storage, this machine's index over them, and a cache of what was read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.store import block as blocks
from flowgen.store.answers import Gone, Location, Lost, in_order
from flowgen.store.aside import ROOM
from flowgen.store.block import Block, End
from flowgen.store.copies import Copies
from flowgen.store.file_digests import file_digest
from flowgen.store.index import About, Index
from flowgen.store.leases import Leases
from flowgen.store.manifest import parsed, size_of
from flowgen.store.medium import Damaged, Shard, place_of
from flowgen.store.patience import Unwritable
from flowgen.store.places import is_url, opened
from flowgen.store.processes import machine
from flowgen.store.recent import Recent
from flowgen.values.record import Record

CACHE = 16 << 20
"""bytes of blocks that a process holds: what a stage publishes is read by the next one soon after"""
MOVES = 3
"""how often items are looked up again that were compacted while they were read"""
AT_ONCE = 256
"""manifests that are read at one time"""


class Store:
    """A store in a folder or at a URL. Threads, processes and machines may use one at once."""

    def __init__(self, path: Path | str, cache_bytes: int = CACHE) -> None:
        self.path = path
        self.recent = Recent(cache_bytes)
        self.synced = 0.0
        """when the index was last compared with the blocks, monotonic"""
        self.told = 0.0
        """when other machines were last told of what this one used, monotonic"""
        try:
            self.medium = opened(path)
            self.medium.prepare()
            self.copies = Copies(self.medium.home / "copies") if is_url(path) else None
            self.index = Index(self.medium.home / f"index-{machine()}.sqlite", renewed=self.sync)
        except (OSError, sqlite3.OperationalError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"can't use the store {path}: {reason}", hint="give another place with --store") from None
        self.leases = Leases(self.medium)
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
        name, pieces = blocks.publish(self.medium, keys, values, provenance)
        self.leases.tell(name)
        now = time.time()
        self.enter(About(name, str(provenance.get("type", "")), len(keys), size_of(pieces), now, now), keys)
        if self.copies:
            self.copies.keep(name, pieces)
        self.recent.keep(name, Block(tuple(keys), dict(values), dict(provenance)))
        return name

    def enter(self, about: About, keys: Sequence[str]) -> None:
        """Bring a published block into the index. Raises Unwritable."""
        try:
            self.index.add(about, keys)
        except sqlite3.OperationalError as error:
            raise unwritable(self.index.path, error) from None

    def learn(self, names: Iterable[str]) -> None:
        """Bring blocks into the index that others say they published, but for those that this process just had."""
        if new := [name for name in names if name not in self.recent]:
            self.enter_all(self.index.unknown(new))

    def enter_all(self, names: Sequence[str]) -> None:
        """Bring blocks into the index by their manifests; those that are gone are left out."""
        for start in range(0, len(names), AT_ONCE):
            for name, end in blocks.ends(self.medium, names[start : start + AT_ONCE]).items():
                self.take(name, end)

    def take(self, name: str, end: End) -> None:
        """Bring a block into the index of which the end was read; a damaged one is set aside."""
        try:
            about = parsed(name, end.manifest)
        except Damaged as error:
            self.set_aside(name, str(error))
            return
        kind = str(about["provenance"].get("type", ""))
        self.enter(About(name, kind, len(about["keys"]), end.size, end.time, end.time), about["keys"])

    def read(self, keys: Sequence[str], output: str) -> list[tuple[list[int], Record]]:
        """Items in groups of equal signature: their positions in ``keys``, and one batch in that order.

        Raises Lost for items that aren't there or lie in a block that is damaged, which is then set aside.
        """
        places = self.sought(set(keys))
        for _ in range(MOVES):
            if missing := [key for key in dict.fromkeys(keys) if key not in places]:
                raise Lost(missing, "items are gone from the store")
            try:
                return self.gather(keys, places, output)
            except Lost as lost:  # compacted meanwhile: its items lie in another block now
                now = self.sought(places)
                if len(now) < len(places) or any(now[key] == places[key] for key in lost.keys if key in places):
                    raise
                places = now
        return self.gather(keys, places, output)

    def sought(self, keys: Collection[str]) -> dict[str, Location]:
        """Where keys lie, with a look at what other machines did if the index doesn't know them all."""
        places = self.find(keys)
        if len(places) < len(keys):
            self.sync()
            places = self.find(keys)
        return places

    def gather(
        self, keys: Sequence[str], places: Mapping[str, Location], output: str
    ) -> list[tuple[list[int], Record]]:
        """What ``read`` answers, from these places. Raises Lost."""
        by_block: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            by_block.setdefault(places[key].block, []).append(position)
        groups: dict[tuple[Any, ...], tuple[list[int], list[Record]]] = {}
        lost: list[Lost] = []
        for name, positions in by_block.items():
            try:
                found = self.block(name)
            except Lost as error:  # the others are looked at too, so that all is known at once
                lost.append(Lost([*error.keys, *(keys[position] for position in positions)], error.reason))
                continue
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
        if lost:
            reasons = "; ".join(error.reason for error in lost)
            raise Lost(list(dict.fromkeys(key for error in lost for key in error.keys)), reasons)
        return [in_order(positions, type(parts[0]).concat(parts)) for positions, parts in groups.values()]

    def block(self, name: str) -> Block:
        """A block, read and verified once by this process. Raises Lost."""
        if held := self.recent.get(name):
            return held
        try:
            found = (self.copies and self.copies.read(name)) or self.fetched(name)
        except Damaged as error:
            raise self.set_aside(name, str(error)) from None
        self.index.use(name)
        self.recent.keep(name, found)
        return found

    def fetched(self, name: str) -> Block:
        """A block of the medium. Raises Damaged."""
        if not self.copies:
            return blocks.read(self.medium, name)
        try:
            found = blocks.opened(name, data := blocks.load(self.medium, name))
        except Damaged:  # on the way, perhaps
            found = blocks.opened(name, data := blocks.load(self.medium, name))
        self.copies.keep(name, (data.numpy().data,))
        return found

    def manifest(self, name: str) -> dict[str, Any]:
        """A block's manifest. Raises Lost."""
        try:
            return blocks.read_manifest(self.medium, name)
        except Damaged as error:
            raise self.set_aside(name, str(error)) from None

    def set_aside(self, name: str, reason: str) -> Lost:
        """Move a damaged block away and forget its items; what to raise."""
        there = self.medium.set_aside(name)
        lost = self.index.drop([name], f"damaged: {reason}" if there else "")
        self.forget(name)
        if lost:
            self.enter_all(self.index.shadowed())
        return Lost(lost, f"block {name[:8]} is damaged: {reason}" if there else f"block {name[:8]} is gone", there)

    def forget(self, name: str) -> None:
        """Let what this process and this machine hold of a block go."""
        self.recent.drop(name)
        if self.copies:
            self.copies.drop(name)

    def verify(self, seen: Callable[[str, str], None] = lambda name, problem: None) -> list[str]:
        """Read every block from the disk, every byte; the names of the damaged ones, which are set aside.

        ``seen`` is told of each block and what is wrong with it, if anything.
        """
        bad = []
        for name in sorted(self.on_disk()):
            problem = ""
            try:
                blocks.verify(self.medium, name)
            except Damaged as error:
                if self.set_aside(name, str(error)).damaged:  # not collected meanwhile
                    problem = str(error)
                    bad.append(name)
            seen(name, problem)
        return bad

    def fate(self, keys: Iterable[str]) -> dict[str, Gone]:
        """When and why items left the store; those that never were there, and long past ones, are left out."""
        return {key: Gone(*found) for key, found in self.index.gone(keys).items()}

    def sync(self, since: float = 0.0) -> None:
        """Bring the index up to the blocks that there are: other machines publish, and a crash may have come between.

        Shards that didn't change since are not looked into, where the medium can tell. since: seconds for which it
        does to have done so last.
        """
        if since and time.monotonic() - self.synced < since:
            return
        self.synced = time.monotonic()
        before = self.index.shards()
        shards = list(self.medium.shards(before))
        gone = [name for shard in shards for name in self.gone(shard)]
        if gone and self.index.drop(gone):
            self.enter_all(self.index.shadowed())
        self.enter_all(self.index.unknown(sorted(name for shard in shards for name in shard.blocks)))
        changed = {shard.prefix: shard.changed for shard in shards}
        if any(before.get(name) != found for name, found in changed.items()):
            self.index.saw(changed)

    def gone(self, shard: Shard) -> list[str]:
        """The blocks of a shard that the index knows and that aren't there any more."""
        missing = {about.name for about in self.index.blocks(shard.prefix)} - shard.blocks
        there = self.medium.get(map(place_of, missing), last=1)  # those published since the blocks were listed
        return [name for name in missing if place_of(name) not in there]

    def rebuild_index(self) -> int:
        """Make the index anew from the manifests; how many blocks there are."""
        self.index.clear()
        self.sync()
        return len(self.index.blocks())

    def on_disk(self) -> set[str]:
        """Names of the blocks that there are."""
        return {name for shard in self.medium.shards({}) for name in shard.blocks}

    def file_digest(self, path: Path) -> str:
        """sha256 of a file's content, remembered while the file stays as it was."""
        return file_digest(self.index, path)

    def close(self) -> None:
        """Let the index and the leases go."""
        self.index.close()
        self.leases.close()


def unwritable(index: Path, error: sqlite3.OperationalError) -> Unwritable:
    """The index can't be written: the block is published and will be found, but the run should stop."""
    return Unwritable(f"the index of the store {index} can't be written: {error}", hint=ROOM)
