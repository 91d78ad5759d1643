"""What a node's own code warns of, from the parameters of all its points."""

from __future__ import annotations

import numpy as np

from flowgen.graph.blame import blaming
from flowgen.graph.columns import Column
from flowgen.graph.model import Graph, GraphNode, blamed
from flowgen.values import PerItem


def cautions(graph: Graph, node: GraphNode, variants: Column) -> list[str]:
    """Warnings about a node, each with its place. Models are opened as the caller says."""
    if node.type.cautions is None:
        return []
    found = []
    declared = node.type.signature.params
    wide = {name: c.over(node.axes, graph.lengths) for name, c in node.params.items()}
    models = {
        port: graph.references[wires[0].node].over(node.axes, graph.lengths) for port, wires in node.wires.items()
    }
    every = variants.over(node.axes, graph.lengths)
    for variant in np.unique(every):
        points = np.flatnonzero(every == variant)
        rows = {repr([column[n] for name, column in wide.items() if declared[name].per_item]): n for n in points}
        first, distinct = points[0], list(rows.values())
        arguments = {port: column[first] for port, column in models.items()}
        for name, column in wide.items():
            arguments[name] = PerItem([column[n] for n in distinct]) if declared[name].per_item else column[first]
        with blaming(node, graph.document):
            warnings = node.type.cautions(**arguments)
        found += [str(blamed(warning, node, graph.document)) for warning in warnings]
    return list(dict.fromkeys(found))
