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
from flowgen.graph.columns import Column, shrink, spread
from flowgen.graph.model import Graph, GraphNode, Wire
from flowgen.graph.selects import chosen
from flowgen.node.registry import element
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
        wire = graph.output_of(output.name)
        want(graph, wire, np.ones(graph.shape(graph.nodes[wire.node].axes), dtype=bool), wanted)
    claims = Claims(kept, keys, wanted)
    todo: dict[str, tuple[Mask, dict[str, Mask]]] = {}
    for node in reversed(kept):
        made.programs[node.name] = program(graph, node, stored, numerics)
        missing = ~known_mask(keys[node.name].values, store.find)
        compute = claims.left(node, missing & wanted[node.name])
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
        for port, n, wire in ((p, n, wire) for p, wires in step.wires.items() for n, wire in enumerate(wires)):
            need = inside[name]
            if name in keying.unused:
                need = need & reads_wire(keying.unused[name], port, n).over(axes, lengths).reshape(need.shape)
            if wire.node in inside and wire.node != name:
                inside[wire.node] |= need
            elif step.type.signature.ports[port].stream:
                want(graph, wire, shrink(need, axes, graph.nodes[wire.node].axes, lengths), reads)
            elif wire.node in reads:
                reads[wire.node] |= shrink(need, axes, graph.nodes[wire.node].axes, lengths)
    return {**inside, **reads}


def reads_wire(unused: Column, port: str, n: int) -> Column:
    """Where an element of a port is read."""
    return Column(unused.axes, unused.map(lambda left: element(port, n, left)).values.astype(bool))


def want(graph: Graph, wire: Wire, mask: Mask, wanted: dict[str, Mask]) -> None:
    """Note which points of the node that holds a wire's results are wanted; a select passes on what it chooses."""
    node, lengths = graph.nodes[wire.node], graph.lengths
    if not node.type.passes:
        wanted[node.name] |= mask
        return
    for wires in node.wires.values():
        for n, inner in enumerate(wires):
            axes, where = chosen(graph, node, n)
            part = mask & spread(where, axes, node.axes, lengths)
            want(graph, inner, shrink(part, node.axes, graph.nodes[inner.node].axes, lengths), wanted)


class Claims:
    """One key is computed by one stage: the first that has it, where several nodes have equal items."""

    def __init__(self, kept: list[GraphNode], keys: dict[str, Column], wanted: dict[str, Mask]) -> None:
        self.keys = keys
        self.wanted = wanted
        kinds: dict[tuple[str, int], list[GraphNode]] = {}
        self.before: dict[str, list[GraphNode]] = {}
        """by stage, the earlier ones that may have the same items: those of one type"""
        for node in kept:
            alike = kinds.setdefault((node.type.name, node.type.version), [])
            self.before[node.name] = list(alike)
            alike.append(node)

    def left(self, node: GraphNode, compute: Mask) -> Mask:
        """What is left to a stage to compute; what an earlier one has is wanted there."""
        column = self.keys[node.name].values
        for other in self.before[node.name]:
            if not compute.any():
                break
            theirs = self.keys[other.name].values
            both = np.isin(column, theirs) & compute
            if both.any():
                self.wanted[other.name] |= np.isin(theirs, column[both])
                compute = compute & ~both
        return compute


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
