"""The blocks that a process had to do with last: a short cut past the disk, bounded in bytes, never the only copy."""

from __future__ import annotations

import threading
from collections import OrderedDict

from flowgen.store.block import Block


class Recent:
    """Blocks by name; the least recently used go when there are too many bytes. Safe for threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """bytes of tensors; the newest block stays even if it alone is larger"""
        self.bytes = 0
        self.lock = threading.Lock()
        self.blocks: OrderedDict[str, tuple[Block, int]] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self.blocks

    def get(self, name: str) -> Block | None:
        """A block, if it is held."""
        with self.lock:
            if name not in self.blocks:
                return None
            self.blocks.move_to_end(name)
            return self.blocks[name][0]

    def keep(self, name: str, block: Block) -> None:
        """Hold a block."""
        size = block.nbytes
        with self.lock:
            self.bytes += size - self.blocks.get(name, (block, 0))[1]
            self.blocks[name] = (block, size)
            self.blocks.move_to_end(name)
            while self.bytes > self.limit and len(self.blocks) > 1:
                self.bytes -= self.blocks.popitem(last=False)[1][1]

    def drop(self, name: str) -> None:
        """Let a block go."""
        with self.lock:
            self.bytes -= self.blocks.pop(name, (None, 0))[1]

    def clear(self) -> None:
        """Let all go."""
        with self.lock:
            self.blocks.clear()
            self.bytes = 0
