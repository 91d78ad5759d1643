"""Rows of model calls: how many a plan needs, and how many it would be if each item were computed alone.

A loop's items whose states are equal share a row in every node of the body that does the same to the same. From the
step ``own[n]`` an item goes a way of its own; in that step its state is still that of the others from whom it parts,
which share their leading steps with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.model import Graph, GraphNode
from flowgen.plan.checkpoints import starts_of
from flowgen.plan.cuts import Cut
from flowgen.plan.programs import Chain, Reading
from flowgen.plan.trajectories import Trajectories, combined

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a node's model calls."""

    alone: int
    """if every item were computed on its own, from the stored state that it can start from"""
    planned: int
    """with common beginnings of trajectories and equal inputs computed once"""


def body_rows(graph: Graph, loop: GraphNode, trajectories: Trajectories, cuts: Sequence[Cut]) -> dict[str, Rows]:
    """Rows of the nodes in a loop's own body that use a model, for the items of its parcels; not of inner loops'."""
    members = [n for n in graph.bodies[loop.name] if (t := graph.nodes[n].type).uses_model and t.kind != "loop"]
    found = {name: Rows(0, 0) for name in members}
    if not cuts:
        return found
    items = Items(graph, loop, trajectories, cuts)
    for name in members:
        alone = planned = 0
        for step in range(max(chain.length for chain in items.chains)):
            alone += items.readers(name, step)
            planned += items.distinct(name, step)
        found[name] = Rows(alone, planned)
    return found


class Items:
    """The items of a loop in the order of their parcels."""

    def __init__(self, graph: Graph, loop: GraphNode, trajectories: Trajectories, cuts: Sequence[Cut]) -> None:
        self.graph = graph
        rows = np.concatenate([cut.rows for cut in cuts])
        self.share = np.concatenate([cut.share for cut in cuts if cut.share is not None])
        self.own = np.concatenate([cut.own for cut in cuts if cut.own is not None])
        starts = np.concatenate([starts_of(cut.states, len(cut)) for cut in cuts])
        self.chains, number = trajectories.numbered(loop.axes, graph.lengths)
        self.number = number[rows]
        self.slots = trajectories.read(self.chains, self.number, loop.axes, graph.lengths, rows)
        self.started = self.counted(starts)
        """items that can have started at a step, by program and step"""
        self.going = self.counted(self.own)
        """items that go a way of their own at a step, by program and step"""
        self.groups: dict[int, tuple[Ints, Ints]] = {}

    def counted(self, steps: Ints) -> Ints:
        """How many items have come to their step, by program and step."""
        longest = max(chain.length for chain in self.chains)
        count = np.zeros((len(self.chains), longest + 1), dtype=np.int64)
        np.add.at(count, (self.number, steps), 1)
        return count.cumsum(axis=1)

    def reading(self, chain: Chain, name: str, step: int) -> Reading | None:
        """What a node does at a step; None if the step doesn't need it."""
        return chain.steps[step].get(name) if step < chain.length else None

    def readers(self, name: str, step: int) -> int:
        """Items whose step needs a node."""
        reads = [self.reading(chain, name, step) is not None for chain in self.chains]
        return int(self.started[reads, step].sum())

    def distinct(self, name: str, step: int) -> int:
        """Different values of a node at a step, each for one state: the rows to compute."""
        readings = [self.reading(chain, name, step) for chain in self.chains]
        reads = np.array([reading is not None for reading in readings])
        found = int(self.going[reads, step].sum())
        state, members = self.parting(step)
        if self.graph.nodes[name].type.signature.carries or not len(members):
            return found
        reading = reads[self.number[members]]
        members, state = members[reading], state[reading]
        digests = {r.digest: n for n, r in enumerate(r for r in readings if r)}
        kind = np.array([digests[r.digest] if r else -1 for r in readings])[self.number[members]]
        values = [state, kind]
        for n, slot in enumerate(self.slots):
            read = np.array([r is not None and n in r.slots for r in readings])[self.number[members]]
            values.append(np.where(read, slot[members] + 1, 0))
        return found - len(members) + int(combined(values, len(members)).max(initial=-1)) + 1

    def parting(self, step: int) -> tuple[Ints, Ints]:
        """The items of the states from which trajectories part at a step: number of the state, and item."""
        if step not in self.groups:
            there = np.flatnonzero(self.own <= step) if (self.own == step).any() else np.empty(0, dtype=np.int64)
            state: Ints = np.cumsum(self.share < step, dtype=np.int64)[there]
            several = np.bincount(state)[state] > 1
            self.groups[step] = state[several], there[several]
        return self.groups[step]
