"""Whether a reduction pools enough: how many points, and how many that were drawn on their own."""

from __future__ import annotations

import math

from flowgen.graph.model import Graph, GraphNode


def ancestors(graph: Graph, node: GraphNode) -> set[str]:
    """All nodes that a node's pooled items are made from."""
    ports = node.type.signature.ports
    todo = [w.node for port, wires in node.wires.items() if ports[port].stream for w in wires]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [wire.node for wires in graph.nodes[name].wires.values() for wire in wires]
    return found


def few(graph: Graph, node: GraphNode, least: int) -> list[str]:
    """Warnings about a reduction that means nothing for fewer than ``least`` independent points; none for 1.

    Points that share a draw aren't independent: a source of randomness, a node type that takes ``per``, has one draw
    for all points of the pooled axes that it doesn't vary along.
    """
    if least <= 1:
        return []
    lengths = graph.lengths
    points = math.prod(lengths[axis] for axis in node.entry.over)
    said = []
    if points < least:
        pools = f"pools {points} point" + ("" if points == 1 else "s")
        text = f"'{node.name}' {pools}, and {node.type.name} needs {least} for a result that means something"
        said.append(str(node.error(text, "over")))
    for name in sorted(ancestors(graph, node)):
        source = graph.nodes[name]
        shared = [axis for axis in node.entry.over if axis not in source.axes]
        if "per" not in source.type.signature.params or not shared:
            continue
        draws = points // math.prod(lengths[axis] for axis in shared)
        if draws < points:
            text = f"the {points} points that '{node.name}' pools share {draws} draws of '{name}'"
            said.append(str(node.error(text, "over", f"draw anew along them: per: [{', '.join(shared)}] on '{name}'")))
    return said
