"""Copies of blocks on this machine's disk, for a store in object storage; bounded, the least recently used go."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flowgen.store import block as blocks
from flowgen.store.block import Block
from flowgen.store.folder import Folder
from flowgen.store.manifest import Pieces, size_of
from flowgen.store.medium import BLOCKS, Damaged, place_of
from flowgen.store.patience import Unwritable

LIMIT = 16 << 30
"""bytes of all copies"""
PARTS = 16
"""of the limit: after each the copies are counted anew, since other processes make some too"""


class Copies:
    """The copies of one store's blocks. Threads and processes may use them at once."""

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.folder = Folder(root, lasting=False)
        self.limit = limit
        self.uncounted = limit
        """bytes that were added since the copies were counted"""

    def read(self, name: str) -> Block | None:
        """A block, verified as any; None if there is no copy, or a bad one, which is removed."""
        try:
            found = blocks.read(self.folder, name)
            os.utime(self.folder.root / place_of(name))
        except (Damaged, OSError):
            with suppress(Unwritable):
                self.folder.delete([place_of(name)])
            return None
        return found

    def keep(self, name: str, pieces: Pieces) -> None:
        """Keep a copy. That there is no room for it is no error."""
        with suppress(Unwritable, OSError):
            blocks.put(self.folder, name, pieces)
            self.uncounted += size_of(pieces)
            if self.uncounted > self.limit // PARTS:
                self.trim()

    def drop(self, name: str) -> None:
        """Let a copy go."""
        with suppress(Unwritable):
            self.folder.delete([place_of(name)])

    def trim(self) -> None:
        """Remove the least recently used until there is room for as much as is added before the next time."""
        self.folder.sweep()
        copies = sorted(self.folder.entries(BLOCKS), key=lambda entry: entry.time)
        excess = sum(entry.size for entry in copies) - (self.limit - self.limit // PARTS)
        for entry in copies:
            if excess <= 0:
                break
            self.folder.delete([entry.name])
            excess -= entry.size
        self.uncounted = 0
