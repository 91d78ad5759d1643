"""Trajectories of a loop's items: their keys, and how far two of them agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.columns import Column
from flowgen.plan.programs import Chain, Programs
from flowgen.store import key_columns, keys

Point = tuple[Chain, tuple[str, ...], tuple[str, ...]]
"""a program, the keys at the loop's ports, and the keys of its slots"""
APART = -1
"""two items that don't even begin alike"""
ABSENT = -1
"""in tables by slot: a program has no such slot"""


class Trajectories:
    """What determines every state of a loop's items."""

    def __init__(self, programs: Programs, program: Column, ports: dict[str, Column], slots: list[Column]) -> None:
        self.programs = programs
        self.program = program
        """Chain of each point"""
        self.ports = ports
        self.slots = slots

    def points(self, axes: Sequence[str], lengths: Mapping[str, int], rows: NDArray[np.int64]) -> Iterator[Point]:
        """Some points along some axes, by their flat index."""
        chains = self.program.at(axes, lengths, rows).tolist()
        ports = [texts(column.at(axes, lengths, rows)) for column in self.ports.values()]
        slots = [texts(column.at(axes, lengths, rows)) for column in self.slots]
        every = zip(*ports, strict=True) if ports else [()] * len(chains)
        yield from zip(chains, every, zip(*slots, strict=True) if slots else [()] * len(chains), strict=True)

    def key(self, chain: Chain, ports: tuple[str, ...], slots: tuple[str, ...], steps: int | None = None) -> str:
        """The key of the state after some steps; of the loop's result by default."""
        done = chain.length if steps is None else steps
        wired = [(name, [key]) for name, key in zip(self.ports, ports, strict=True)]
        wired += [(f"slot {n}", [slots[slot]]) for n, slot in enumerate(chain.used(done))]
        found = keys.item_key(chain.digests[done], "", wired)
        return found if steps is None else keys.digest("state", found)

    def keys(self, axes: Sequence[str], lengths: Mapping[str, int]) -> NDArray[Any]:
        """``key`` of every point along some axes, flat."""
        chains, number = self.numbered(axes, lengths)
        made = np.empty(len(number), dtype=key_columns.DTYPE)
        for n, chain in enumerate(chains):
            rows = np.flatnonzero(number == n)
            made[rows] = self.column(chain, axes, lengths, rows)
        return made

    def states(
        self, axes: Sequence[str], lengths: Mapping[str, int], steps: Callable[[Chain], Iterable[int]]
    ) -> Iterator[NDArray[Any]]:
        """The keys of the states after some ``steps`` of each program, of every point along some axes that has it."""
        chains, number = self.numbered(axes, lengths)
        for n, chain in enumerate(chains):
            rows = np.flatnonzero(number == n)
            for step in steps(chain):
                yield self.column(chain, axes, lengths, rows, step)

    def column(
        self,
        chain: Chain,
        axes: Sequence[str],
        lengths: Mapping[str, int],
        rows: NDArray[np.int64],
        steps: int | None = None,
    ) -> NDArray[Any]:
        """``key`` of some points along some axes, all of one program."""
        done = chain.length if steps is None else steps
        wired = list(self.ports.items())
        wired += [(f"slot {n}", self.slots[slot]) for n, slot in enumerate(chain.used(done))]
        ports = [(name, [column.at(axes, lengths, rows)]) for name, column in wired]
        found = key_columns.item_keys(chain.digests[done], "", ports, len(rows))
        return found if steps is None else key_columns.digests("state", [found], len(rows))

    def varying(self, axes: Sequence[str]) -> tuple[str, ...]:
        """Those of some axes along which the loop's items differ."""
        columns = [self.program, *self.ports.values(), *self.slots]
        return tuple(axis for axis in axes if any(axis in column.axes for column in columns))

    def numbered(self, axes: Sequence[str], lengths: Mapping[str, int]) -> tuple[list[Chain], NDArray[np.int64]]:
        """The programs that occur, in an order in which those that begin alike stand together, and which of them each
        point along some axes has.
        """
        every = {id(chain): chain for chain in self.program.values.flat}
        chains = sorted(every.values(), key=lambda chain: chain.digests)
        rank = {id(chain): n for n, chain in enumerate(chains)}
        number = self.program.map(lambda chain: rank[id(chain)])
        return chains, number.over(axes, lengths).astype(np.int64)

    def arranged(
        self, axes: Sequence[str], lengths: Mapping[str, int], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Some points in an order in which those that share most stand together, and the number of leading steps that
        each shares with the one before it: both begin alike and do the same to the same; APART where they don't even
        begin alike.
        """
        chains, number = self.numbered(axes, lengths)
        number = number[rows]
        begun = combined([ranked(column).at(axes, lengths, rows) for column in self.ports.values()], len(rows))
        slots = self.read(chains, number, axes, lengths, rows)
        first_use = by_slot([chain.first_use for chain in chains], len(slots))
        early = [np.where(first_use[number, n] == 0, slot, ABSENT) for n, slot in enumerate(slots)]
        head = np.unique([chain.digests[0] for chain in chains], return_inverse=True)[1]
        order = np.lexsort([*reversed(slots), number, *reversed(early), head[number], begun])
        one, other = order[:-1], order[1:]
        share = common_steps(chains, number[one], number[other])
        for n, slot in enumerate(slots):
            both = (slot[one] != ABSENT) & (slot[other] != ABSENT)  # where one has it not, their steps differ by then
            parts = both & (slot[one] != slot[other]) & (share > APART)
            share = np.where(parts, np.minimum(share, first_use[number[one], n]), share)
        share[begun[one] != begun[other]] = APART
        return rows[order], np.concatenate([[APART], share])

    def read(
        self,
        chains: Sequence[Chain],
        number: NDArray[np.int64],
        axes: Sequence[str],
        lengths: Mapping[str, int],
        rows: NDArray[np.int64],
    ) -> list[NDArray[np.int64]]:
        """What some points read in each slot, as their programs number the slots: equal numbers for equal keys, ABSENT
        where a program has no such slot. ``number`` is the program of each point.
        """
        own = by_slot([chain.slots for chain in chains], max((len(chain.slots) for chain in chains), default=0))
        if not own.size:
            return []
        whole = key_columns.distinct(np.concatenate([column.values.ravel() for column in self.slots])).item
        parts = np.split(whole, np.cumsum([column.values.size for column in self.slots])[:-1])
        held = [
            Column(column.axes, part.reshape(column.values.shape)).at(axes, lengths, rows)
            for column, part in zip(self.slots, parts, strict=True)
        ]
        every = np.stack([*held, np.full(len(rows), ABSENT)])  # the last row is read where there is no slot
        return [every[own[number, n], np.arange(len(rows))] for n in range(own.shape[1])]


def by_slot(entries: Sequence[Sequence[int]], count: int) -> NDArray[np.int64]:
    """A table, a row for each program; ABSENT where a program has fewer slots."""
    found = np.full((len(entries), count), ABSENT, dtype=np.int64)
    for n, entry in enumerate(entries):
        found[n, : len(entry)] = entry
    return found


def ranked(column: Column) -> Column:
    """A column of keys as numbers, equal for equal keys, in the order in which they occur."""
    return Column(column.axes, key_columns.distinct(column.values.ravel()).item.reshape(column.values.shape))


def combined(columns: Sequence[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """Rows of several numbers as one number each, in the order of the numbers."""
    made = np.zeros(count, dtype=np.int64)
    for column in columns:
        made = made * (int(column.max(initial=0)) + 1) + column
        made = np.unique(made, return_inverse=True)[1]
    return made


def common_steps(chains: Sequence[Chain], one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many leading steps pairs of programs share; APART if they don't begin alike."""
    pairs, which = np.unique(one * len(chains) + other, return_inverse=True)
    found = []
    for pair in pairs.tolist():
        mine, theirs = chains[pair // len(chains)], chains[pair % len(chains)]
        found.append(mine.common(theirs) if mine.digests[0] == theirs.digests[0] else APART)
    return np.array(found, dtype=np.int64)[which]


def texts(column: NDArray[Any]) -> list[str]:
    """A column of keys as texts."""
    if column.dtype.kind == "S":
        return [key.decode() for key in column.tolist()]
    return list(column.tolist())


def as_text(key: Any) -> str:
    """A key as text, from a column of bytes or of texts."""
    return key.decode() if isinstance(key, bytes) else str(key)
