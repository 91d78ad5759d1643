"""Trajectories of a loop's items: their keys, and how far two of them agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from flowgen.graph.columns import Column
from flowgen.plan.programs import Chain, Programs
from flowgen.store import keys

Point = tuple[Chain, tuple[str, ...], tuple[str, ...]]
"""a program, the keys at the loop's ports, and the keys of its slots"""
APART = -1
"""two items that don't even begin alike"""


class Trajectories:
    """What determines every state of a loop's items."""

    def __init__(self, programs: Programs, program: Column, ports: dict[str, Column], slots: list[Column]) -> None:
        self.programs = programs
        self.program = program
        """Chain of each point"""
        self.ports = ports
        self.slots = slots

    def points(self, axes: Sequence[str], lengths: Mapping[str, int]) -> Iterator[Point]:
        """Every point along some axes, in order."""
        chains = self.program.over(axes, lengths).tolist()
        ports = [texts(column.over(axes, lengths)) for column in self.ports.values()]
        slots = [texts(column.over(axes, lengths)) for column in self.slots]
        every = zip(*ports, strict=True) if ports else [()] * len(chains)
        yield from zip(chains, every, zip(*slots, strict=True) if slots else [()] * len(chains), strict=True)

    def key(self, chain: Chain, ports: tuple[str, ...], slots: tuple[str, ...], steps: int | None = None) -> str:
        """The key of the state after some steps; of the loop's result by default."""
        done = chain.length if steps is None else steps
        wired = [(name, [key]) for name, key in zip(self.ports, ports, strict=True)]
        wired += [(f"slot {n}", [slots[slot]]) for n, slot in enumerate(chain.used(done))]
        found = keys.item_key(chain.digests[done], "", wired)
        return found if steps is None else keys.digest("state", found)

    def order(self, points: Sequence[Point]) -> list[int]:
        """The points in an order in which those that share most stand together."""
        ranks = {id(chain): rank for rank, chain in enumerate(sorted(distinct(points), key=lambda c: c.digests))}
        seen = {ports: n for n, ports in enumerate(dict.fromkeys(ports for _, ports, _ in points))}

        def place(n: int) -> tuple[Any, ...]:
            chain, ports, slots = points[n]
            early = tuple(slots[slot] for slot in chain.used(1))
            return seen[ports], early, ranks[id(chain)], slots, n

        return sorted(range(len(points)), key=place)


def distinct(points: Sequence[Point]) -> list[Chain]:
    """The programs that occur."""
    return list({id(chain): chain for chain, _, _ in points}.values())


def shared(one: Point, other: Point) -> int:
    """The number of leading steps that two items share: both begin alike and do the same to the same; or APART."""
    if one[1] != other[1] or one[0].digests[0] != other[0].digests[0]:
        return APART
    common = one[0].common(other[0])
    for first, mine, theirs in zip(one[0].first_use, one[0].slots, other[0].slots, strict=False):
        if one[2][mine] != other[2][theirs]:
            common = min(common, first)
    return common


def texts(column: NDArray[Any]) -> list[str]:
    """A column of keys as texts."""
    if column.dtype.kind == "S":
        return [key.decode() for key in column.tolist()]
    return list(column.tolist())


def as_text(key: Any) -> str:
    """A key as text, from a column of bytes or of texts."""
    return key.decode() if isinstance(key, bytes) else str(key)
