"""The abstract run: every node once per variant on tensors that have shapes and no numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch._subclasses.fake_tensor import FakeTensorMode

from flowgen.errors import UserError
from flowgen.graph.blame import blaming
from flowgen.graph.cautions import cautions
from flowgen.graph.columns import Column
from flowgen.graph.likeness import likeness
from flowgen.graph.measure import Measure
from flowgen.graph.model import Graph, GraphNode, Wire
from flowgen.graph.outputs import check_rates
from flowgen.graph.parts import AbstractParts
from flowgen.graph.pooling import few
from flowgen.graph.references import add_references
from flowgen.graph.stages import stages
from flowgen.graph.stretches import check_continued, loop_stretches, settings, steps_of
from flowgen.graph.trajectory import check_marks
from flowgen.graph.variants import members, representatives, shown, variants
from flowgen.language.expressions import at_step
from flowgen.language.meaning import unused
from flowgen.node import Loop
from flowgen.node.call import call, call_with_carry, instance, named
from flowgen.store.zarr_format import STORED, unstorable
from flowgen.values import PerItem, Record
from flowgen.values.model import Part, opening

ITEMS = 2
"""items of an abstract batch: two, so that code which squeezes a single item away is found"""


@dataclass(slots=True)
class Outcome:
    """What the abstract run found of a node's variant. Sizes and work are for one item (and one step, in a body)."""

    outputs: dict[str, Record]
    """results by name, abstract, of ITEMS items"""
    flops: int = 0
    peak_bytes: int = 0
    """the largest tensor that occurs"""

    @property
    def bytes(self) -> int:
        """Size of the results of one item."""
        sizes = [t.nbytes for value in self.outputs.values() for t in value.tensors().values()]
        return sum(sizes) // ITEMS


@dataclass(slots=True)
class Check:
    """A graph that has been checked."""

    graph: Graph
    variants: dict[str, Column]
    outcomes: dict[str, list[Outcome]]
    """by node; the nodes of bodies have the outcomes of their loop's variants"""
    told: dict[str, Column] = field(default_factory=dict)
    """by node, the class of each point for those that read it, as of ``variants.shown``"""
    stretches: dict[str, Column] = field(default_factory=dict)
    """the stretch of each loop node, along the axes that it depends on"""
    lengths: dict[str, Column] = field(default_factory=dict)
    """their steps"""
    weights: dict[str, int] = field(default_factory=dict)
    """bytes of weights in memory by node, of its largest variant"""
    sizes: dict[Part, int] = field(default_factory=dict)
    """bytes of weights in memory by part"""
    warnings: list[str] = field(default_factory=list)
    """what is allowed and hardly meant, each with its place"""

    def kinds(self, node: GraphNode) -> Column:
        """The class of each point of a node by the signatures of its outputs."""
        signatures = [
            repr({name: value.signature() for name, value in outcome.outputs.items()})
            for outcome in self.outcomes[node.name]
        ]
        number = {signature: n for n, signature in enumerate(dict.fromkeys(signatures))}
        column = self.variants[node.name]
        return Column(column.axes, np.array([number[signature] for signature in signatures])[column.values])


def check(graph: Graph) -> Check:
    """Run the graph abstractly. Raises UserError at the node where values don't fit together."""
    add_references(graph)
    found = Check(graph, {}, {}, warnings=unused(graph.document))
    parts, kept = AbstractParts(), {node.name for node in stages(graph)}
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, opening(parts.opener(mode)):
        for node in graph.top():
            found.variants[node.name] = variants(graph, node, found.told)
            for member in members(graph, node):
                found.outcomes[member.name] = []
            for point in representatives(found.variants[node.name]):
                Point(found, node, point, parts).run()
            if node.name in kept:
                check_stored(node, found.outcomes[node.name])
            cheap = {name: column for name, column in found.told.items() if name not in kept}
            found.told[node.name] = shown(graph, node, found.kinds(node), cheap)
            found.warnings += [text for text in cautions(graph, node, found.variants[node.name])
                               if text not in found.warnings]  # fmt: skip
        loops = {name: settings(graph, graph.nodes[name]) for name in graph.bodies}
        for name in graph.bodies:
            found.stretches[name] = loop_stretches(loops[name])
            found.lengths[name] = steps_of(found.stretches[name])
            check_marks(graph.nodes[name], found.lengths[name])
            check_continued(loops[name], loops)
    check_rates(graph, found.outcomes)
    found.sizes = parts.sizes()
    found.warnings += parts.lacking()
    return found


class Point:
    """One variant of a node (with its body, for a loop), run at the coordinates of a representative point."""

    def __init__(self, found: Check, node: GraphNode, point: int, parts: AbstractParts) -> None:
        self.found = found
        self.graph = found.graph
        self.node = node
        self.parts = parts
        column = found.variants[node.name]
        where = np.unravel_index(point, column.values.shape) if column.axes else ()
        self.where = dict(zip(column.axes, map(int, where), strict=True))
        self.inside: dict[Wire, Any] = {}
        self.spared: list[Outcome] = []
        """of calls that weren't run since their like was: loops count them"""

    def run(self) -> None:
        """Run the node and note the outcome."""
        self.evaluate(self.node)

    def evaluate(self, node: GraphNode) -> None:
        """One node's outcome, its results kept for the nodes of the same body."""
        arguments = self.arguments(node)
        alike = likeness(node, arguments)
        known = self.parts.known.get(alike)
        if known is None:
            known = self.measured(node, arguments), sum(self.parts.opened.values())
            if alike is not None:
                self.parts.known[alike] = known
        else:
            self.spared.append(known[0])
        outcome, weights = known
        if outcome.peak_bytes > (there := memory()):
            takes, has = (f"{size / 2**30:.3g} GiB" for size in (outcome.peak_bytes, there))
            said = f"one item of '{node.name}' takes {takes} of memory, and this machine has {has}"
            raise node.error(said, hint="make the values that it is given smaller")
        self.found.outcomes[node.name].append(outcome)
        self.found.weights[node.name] = max(self.found.weights.get(node.name, 0), weights)
        for output, value in outcome.outputs.items():
            self.inside[Wire(node.name, output)] = value

    def measured(self, node: GraphNode, arguments: dict[str, Any]) -> Outcome:
        """A node run once, its work counted."""
        self.parts.opened = {}
        earlier, self.spared = self.spared, []
        with blaming(node, self.graph.document), Measure() as measured:
            outputs = self.outputs(node, arguments)
        outputs = {name: self.counted(node, name, value) for name, value in outputs.items()}
        flops = measured.flops // ITEMS + sum(other.flops for other in self.spared)
        peak = max([measured.bytes // ITEMS, *(other.peak_bytes for other in self.spared)])
        self.spared += earlier
        return Outcome(outputs, flops, peak)

    def counted(self, node: GraphNode, output: str, value: Record) -> Record:
        """A result with one row for each item; what has no items to count (a pool, a file's content) stands for all."""
        signature = node.type.signature
        wired = any(wire.node not in self.graph.references for wires in node.wires.values() for wire in wires)
        itemless = not wired and not any(param.per_item for param in signature.params.values())
        if len(value) == 1 and (node.type.kind == "reduce" or itemless):
            return value.take([0] * ITEMS)
        if len(value) != ITEMS:
            raise node.error(f"'{node.type.name}' gives {len(value)} rows of '{output}' for {ITEMS} items")
        return value

    def outputs(self, node: GraphNode, arguments: dict[str, Any]) -> dict[str, Any]:
        """The results of a node of any kind."""
        if node.type.abstract is not None:
            return named(node.type.abstract(**arguments), node.type.signature.outputs)
        if node.type.kind == "loop":
            return self.run_loop(node, arguments)
        if node.type.kind == "reduce":
            return self.run_reduce(node, arguments)
        if node.type.signature.carries:
            return call_with_carry(node.type, arguments, dict.fromkeys(node.type.signature.carries))[0]
        return call(node.type, arguments)

    def run_loop(self, node: GraphNode, arguments: dict[str, Any]) -> dict[str, Any]:
        """The first step of a loop; its state must keep its shape."""
        loop: Loop = instance(node.type, arguments)
        steps = loop.length()
        begun = state = loop.begin()
        i = PerItem([0] * ITEMS)
        todo = list(self.graph.bodies[node.name])
        for phase in node.type.signature.used_phases(node.wires):
            suffix = f"_{phase.name}" if phase.name else ""
            emitted = getattr(loop, f"emit{suffix}")(state, i)
            for output, value in named(emitted, dict.fromkeys(phase.emits)).items():
                self.inside[Wire(node.name, output)] = value
            wanted = [w for p in phase.takes for w in node.wires.get(p, ())]
            for name in [n for n in todo if leads_to(self.graph, n, {w.node for w in wanted})]:
                todo.remove(name)
                self.step = (0, steps[0])
                self.evaluate(self.graph.nodes[name])
            feedback = {p: self.value(node.wires[p][0]) for p in phase.takes if p in node.wires}
            state = getattr(loop, f"advance{suffix}")(state, i, **feedback)
        if node.entry.marks and (said := unstorable({"state": begun})):
            raise UserError(said, hint=STORED)
        if state.signature() != begun.signature():
            raise UserError(
                f"the state of '{node.type.name}' changes from step to step: "
                f"{begun.signature()[2]} becomes {state.signature()[2]}"
            )
        return named(loop.finish(state), node.type.signature.outputs)

    def run_reduce(self, node: GraphNode, arguments: dict[str, Any]) -> dict[str, Any]:
        """A reduction of two batches."""
        ports = node.type.signature.ports
        stream = next(name for name, port in ports.items() if port.stream)
        reduction = instance(node.type, {k: v for k, v in arguments.items() if k != stream})
        state = reduction.merge(reduction.add(arguments[stream]), reduction.add(arguments[stream]))
        for warning in few(self.graph, node, reduction.least(state)):
            if warning not in self.found.warnings:
                self.found.warnings.append(warning)
        return named(reduction.finish(state), node.type.signature.outputs)

    def arguments(self, node: GraphNode) -> dict[str, Any]:
        """Ports and parameters of a node at this point; feedback is left to the loop."""
        made: dict[str, Any] = {}
        for name, port in node.type.signature.ports.items():
            if port.feedback:
                continue
            values = [self.value(wire) for wire in node.wires.get(name, ())]
            made[name] = values if port.many else values[0] if values else None
        for name, param in node.type.signature.params.items():
            value = at_step(self.at(node.params[name]), 0, 1) if name in node.params else param.default
            made[name] = PerItem([value] * ITEMS) if param.per_item else value
        return made

    def value(self, wire: Wire) -> Any:
        """What a wire carries at this point: a model, a value of this body, or an earlier node's result."""
        if wire.node in self.graph.references:
            return self.at(self.graph.references[wire.node])
        if wire in self.inside:
            return self.inside[wire]
        variant = int(self.at(self.found.variants[wire.node]))
        return self.found.outcomes[wire.node][variant].outputs[wire.output]

    def at(self, column: Column) -> Any:
        """A column's value at this point (the first along axes that the node pools)."""
        return column.values[tuple(self.where.get(axis, 0) for axis in column.axes)]


def check_stored(node: GraphNode, outcomes: list[Outcome]) -> None:
    """Raise UserError where the store can't hold what a node gives."""
    for outcome in outcomes:
        if said := unstorable(outcome.outputs):
            raise node.error(f"'{node.name}' ({node.type.name}): {said}", hint=STORED)


def memory() -> int:
    """Bytes of this machine's memory."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def leads_to(graph: Graph, name: str, targets: set[str]) -> bool:
    """Whether a node is one of the targets or feeds one, within its body."""
    if name in targets:
        return True
    owner = graph.nodes[name].body_of
    followers = [
        other.name
        for other in graph.nodes.values()
        if other.body_of == owner and any(w.node == name for wires in other.wires.values() for w in wires)
    ]
    return any(leads_to(graph, follower, targets) for follower in followers)
