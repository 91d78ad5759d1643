"""Items to compute, cut into parcels: seconds of work each, of one variant, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check, Outcome
from flowgen.graph.columns import Column, spread
from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.selects import sources
from flowgen.plan.keying import as_text, pooled_rows
from flowgen.plan.program import Parcel, Program
from flowgen.plan.trajectories import APART, Trajectories, shared

Mask = NDArray[np.bool_]
PARCEL_FLOPS = 2e11
"""work of a parcel: a few seconds on a few CPU cores, less on a GPU; a parcel is what a crash can lose"""
LIVE_TENSORS = 16
"""how many tensors of the largest size a network holds at once, roughly"""
LARGEST_BATCH = 64
LARGEST_PARCEL = 4096


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


def parcels(
    checked: Check,
    code: Program,
    node: GraphNode,
    keys: dict[str, Column],
    unused: dict[str, Column],
    compute: Mask,
    needs: dict[str, Mask],
    limits: Limits,
    trajectories: Trajectories | None = None,
) -> list[Parcel]:
    """The parcels of a stage: one task each."""
    points = distinct_points(keys[node.name].values, compute)
    if not len(points):
        return []
    variant = checked.variants[node.name].values.ravel()[points]
    cutter = Cutter(checked, code, node, keys, unused, needs)
    found: list[Parcel] = []
    for number in np.unique(variant):
        rows = points[variant == number]
        outcome = checked.outcomes[node.name][number]
        batch = batch_size(outcome, limits)
        size = parcel_size(len(rows), batch, outcome.flops * steps_of(checked, node, rows[:1]), limits.workers)
        rows, share = by_trajectory(checked, node, trajectories, rows)
        for start, end in cuts(len(rows), size, share):
            found.append(cutter.parcel(len(found), rows[start:end], batch, share[start:end]))
    return found


def by_trajectory(
    checked: Check, node: GraphNode, trajectories: Trajectories | None, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[int]]:
    """A loop's points in an order in which those that begin alike stand together, and the steps that each shares with
    the one before it. Other nodes' points stay as they are.
    """
    if trajectories is None:
        return rows, []
    chosen = set(rows.tolist())
    every = enumerate(trajectories.points(node.axes, checked.graph.lengths))
    points = {n: point for n, point in every if n in chosen}
    ordered = [points[row] for row in rows.tolist()]
    order = trajectories.order(ordered)
    share = [APART, *(shared(ordered[one], ordered[other]) for one, other in zip(order, order[1:], strict=False))]
    return rows[order], share


def cuts(count: int, size: int, share: list[int]) -> Iterator[tuple[int, int]]:
    """Where parcels begin and end: at most ``size`` items, but items that share steps stay together while they can."""
    start = 0
    while start < count:
        end = min(start + size, count)
        while share and end < count and share[end] > APART and end - start < LARGEST_PARCEL:
            end += 1
        yield start, end
        start = end


def distinct_points(keys: NDArray[Any], compute: Mask) -> NDArray[np.int64]:
    """The first point of each distinct item to compute, in the order of the sweep."""
    chosen = np.flatnonzero(compute.ravel())
    _, first = np.unique(keys.ravel()[chosen], return_index=True)
    found: NDArray[np.int64] = chosen[np.sort(first)]
    return found


def batch_size(outcome: Outcome, limits: Limits) -> int:
    """Items at once: as told, or what the memory holds of a network's largest tensors."""
    if limits.batch:
        return limits.batch
    fits = limits.memory // max(1, LIVE_TENSORS * outcome.peak_bytes)
    return int(max(1, min(LARGEST_BATCH, fits)))


def parcel_size(items: int, batch: int, flops: int, workers: int) -> int:
    """Items of a parcel: whole batches, some seconds of work, and no fewer parcels than workers."""
    wanted = PARCEL_FLOPS / max(1, flops)
    size = min(LARGEST_PARCEL, max(1, round(wanted / batch)) * batch)
    return max(1, min(size, -(-items // max(1, workers))))


def steps_of(checked: Check, node: GraphNode, points: NDArray[np.int64]) -> int:
    """Steps of some points of a loop together; 1 each for other nodes."""
    if node.name not in checked.lengths:
        return len(points)
    return int(checked.lengths[node.name].over(node.axes, checked.graph.lengths)[points].sum())


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

    def parcel(self, number: int, rows: NDArray[np.int64], batch: int, share: list[int]) -> Parcel:
        """A parcel of the points at flat indices ``rows``."""
        statics, per_item = self.params(rows)
        return Parcel(
            stage=self.node.name,
            number=number,
            keys=[as_text(key) for key in self.keys[self.node.name].values.ravel()[rows]],
            statics=statics,
            per_item=per_item,
            inputs={name: self.parent_keys(name, rows) for name in self.code.reads if not self.is_pooled(name)},
            shared={
                name: [as_text(key) for key in self.wide(self.keys[name], rows)]
                for name, step in self.code.steps.items()
                if step.body_of is None and name != self.node.name
            },
            unused={n: list(self.wide(self.unused[n], rows)) for n in self.code.steps if n in self.unused},
            pooled=self.pooled(rows),
            steps=steps_of(self.checked, self.node, rows) - sum(max(0, steps) for steps in share),
            batch=batch,
            share=[APART, *share[1:]] if share else [],
        )

    def wide(self, column: Column, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A column's values at some of the stage's points (at the first along axes that the stage pools)."""
        kept = tuple(a for a in column.axes if a in self.node.axes)
        values = column.values[tuple(slice(None) if a in kept else 0 for a in column.axes)]
        shape = self.graph.shape(self.node.axes)
        index = np.unravel_index(rows, shape) if shape else ()
        where = dict(zip(self.node.axes, index, strict=True))
        held = np.asarray(values, dtype=column.values.dtype)
        if not kept:
            made = np.empty(len(rows), dtype=column.values.dtype)
            made[:] = [held[()]] * len(rows)
            return made
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
        return [as_text(key) if need else None for key, need in zip(found, self.wide(needed, rows), strict=True)]

    def pooled(self, rows: NDArray[np.int64]) -> list[list[str]]:
        """For a reduction, the keys that each row pools."""
        for port, wires in self.node.wires.items():
            if self.node.type.signature.ports[port].stream:
                column, over = self.keys[wires[0].node], self.node.entry.over
                table = pooled_rows(column, over)
                kept = tuple(a for a in column.axes if a not in over)
                lines = np.arange(len(table)).reshape([self.graph.lengths[a] for a in kept])
                wide = spread(lines, kept, self.node.axes, self.graph.lengths).ravel()[rows]
                return [[as_text(key) for key in table[line]] for line in wide]
        return []
