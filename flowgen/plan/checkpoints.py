"""States of loops that are stored on the way: which to save, and which an item can start from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.columns import Column
from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.trajectory import AXIS
from flowgen.plan.programs import Chain
from flowgen.plan.trajectories import Point, Trajectories
from flowgen.store import keys

TRIED, UNMARKED = 20_000, 2_000
"""steps of all points of a loop up to which each is looked up, not those alone that the graph marks now; and where it
marks none, as thousands take a second
"""


@dataclass(frozen=True, slots=True)
class Save:
    """A state to store when an item comes by."""

    step: int
    """steps that lie behind it"""
    key: str
    wanted: bool
    """whether a trajectory shows it; other states only save work later"""


@dataclass(frozen=True, slots=True)
class Resume:
    """A stored state that an item starts from."""

    step: int
    key: str


@dataclass(frozen=True, slots=True)
class States:
    """What a parcel stores on the way, and where its items start; one entry per item."""

    saves: list[tuple[Save, ...]]
    resume: list[Resume | None]


class Checkpoints:
    """The marked states of one loop node."""

    def __init__(
        self,
        graph: Graph,
        node: GraphNode,
        trajectories: Trajectories,
        find: Callable[[Iterable[str]], Any],
        shown: NDArray[np.bool_] | None,
    ) -> None:
        self.graph = graph
        self.node = node
        self.trajectories = trajectories
        self.find = find
        """the keys that the store knows, of some"""
        self.shown = None if shown is None else shown.ravel()
        """points whose trajectory is wanted and not all in the store"""

    def of(self, rows: NDArray[np.int64]) -> States | None:
        """For the items at these flat indices of the loop's points; None where there is nothing to store or to find."""
        if not self.node.entry.marks and not self.few:
            return None
        points = list(self.trajectories.points(self.node.axes, self.graph.lengths, rows))
        shown = [self.shown is not None and bool(self.shown[row]) for row in rows]
        marked = [self.marked(point) for point in points]
        tried = [self.every(point) for point in points] if self.few else marked
        known = self.find({key for states in (*marked, *tried) for key in states.values()})
        saves, resume = [], []
        for point, states, starts, show in zip(points, marked, tried, shown, strict=True):
            asked = shown_steps(self.node, point[0].length) if show else set()
            missing = [Save(step, key, step in asked) for step, key in states.items() if key not in known]
            until = min((save.step for save in missing if save.wanted), default=last(point[0]) + 1)
            there = [step for step, key in starts.items() if key in known and 0 < step < until]
            saves.append(tuple(missing))
            resume.append(Resume(max(there), starts[max(there)]) if there else None)
        return States(saves, resume) if self.node.entry.marks or any(resume) else None

    def marked(self, point: Point) -> dict[int, str]:
        """The keys of an item's marked states, by step."""
        return {step: self.trajectories.key(*point, steps=step) for step in marked_steps(self.node, point[0])}

    @cached_property
    def few(self) -> bool:
        """Whether the loop is small enough to try every state: an earlier run may have marked others."""
        longest = max(chain.length for chain in self.trajectories.program.values.flat)
        most = TRIED if self.node.entry.marks else UNMARKED
        return bool(math.prod(self.graph.shape(self.node.axes)) * longest <= most)

    def every(self, point: Point) -> dict[int, str]:
        """The keys of all states that an item could start from, by step."""
        return {step: self.trajectories.key(*point, steps=step) for step in range(1, last(point[0]) + 1)}


def starts_of(states: States | None, count: int) -> NDArray[np.int64]:
    """The step at which each of some items can start."""
    resume = states.resume if states else [None] * count
    return np.array([start.step if start else 0 for start in resume], dtype=np.int64)


def marked_steps(node: GraphNode, chain: Chain) -> list[int]:
    """The steps after which the graph says to store the states of a loop's items, by their program."""
    checkpoint = node.entry.checkpoint
    steps = {step for step in checkpoint.steps(chain.length) if 0 < step <= last(chain)} if checkpoint else set()
    return sorted(steps | shown_steps(node, chain.length))


def shown_steps(node: GraphNode, length: int) -> set[int]:
    """The steps that a loop's trajectory shows."""
    return set(node.entry.trajectory.steps(length)) if node.entry.trajectory else set()


def last(chain: Chain) -> int:
    """The last state that an item can start from; a loop's end is its result and needs no checkpoint."""
    return chain.length - chain.ends


def state_keys(node: GraphNode, trajectories: Trajectories, graph: Graph) -> Iterator[NDArray[Any]]:
    """The keys of all states that a loop's checkpoints say to store, a column for each program and step."""
    if node.entry.checkpoint:
        axes = trajectories.varying(node.axes)
        yield from trajectories.states(axes, graph.lengths, partial(marked_steps, node))


def trajectory_keys(node: GraphNode, trajectories: Trajectories, graph: Graph) -> Column:
    """The keys of the states that a loop's trajectory shows, along the loop's axes and ``step``."""
    marks, axes = node.entry.trajectory, (*node.axes, AXIS)
    assert marks is not None
    rows = [
        [trajectories.key(*point, steps=step) for step in marks.steps(point[0].length)]
        for point in trajectories.points(node.axes, graph.lengths, np.arange(math.prod(graph.shape(node.axes))))
    ]
    return Column(axes, np.array(rows, dtype=f"S{keys.LENGTH}").reshape(graph.shape(axes)))
