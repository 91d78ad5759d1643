"""What a store answers: where items lie, and what became of those that it doesn't have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowgen.values.record import Record


class Location(NamedTuple):
    """Where an item lies."""

    block: str
    row: int


class Lost(Exception):
    """Items that the index promised and that can't be read: damaged or gone. They count as not computed."""

    def __init__(self, keys: Sequence[str], reason: str, damaged: bool = False) -> None:
        super().__init__(tuple(keys), reason, damaged)
        self.keys = tuple(keys)
        self.reason = reason
        self.damaged = damaged
        """a block was set aside for it"""

    def __str__(self) -> str:
        return f"{self.reason}; {len(self.keys)} items are computed again"


class Gone(NamedTuple):
    """What became of an item that was in the store."""

    when: float
    """seconds since 1970"""
    reason: str
    """``collected``, or ``damaged: ...``"""


def in_order(positions: list[int], batch: Record) -> tuple[list[int], Record]:
    """A group with its positions ascending."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    if order == list(range(len(order))):
        return positions, batch
    return [positions[n] for n in order], batch.take(order)
