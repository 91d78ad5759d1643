"""Blocks written anew: those of which little is wanted with only that, small ones many in one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowgen.store import block as blocks
from flowgen.store.answers import Lost
from flowgen.store.block import Block, Unknown
from flowgen.store.collect import only_one, remove
from flowgen.store.index import About
from flowgen.store.manifest import size_of
from flowgen.store.medium import Damaged
from flowgen.store.reach import protected
from flowgen.store.store import Store

SHARE = 0.5
"""of a block's items; a block of which less is wanted is written anew"""
SMALL = 1 << 20
"""bytes of a block that is merged with others of its kind"""
LARGE = 32 << 20
"""bytes of what they are merged into, at most: a reader holds 64 MB of blocks and reads each as a whole"""
APART = ("seconds", "created", "torch", "run", "compacted", "of")
"""what may differ in the provenance of blocks that are merged"""


@dataclass(frozen=True, slots=True)
class Part:
    """A block, and the items of it that stay."""

    about: About
    rows: list[tuple[str, int]]
    """key and row"""

    @property
    def bytes(self) -> int:
        """Size of what stays, about."""
        return int(self.about.bytes * len(self.rows) / max(1, self.about.items))


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Blocks that become one."""

    parts: list[Part]

    @property
    def freed(self) -> int:
        """Bytes of items that go, about."""
        return sum(part.about.bytes - part.bytes for part in self.parts)

    @property
    def left_out(self) -> int:
        """Items that go."""
        return sum(part.about.items - len(part.rows) for part in self.parts)


def plan(store: Store, wanted: set[bytes] | None = None, share: float = SHARE) -> list[Rewrite]:
    """The blocks to write anew. An item is wanted unless another block holds it too, or ``wanted`` is given without it.

    What is pinned or needed by a living run is wanted always.
    """
    keep = None if wanted is None else wanted | protected(store)
    found: list[Rewrite] = []  # blocks without wanted items come first: one may be what a crash left of a merge
    alike: dict[str, list[Part]] = {}
    for about in store.index.blocks():
        rows = [(key, row) for key, row in store.index.rows(about.name) if keep is None or bytes.fromhex(key) in keep]
        part, sparse = Part(about, rows), len(rows) < share * about.items
        if rows and about.bytes < SMALL and (form := form_of(store, about.name)):
            alike.setdefault(form, []).append(part)
        elif sparse:
            found.append(Rewrite([part]))
    for parts in alike.values():
        for several in packed(parts):
            if len(several) > 1 or len(several[0].rows) < share * several[0].about.items:
                found.append(Rewrite(several))
    return found


def form_of(store: Store, name: str) -> str:
    """What blocks share that can be one: how they were made, and the form of an item; empty for a damaged block."""
    try:
        manifest = store.manifest(name)
    except Lost:
        return ""
    outputs = {}
    for output, about in manifest["outputs"].items():
        fields = [(field, kind["shape"][1:], kind["dtype"]) for field, kind in about["fields"].items()]
        outputs[output] = (about["record"], about["metadata"], fields)
    return repr((outputs, sorted((k, v) for k, v in manifest["provenance"].items() if k not in APART)))


def packed(parts: list[Part]) -> Iterator[list[Part]]:
    """Blocks in groups of at most LARGE bytes, the oldest first."""
    group: list[Part] = []
    for part in sorted(parts, key=lambda p: (p.about.published, p.about.name)):
        if group and sum(p.bytes for p in group) + part.bytes > LARGE:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def compact(store: Store, rewrites: list[Rewrite]) -> int:
    """Write blocks anew, with what is pinned or needed by a living run by now; bytes freed.

    Readers find the items at their new place, or get Lost. Raises Unwritable.
    """
    freed = 0
    with only_one(store):
        guarded = protected(store)
        for rewrite in rewrites:
            freed += rewritten(store, Rewrite([guarding(store, part, guarded) for part in rewrite.parts]))
    return freed


def guarding(store: Store, part: Part, guarded: set[bytes]) -> Part:
    """A part with the items that nothing removes."""
    more = [(key, row) for key, row in store.index.rows(part.about.name) if bytes.fromhex(key) in guarded]
    return Part(part.about, sorted({*part.rows, *more}, key=lambda place: place[1]))


def rewritten(store: Store, rewrite: Rewrite) -> int:
    """Write blocks anew as one: first the new one is there, then the index knows it, then the old ones go; bytes freed.

    A crash between leaves items twice, which the next time are found as not wanted.
    """
    empty = [part.about for part in rewrite.parts if not part.rows]
    remove(store, [about.name for about in empty], "collected")
    freed = sum(about.bytes for about in empty)
    parts = [part for part in rewrite.parts if part.rows]
    held = {part.about.name: found for part in parts if (found := sound(store, part.about.name))}
    parts = [part for part in parts if part.about.name in held]
    if any(row >= len(k := held[p.about.name].keys) or k[row] != key for p in parts for key, row in p.rows):
        store.rebuild_index()
        return freed
    if not parts:
        return freed
    keys = [key for part in parts for key, _ in part.rows]
    values = {}
    for output, value in held[parts[0].about.name].outputs.items():
        values[output] = type(value).concat(
            [held[p.about.name].outputs[output].take([row for _, row in p.rows]) for p in parts]
        )
    names = [part.about.name for part in parts]
    new, pieces = blocks.publish(store.medium, keys, values, provenance(parts, held))
    size = size_of(pieces)
    abouts = [part.about for part in parts]
    published, used = max(about.published for about in abouts), max(about.used for about in abouts)
    store.leases.tell(new)
    about = About(new, abouts[0].type, len(keys), size, published, used)
    left_out = {key for found in held.values() for key in found.keys} - set(keys)
    store.index.move(names, about, [(key, row) for row, key in enumerate(keys)])
    remove(store, names, "")
    missing = left_out - set(store.find(left_out))
    if missing:
        store.index.remember_gone(missing, "collected")
    return freed + sum(about.bytes for about in abouts) - size


def sound(store: Store, name: str) -> Block | None:
    """A block; None for one that is damaged, which is set aside, or of a pack that isn't here: that stays as it is."""
    try:
        return blocks.read(store.medium, name)
    except Unknown:
        return None
    except Damaged as error:
        store.set_aside(name, str(error))
        return None


def provenance(parts: list[Part], held: dict[str, Block]) -> dict[str, Any]:
    """What the new block says of how its items were made: the seconds of those that stay, the time of the last, and in
    which blocks, with how many of its items each, in order.
    """
    told = [held[part.about.name].provenance for part in parts]
    rows = [made_in(about, p.about.name, row) for about, p in zip(told, parts, strict=True) for _, row in p.rows]
    of = [[name, len(list(several))] for name, several in itertools.groupby(rows)]
    found: dict[str, Any] = {**told[-1], "compacted": len(parts), "of": of}
    found.pop("run", None)  # one of several
    if all("seconds" in about for about in told):
        each = (about["seconds"] * len(p.rows) / max(1, p.about.items) for about, p in zip(told, parts, strict=True))
        found["seconds"] = round(sum(each), 4)
    return found


def made_in(provenance: Mapping[str, Any], name: str, row: int) -> str:
    """The block in which an item of a block was computed: another one, where that was written anew since."""
    for block, count in provenance.get("of", ()):
        if row < count:
            return str(block)
        row -= count
    return name
