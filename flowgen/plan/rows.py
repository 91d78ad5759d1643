"""Rows of model calls: how many a plan needs, and how many it would be if each item were computed alone.

A loop's items whose states are equal share a row in every node of the body that does the same to the same. ``share[n]``
leading steps are equal for an item and the one before it, so at step i a new state begins at every item with
``share[n] < i``, and an item with ``share[n] == i`` has the state of the one before it and goes on differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.model import Graph, GraphNode
from flowgen.plan.cuts import Cut
from flowgen.plan.programs import Chain, Reading
from flowgen.plan.trajectories import APART, Trajectories, combined

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a node's model calls."""

    alone: int
    """if every item were computed on its own"""
    planned: int
    """with common beginnings of trajectories and equal inputs computed once"""


def body_rows(graph: Graph, loop: GraphNode, trajectories: Trajectories, cuts: Sequence[Cut]) -> dict[str, Rows]:
    """Rows of the nodes in a loop's own body that use a model, for the items of its parcels; not of inner loops'."""
    members = [n for n in graph.bodies[loop.name] if (t := graph.nodes[n].type).uses_model and t.kind != "loop"]
    found = {name: Rows(0, 0) for name in members}
    if not cuts:
        return found
    rows = np.concatenate([cut.rows for cut in cuts])
    share = np.concatenate([apart(cut) for cut in cuts])
    items = Items(graph, loop, trajectories, rows, share)
    for name in members:
        alone = planned = 0
        for step in range(max(chain.length for chain in items.chains)):
            alone += items.readers(name, step)
            planned += items.distinct(name, step)
        found[name] = Rows(alone, planned)
    return found


def apart(cut: Cut) -> Ints:
    """A parcel's shared steps; it shares none with the parcel before it."""
    assert cut.share is not None
    found = cut.share.copy()
    found[:1] = APART
    return found


class Items:
    """The items of a loop in the order of their parcels."""

    def __init__(self, graph: Graph, loop: GraphNode, trajectories: Trajectories, rows: Ints, share: Ints) -> None:
        self.graph = graph
        self.share = share
        self.chains, number = trajectories.numbered(loop.axes, graph.lengths)
        self.number = number[rows]
        self.slots = trajectories.read(self.chains, self.number, loop.axes, graph.lengths, rows)
        longest = max(chain.length for chain in self.chains)
        self.count = np.zeros((len(self.chains), longest + 2), dtype=np.int64)
        np.add.at(self.count, (self.number, share + 1), 1)
        """items by program and shared steps, counted from APART"""
        self.groups: dict[int, tuple[Ints, Ints]] = {}

    def reading(self, chain: Chain, name: str, step: int) -> Reading | None:
        """What a node does at a step; None if the step doesn't need it."""
        return chain.steps[step].get(name) if step < chain.length else None

    def readers(self, name: str, step: int) -> int:
        """Items whose step needs a node."""
        reads = [self.reading(chain, name, step) is not None for chain in self.chains]
        return int(self.count.sum(1)[reads].sum())

    def distinct(self, name: str, step: int) -> int:
        """Different values of a node at a step, each for one state: the rows to compute."""
        readings = [self.reading(chain, name, step) for chain in self.chains]
        reads = np.array([reading is not None for reading in readings])
        found = int(self.count[reads, : step + 1].sum())  # a new state each
        if step >= self.count.shape[1] - 1 or not self.count[:, step + 1].any():
            return found
        state, members = self.parting(step)
        beginnings = self.share[members] < step
        reading = reads[self.number[members]]
        found -= int((beginnings & reading).sum())
        members, state = members[reading], state[reading]
        if self.graph.nodes[name].type.signature.carries:
            return found + len(members)
        digests = {r.digest: n for n, r in enumerate(r for r in readings if r)}
        kind = np.array([digests[r.digest] if r else -1 for r in readings])[self.number[members]]
        values = [state, kind]
        for n, slot in enumerate(self.slots):
            read = np.array([r is not None and n in r.slots for r in readings])[self.number[members]]
            values.append(np.where(read, slot[members] + 1, 0))
        return found + int(combined(values, len(members)).max(initial=-1)) + 1

    def parting(self, step: int) -> tuple[Ints, Ints]:
        """The items of the states from which trajectories part at a step: number of the state, and item.

        Of items that do the same in this step only the first is listed.
        """
        if step not in self.groups:
            listed = np.flatnonzero(self.share <= step)
            state: Ints = np.cumsum(self.share[listed] < step)
            several = np.bincount(state)[state] > 1
            self.groups[step] = state[several], listed[several]
        return self.groups[step]
