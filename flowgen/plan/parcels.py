"""Items to compute, cut into parcels: seconds of work each, of one variant, in batches that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check, Outcome
from flowgen.graph.columns import Column, numbers
from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.selects import sources
from flowgen.plan.checkpoints import Checkpoints, States
from flowgen.plan.keying import pooled_rows
from flowgen.plan.program import Parcel, Program
from flowgen.plan.trajectories import APART, Trajectories, texts

Mask = NDArray[np.bool_]
PARCEL_FLOPS = 2e11
"""work of a parcel: a few seconds on a few CPU cores, less on a GPU; a parcel is what a crash can lose"""
PARCEL_SECONDS = 60.0
"""of work, where earlier runs tell how long it takes: on a slow or busy machine tasks are smaller for it"""
PARCEL_BYTES = 8 << 20
"""of what a task reads, makes on its way and publishes; it holds all of it at once, so that memory depends on this"""
EACH = 4
"""parcels for each worker, at least"""
LIVE_TENSORS = 16
"""how many tensors of the largest size a network holds at once, roughly"""
LARGEST_BATCH = 64
LARGEST_PARCEL = 4096

Pace = Callable[[str, int], float | None]
"""by type of a node and FLOPs of an item (of a step, for a loop): the seconds that one takes, None if unknown"""


class Limits(Protocol):
    """What limits batches."""

    @property
    def batch(self) -> int | None:
        """Items at once, if the user says."""

    @property
    def memory(self) -> int:
        """Bytes that a batch may take."""

    @property
    def workers(self) -> int:
        """Processes that share the work."""

    @property
    def pace(self) -> Pace | None:
        """What earlier runs took."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Some items of a stage that one task computes, and in what batches. ``Cutter.parcel`` makes what travels."""

    stage: str
    number: int
    rows: NDArray[np.int64]
    """flat indices of the items' points along the stage's axes"""
    batch: int
    """items that a node's code is given at once"""
    steps: int
    """a loop's steps of all items together, shared ones once; the number of items for other nodes"""
    share: NDArray[np.int64] | None = None
    """for a loop: the leading steps that an item shares with the one before it; APART if they don't begin alike"""
    states: States | None = None
    """for a loop with checkpoints: what is stored on the way, and where items start"""

    def __len__(self) -> int:
        return len(self.rows)


def cuts(
    checked: Check,
    code: Program,
    points: NDArray[np.int64],
    limits: Limits,
    trajectories: Trajectories | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[Cut]:
    """The points of a stage's items, cut into parcels: one task each, of one variant."""
    node, held = checked.graph.nodes[code.stage], held_bytes(checked, code)
    variant = checked.variants[node.name].at(node.axes, checked.graph.lengths, points)
    found: list[Cut] = []
    for number in np.unique(variant):
        rows = points[variant == number]
        outcome = checked.outcomes[node.name][number]
        batch = batch_size(outcome, limits)
        steps = steps_of(checked, node, rows)
        each = limits.pace(node.type.name, checked.outcomes[node.name][0].flops) if limits.pace else None
        work, seconds = outcome.flops * int(steps[0]), (each or 0.0) * int(steps[0])
        size = parcel_size(len(rows), batch, work, held, limits.workers, seconds)
        if trajectories is None:
            for start in range(0, len(rows), size):
                part = slice(start, start + size)
                found.append(Cut(node.name, len(found), rows[part], batch, int(steps[part].sum())))
            continue
        rows, share = trajectories.arranged(node.axes, checked.graph.lengths, rows)
        steps = steps_of(checked, node, rows)
        for start, end in lanes(share, size, batch):
            part = slice(start, end)
            states = checkpoints.of(rows[part]) if checkpoints else None
            done = np.maximum(share[part], states.begins if states else 0)
            left = int((steps[part] - np.maximum(done, 0)).sum())
            found.append(Cut(node.name, len(found), rows[part], batch, left, share[part], states))
    return found


def lanes(share: NDArray[np.int64], size: int, batch: int) -> Iterator[tuple[int, int]]:
    """Where a loop's parcels begin and end: at most ``size`` items, whole batches where more than half of these end at
    one, but items that share steps stay together while they can. A rest of less than half a batch goes along with the
    last: by itself, its calls would be nearly empty.
    """
    begins = np.append(np.flatnonzero(share == APART), len(share))
    start = 0
    while start < len(share):
        after, beyond = np.searchsorted(begins, [start, start + size], side="right")
        ends = begins[after : max(beyond, after + 1)]
        whole = ends[((ends - start) % batch == 0) & (2 * (ends - start) > size)]
        end = int((whole if len(whole) and ends[-1] < len(share) else ends)[-1])
        end = min(end, max(start + size, start + LARGEST_PARCEL))
        end = len(share) if 2 * (len(share) - end) < batch else end
        yield start, end
        start = end


def batch_size(outcome: Outcome, limits: Limits) -> int:
    """Items at once: as told, or what the memory holds of a network's largest tensors."""
    if limits.batch:
        return limits.batch
    fits = limits.memory // max(1, LIVE_TENSORS * outcome.peak_bytes)
    return int(max(1, min(LARGEST_BATCH, fits)))


def held_bytes(checked: Check, code: Program) -> float:
    """Size of what a task holds for an item: what it reads, what cheap nodes make of that, and its result.

    What several points share, a text's encoding for all seeds, counts for its part.
    """
    graph = checked.graph

    def points(name: str) -> int:
        return math.prod(graph.shape(graph.nodes[name].axes))

    names = [*code.reads, *(name for name, step in code.steps.items() if step.body_of is None)]
    whole = points(code.stage)
    return sum(max(o.bytes for o in checked.outcomes[name]) * min(1, points(name) / whole) for name in names)


def parcel_size(items: int, batch: int, flops: int, held: float, workers: int, seconds: float = 0.0) -> int:
    """Items of a parcel: whole batches, some seconds of work that fit into little memory, and where several workers
    share it some for each of them, so that none waits long for the last one; no fewer parcels than workers, for which
    alone a batch isn't filled. ``seconds``: of an item, 0 if that isn't known.
    """
    wanted = min(PARCEL_FLOPS / max(1, flops), PARCEL_BYTES / max(1, held), PARCEL_SECONDS / max(1e-9, seconds))
    if workers > 1:
        wanted = min(wanted, items / (EACH * workers))
    most = max(1, min(round(wanted / batch), LARGEST_PARCEL // batch))
    batches = even(most, -(-items // batch), workers)
    each = -(-items // max(1, workers))
    if workers > 1 and each > batch:
        each -= each % batch
    return min(batches * batch, LARGEST_PARCEL, each)


def even(batches: int, whole: int, workers: int) -> int:
    """Batches of a parcel, half as many at least, with which workers that take one parcel after the other end together.

    whole: batches of all parcels.
    """

    def last(each: int) -> int:
        """Batches of whoever ends last."""
        full, rest = divmod(whole, each)
        rounds, more = divmod(full, max(1, workers))
        return rounds * each + (each if more else rest)

    return min(range(batches, batches // 2, -1), key=last)


def steps_of(checked: Check, node: GraphNode, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps of some points of a loop; 1 each for other nodes."""
    if node.name not in checked.lengths:
        return np.ones(len(rows), dtype=np.int64)
    return checked.lengths[node.name].at(node.axes, checked.graph.lengths, rows)


class Cutter:
    """Makes parcels of one stage from rows of its points."""

    def __init__(
        self,
        checked: Check,
        code: Program,
        node: GraphNode,
        keys: dict[str, Column],
        unused: dict[str, Column],
        needs: dict[str, Mask],
    ) -> None:
        self.checked = checked
        self.graph: Graph = checked.graph
        self.code = code
        self.node = node
        self.keys = keys
        self.unused = unused
        self.needs = needs

    def parcel(self, cut: Cut) -> Parcel:
        """What travels to the task that computes a cut."""
        rows = cut.rows
        statics, per_item = self.params(rows)
        return Parcel(
            stage=self.node.name,
            number=cut.number,
            keys=texts(self.keys[self.node.name].values.reshape(-1)[rows]),
            statics=statics,
            per_item=per_item,
            inputs={name: self.parent_keys(name, rows) for name in self.code.reads if not self.is_pooled(name)},
            shared={
                name: texts(self.wide(self.keys[name], rows))
                for name, step in self.code.steps.items()
                if step.body_of is None and name != self.node.name
            },
            unused={n: list(self.wide(self.unused[n], rows)) for n in self.code.steps if n in self.unused},
            pooled=self.pooled(rows),
            steps=cut.steps,
            batch=cut.batch,
            share=[] if cut.share is None else [APART, *cut.share[1:].tolist()],
            saves=cut.states.saves if cut.states else [],
            resume=cut.states.resume if cut.states else [],
        )

    def makers(self, name: str, rows: NDArray[np.int64], maker: NDArray[np.int64]) -> NDArray[np.int64]:
        """The parcels of a stored node that make what some rows read of it; ``maker`` holds them by point, -1 for none.

        In ascending order, each once.
        """
        axes = self.graph.nodes[name].axes
        if self.is_pooled(name):
            lines = pooled_rows(Column(axes, maker), self.node.entry.over)
            found = lines[self.pooled_lines(Column(axes, maker), rows)].ravel()
        else:
            found = self.wide(Column(axes, maker), rows)[self.wide(Column(axes, self.needs[name]), rows)]
        made: NDArray[np.int64] = np.unique(found)
        return made[made >= 0]

    def wide(self, column: Column, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A column's values at some of the stage's points (at the first along axes that the stage pools)."""
        kept = tuple(a for a in column.axes if a in self.node.axes)
        held = column.values[(*(slice(None) if a in kept else 0 for a in column.axes), ...)]
        shape = self.graph.shape(self.node.axes)
        index = np.unravel_index(rows, shape) if shape else ()
        where = dict(zip(self.node.axes, index, strict=True))
        if not kept:
            return np.broadcast_to(held, len(rows))
        found: NDArray[Any] = held[tuple(where[a] for a in kept)]
        return found

    def params(self, rows: NDArray[np.int64]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, list[Any]]]]:
        """Static and per-item arguments of every node of the stage."""
        statics: dict[str, dict[str, Any]] = {}
        per_item: dict[str, dict[str, list[Any]]] = {}
        for name, step in self.code.steps.items():
            node, declared = self.graph.nodes[name], step.type.signature.params
            statics[name], per_item[name] = {}, {}
            for param, column in node.params.items():
                if declared[param].per_item:
                    per_item[name][param] = list(self.wide(column, rows))
                else:
                    statics[name][param] = self.wide(column, rows[:1])[0]
            for port, wires in step.wires.items():
                models = [self.wide(self.graph.references[w.node], rows[:1])[0] for w in wires if self.is_model(w.node)]
                if models:
                    statics[name][port] = models if step.type.signature.ports[port].many else models[0]
        return statics, per_item

    def is_model(self, name: str) -> bool:
        """Whether a node's value is known when planning."""
        return name in self.graph.references

    def is_pooled(self, name: str) -> bool:
        """Whether a node feeds the stage's stream."""
        ports = self.node.type.signature.ports
        streams = [w for p, ws in self.node.wires.items() if ports[p].stream for w in ws]
        return any(source.node == name for wire in streams for source in sources(self.graph, wire))

    def parent_keys(self, name: str, rows: NDArray[np.int64]) -> list[str | None]:
        """The key of each row's parent; None where no row's computation reads it."""
        axes = self.graph.nodes[name].axes
        needed = Column(axes, self.needs[name])
        found = self.wide(self.keys[name], rows)
        return [key if need else None for key, need in zip(texts(found), self.wide(needed, rows), strict=True)]

    def pooled(self, rows: NDArray[np.int64]) -> list[list[str]]:
        """For a reduction, the keys that each row pools."""
        for port, wires in self.node.wires.items():
            if self.node.type.signature.ports[port].stream:
                column = self.keys[wires[0].node]
                table = pooled_rows(column, self.node.entry.over)
                return [texts(table[line]) for line in self.pooled_lines(column, rows)]
        return []

    def pooled_lines(self, column: Column, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The line of ``pooled_rows`` that each row pools."""
        kept = tuple(a for a in column.axes if a not in self.node.entry.over)
        lines = Column(kept, numbers([self.graph.lengths[a] for a in kept]))
        return lines.at(self.node.axes, self.graph.lengths, rows)
