"""Which points of other nodes are needed to compute some points of a stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.columns import Column, shrink, spread
from flowgen.graph.model import Graph, GraphNode, Wire
from flowgen.graph.selects import chosen
from flowgen.node.registry import element
from flowgen.plan.keying import Keying
from flowgen.plan.program import Program

Mask = NDArray[np.bool_]


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


def backwards(code: Program) -> list[str]:
    """A stage's nodes, each before what it needs: the stage's own, its body from the feedback on, then the others."""

    def within(name: str) -> list[str]:
        return [name, *(inner for member in reversed(code.steps[name].body) for inner in within(member))]

    first = within(code.stage)
    return [*first, *(name for name in reversed(code.steps) if name not in first)]
