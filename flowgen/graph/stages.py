"""Which nodes' results are stored."""

from __future__ import annotations

from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.selects import sources


def stages(graph: Graph) -> list[GraphNode]:
    """The nodes whose results are stored, in order; what a select passes on is stored where it comes from."""
    wires = list(graph.outputs.values())
    for node in graph.nodes.values():
        wires += [w for p, ws in node.wires.items() if node.type.signature.ports[p].stream for w in ws]
    kept = {source.node for wire in wires for source in sources(graph, wire)}
    found = []
    for node in graph.top():
        if node.type.passes:
            continue
        wanted = node.type.stored if node.entry.store is None else node.entry.store == "always"
        if wanted or node.name in kept:
            found.append(node)
    return found
