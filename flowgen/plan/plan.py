"""Graph and store to Plan. Pure: nothing is computed, nothing is written."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check
from flowgen.graph.columns import Column, shrink
from flowgen.graph.model import Graph, GraphNode
from flowgen.plan.keying import Keying, as_text
from flowgen.plan.numerics import Numerics
from flowgen.plan.parcels import parcels
from flowgen.plan.program import Parcel, Program, program, stages

Mask = NDArray[np.bool_]


class Known(Protocol):
    """What planning asks of a store."""

    def find(self, keys: Iterable[str]) -> dict[str, Any]:
        """The keys that are known."""

    def file_digest(self, path: Path) -> str:
        """A file's content, hashed."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say about how to compute; none of it changes a result, except in strict numerics."""

    batch: int | None = None
    """items a node's code is given at once; None: from the memory estimate"""
    workers: int = 1
    memory: int = 8 << 30
    """bytes that a batch may take"""


@dataclass(slots=True)
class NodePlan:
    """What the plan says of a node outside loop bodies."""

    name: str
    type: str
    axes: tuple[str, ...]
    points: int
    items: int
    """distinct results"""
    stored: bool
    known: int = 0
    """items in the store"""
    compute: int = 0
    """items to compute"""
    reason: str = ""
    batch: int = 0
    parcels: int = 0
    flops: int = 0
    """work of the items to compute"""
    bytes: int = 0
    """size of the items to compute"""


@dataclass(slots=True)
class Plan:
    """Which items a run computes, and how."""

    graph: Graph
    check: Check
    numerics: Numerics
    keys: dict[str, Column]
    nodes: dict[str, NodePlan]
    programs: dict[str, Program]
    parcels: list[Parcel] = field(default_factory=list)
    """in an order in which parents come before children"""

    @property
    def compute(self) -> int:
        """Items to compute, over all stages."""
        return sum(node.compute for node in self.nodes.values())

    def stored_keys(self) -> dict[str, NDArray[np.bytes_]]:
        """The distinct keys of every node whose results are stored: what a run of this plan stands on."""
        return {name: np.unique(self.keys[name].values.astype("S40")) for name, n in self.nodes.items() if n.stored}

    def depends(self) -> dict[tuple[str, int], set[tuple[str, int]]]:
        """For each parcel, the parcels that make what it reads."""
        maker = {key: (parcel.stage, parcel.number) for parcel in self.parcels for key in parcel.keys}
        found: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for parcel in self.parcels:
            read = {key for keys in parcel.inputs.values() for key in keys if key}
            read.update(key for keys in parcel.pooled for key in keys)
            found[parcel.stage, parcel.number] = {maker[key] for key in read if key in maker}
        return found


def plan(checked: Check, store: Known, numerics: Numerics, options: Options | None = None) -> Plan:
    """What a run of a checked graph would compute, given what the store knows."""
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples, no cycles: the collector would take half of the time
    try:
        return planned(checked, store, numerics, options or Options())
    finally:
        if collecting:
            gc.enable()


def planned(checked: Check, store: Known, numerics: Numerics, options: Options) -> Plan:
    """The plan, made from the outputs backwards."""
    graph = checked.graph
    keying = Keying(graph, checked.lengths, numerics, store.file_digest)
    keys = keying.run()
    kept = stages(graph)
    stored = {node.name for node in kept}
    made = Plan(graph, checked, numerics, keys, {}, {})
    wanted = {name: np.zeros(graph.shape(graph.nodes[name].axes), dtype=bool) for name in stored}
    for output in graph.document.outputs:
        wanted[output.ref.name][...] = True
    todo: dict[str, tuple[Mask, dict[str, Mask]]] = {}
    for node in reversed(kept):
        made.programs[node.name] = program(graph, node, stored, numerics)
        missing = ~known_mask(keys[node.name].values, store.find)
        compute = missing & wanted[node.name]
        needs = propagate(graph, made.programs[node.name], node, compute, keying)
        for name in made.programs[node.name].reads:
            wanted[name] |= needs[name]
        todo[node.name] = (compute, needs)
    for node in graph.top():
        made.nodes[node.name] = summary(graph, node, keys[node.name], node.name in stored)
    for node in kept:
        compute, needs = todo[node.name]
        made.programs[node.name].parts.update(keying.parts)
        cut = parcels(
            checked,
            made.programs[node.name],
            node,
            keys,
            keying.unused,
            compute,
            needs,
            options,
            keying.trajectories.get(node.name),
        )
        made.parcels += cut
        describe(made.nodes[node.name], checked, node, store, keys[node.name], wanted[node.name], cut)
    return made


def known_mask(keys: NDArray[Any], find: Callable[[Iterable[str]], dict[str, Any]]) -> Mask:
    """Which points' items the store has."""
    distinct, inverse = np.unique(keys, return_inverse=True)
    texts = [as_text(key) for key in distinct]
    found = find(texts)
    return np.array([text in found for text in texts], dtype=bool)[inverse].reshape(keys.shape)


def propagate(graph: Graph, code: Program, stage: GraphNode, compute: Mask, keying: Keying) -> dict[str, Mask]:
    """Which points of each node are needed to compute a stage's points.

    Nodes inside the stage have masks over the stage's axes, the nodes that are read over their own.
    """
    lengths, axes = graph.lengths, stage.axes
    inside = {name: np.zeros(compute.shape, dtype=bool) for name in code.steps}
    inside[stage.name] = compute
    reads = {name: np.zeros(graph.shape(graph.nodes[name].axes), dtype=bool) for name in code.reads}
    for name in backwards(code):
        step = code.steps[name]
        for port, wires in step.wires.items():
            need = inside[name]
            if name in keying.unused:
                need = need & reads_port(keying.unused[name], port).over(axes, lengths).reshape(need.shape)
            for wire in wires:
                if wire.node in inside and wire.node != name:
                    inside[wire.node] |= need
                elif wire.node in reads:
                    reads[wire.node] |= shrink(need, axes, graph.nodes[wire.node].axes, lengths)
    return {**inside, **reads}


def reads_port(unused: Column, port: str) -> Column:
    """Where a port is read."""
    return Column(unused.axes, unused.map(lambda left: port not in left).values.astype(bool))


def backwards(code: Program) -> list[str]:
    """A stage's nodes, each before what it needs: the stage's own, its body from the feedback on, then the others."""

    def within(name: str) -> list[str]:
        return [name, *(inner for member in reversed(code.steps[name].body) for inner in within(member))]

    first = within(code.stage)
    return [*first, *(name for name in reversed(code.steps) if name not in first)]


def summary(graph: Graph, node: GraphNode, column: Column, stored: bool) -> NodePlan:
    """Axes and counts of a node."""
    points = int(np.prod(graph.shape(node.axes)))
    items = len(np.unique(column.values))
    reason = "" if stored else "cheap: computed where it is needed"
    return NodePlan(node.name, node.type.name, node.axes, points, items, stored, reason=reason)


def describe(
    about: NodePlan, checked: Check, node: GraphNode, store: Known, column: Column, wanted: Mask, cut: list[Parcel]
) -> None:
    """Counts and the reason of a stage."""
    distinct = {as_text(key) for key in np.unique(column.values)}
    about.known = len(store.find(distinct))
    about.compute = sum(len(parcel) for parcel in cut)
    about.parcels = len(cut)
    about.batch = max((parcel.batch for parcel in cut), default=0)
    if about.compute:
        about.reason = "not computed yet"
    elif about.known == about.items:
        about.reason = "in the store"
    else:
        about.reason = (
            "not needed: what follows is in the store" if not wanted.any() else "in the store as far as needed"
        )
    outcome = checked.outcomes[node.name][0]
    about.bytes = about.compute * outcome.bytes
    about.flops = outcome.flops * sum(parcel.steps for parcel in cut)


__all__ = ["NodePlan", "Options", "Plan", "plan"]
