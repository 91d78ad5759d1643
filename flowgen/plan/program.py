"""What travels to a worker: a stage's program, and parcels of items for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flowgen.graph.model import Graph, GraphNode, Wire
from flowgen.graph.selects import sources, stored_output
from flowgen.graph.variants import members
from flowgen.node import NodeType
from flowgen.plan.checkpoints import Resume, Save
from flowgen.plan.numerics import Numerics
from flowgen.plan.trajectories import Trajectories
from flowgen.values.model import Part


@dataclass(frozen=True, slots=True)
class Step:
    """A node inside a stage."""

    name: str
    type: NodeType
    wires: dict[str, tuple[Wire, ...]]
    body: tuple[str, ...] = ()
    """a loop's body, in order"""
    body_of: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A node whose results are stored, with the cheap nodes that lead to it and its loop's body."""

    stage: str
    steps: dict[str, Step]
    """in order; the stage's own node is among them"""
    reads: tuple[str, ...]
    """nodes whose stored results are read"""
    numerics: Numerics
    parts: dict[Part, str] = field(default_factory=dict)
    """digests of model parts"""
    sizes: dict[Part, int] = field(default_factory=dict)
    """bytes of weights of those that the check built"""
    carries: tuple[tuple[str, str], ...] = ()
    """for a loop with checkpoints: what its body carries from step to step, (node, argument), in the stored order"""
    skips_missing: bool = False
    """a reduction that pools what there is where items failed"""


@dataclass(frozen=True)
class Parcel:
    """Some items of a stage: one task. Lists have one entry per item.

    Without slots, as Python code pickles frozen data classes that have them.
    """

    stage: str
    number: int
    keys: list[str]
    statics: dict[str, dict[str, Any]]
    """by node: parameters and models that all items share"""
    per_item: dict[str, dict[str, list[Any]]]
    """by node: parameters that may differ; of a cheap node also others, and models, if they do"""
    inputs: dict[str, list[str | None]]
    """by node that is read: the key of each item's parent, None where it isn't needed"""
    shared: dict[str, list[str]]
    """by cheap node: its own keys; equal ones are computed once"""
    unused: dict[str, list[frozenset[str]]]
    """by node: ports that an item leaves unread"""
    pooled: list[list[str]] = field(default_factory=list)
    """for a reduction: the keys that each item pools"""
    steps: int = 0
    """a loop's steps of all items together, shared ones once; the number of items for other nodes"""
    share: list[int] = field(default_factory=list)
    """for a loop: the leading steps that an item shares with the one before it; -1 if they don't begin alike"""
    saves: list[tuple[Save, ...]] = field(default_factory=list)
    """for a loop with checkpoints: the states to store when an item comes by"""
    resume: list[Resume | None] = field(default_factory=list)
    """for a loop with checkpoints: the stored state that an item starts from"""
    batch: int = 1
    """items that a node's code is given at once"""
    files: dict[str, str] = field(default_factory=dict)
    """by path of a file or folder that a parameter names: the digest that keys hold"""

    def __len__(self) -> int:
        return len(self.keys)


def read_by(graph: Graph, node: GraphNode) -> list[Wire]:
    """The outputs that a node reads; what it pools is read where it is stored."""
    found: list[Wire] = []
    for port, wires in node.wires.items():
        stream = node.type.signature.ports[port].stream
        found += [w for wire in wires for w in (sources(graph, wire) if stream else (wire,))]
    return found


def program(graph: Graph, stage: GraphNode, stored: set[str], numerics: Numerics, way: Trajectories | None) -> Program:
    """A stage's own node, its body, and the cheap nodes before them."""
    inside: set[str] = set()
    reads: set[str] = set()
    todo = [stage]
    while todo:
        for node in members(graph, todo.pop()):
            inside.add(node.name)
            for wire in read_by(graph, node):
                source = graph.nodes[wire.node]
                if source.is_reference or wire.node in inside or source.body_of is not None:
                    continue
                if wire.node in stored and wire.node != stage.name:
                    reads.add(wire.node)
                else:
                    todo.append(source)
    steps = {
        name: Step(name, node.type, wires_of(graph, node), graph.bodies.get(name, ()), node.body_of)
        for name in graph.order
        if name in inside and (node := graph.nodes[name])
    }
    reading = tuple(n for n in graph.order if n in reads)
    carries = way.programs.carries() if way else ()
    skips = stage.entry.missing == "skip"
    return Program(stage.name, steps, reading, numerics, carries=carries, skips_missing=skips)


def wires_of(graph: Graph, node: GraphNode) -> dict[str, tuple[Wire, ...]]:
    """A node's wires; those of a pooled stream with the name under which the store holds the output."""
    ports = node.type.signature.ports
    return {
        port: tuple(Wire(w.node, stored_output(graph, w)) for w in wires) if ports[port].stream else wires
        for port, wires in node.wires.items()
    }
