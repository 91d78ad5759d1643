"""Blocks of which little is wanted are written anew with only that."""

from __future__ import annotations

import os
from dataclasses import dataclass

from flowgen.store import block as blocks
from flowgen.store.block import Damaged, Unknown
from flowgen.store.collect import remove
from flowgen.store.database import only_one
from flowgen.store.index import About
from flowgen.store.reach import protected
from flowgen.store.store import Store

SHARE = 0.5
"""of a block's items; a block of which less is wanted is written anew"""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A block, and the items of it that stay."""

    old: About
    rows: list[tuple[str, int]]
    """key and row"""

    @property
    def freed(self) -> int:
        """Bytes, about."""
        return int(self.old.bytes * (1 - len(self.rows) / max(1, self.old.items)))


def plan(store: Store, wanted: set[bytes] | None = None, share: float = SHARE) -> list[Rewrite]:
    """The blocks to write anew. An item is wanted unless another block holds it too, or ``wanted`` is given without it.

    What is pinned or needed by a living run is wanted always.
    """
    keep = None if wanted is None else wanted | protected(store)
    found = []
    for about in store.index.blocks():
        rows = [(key, row) for key, row in store.index.rows(about.name) if keep is None or bytes.fromhex(key) in keep]
        if len(rows) < share * about.items:
            found.append(Rewrite(about, rows))
    return found


def compact(store: Store, rewrites: list[Rewrite]) -> int:
    """Write blocks anew; bytes freed. Readers find the items at their new place, or get Lost. Raises Unwritable."""
    freed = 0
    with only_one(store.path / "collect.lock"):
        for rewrite in rewrites:
            freed += rewrite_block(store, rewrite)
    return freed


def rewrite_block(store: Store, rewrite: Rewrite) -> int:
    """Write one block anew; bytes freed."""
    name, rows = rewrite.old.name, rewrite.rows
    if not rows:
        remove(store, [name], "collected")
        return rewrite.old.bytes
    try:
        old = blocks.read(store.path, name)
    except Unknown:
        return 0  # of a pack that isn't here: its blocks stay as they are
    except Damaged as error:
        if os.path.exists(blocks.folder_of(store.path, name)):
            store.set_aside(name, str(error))
        return 0
    if any(row >= len(old.keys) or old.keys[row] != key for key, row in rows):
        store.rebuild_index()
        return 0
    values = {output: value.take([row for _, row in rows]) for output, value in old.outputs.items()}
    keys = [key for key, _ in rows]
    new, size = blocks.publish(store.path, keys, values, {**old.provenance, "compacted": name})
    about = About(new, rewrite.old.type, len(keys), size, rewrite.old.published, rewrite.old.used)
    left_out = set(old.keys) - set(keys)
    store.index.move(name, about, [(key, row) for row, key in enumerate(keys)])
    remove(store, [name], "")
    missing = left_out - set(store.find(left_out))
    if missing:
        store.index.remember_gone(missing, "collected")
    return rewrite.old.bytes - size
