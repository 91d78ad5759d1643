"""Whether a reduction pools enough: how many points, and how many that were drawn on their own."""

from __future__ import annotations

import math

import numpy as np

from flowgen.graph.columns import ordered, spread
from flowgen.graph.model import Graph, GraphNode
from flowgen.language.expressions import NAME


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

    Points that share a draw of a source of randomness, a node type that takes ``per``, aren't independent.
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
        if "per" not in source.type.signature.params:
            continue
        count = draws(graph, source, node.entry.over)
        if count < points:
            text = f"the {points} points that '{node.name}' pools share {count} draws of '{name}'"
            said.append(str(node.error(text, "over", anew(graph, source, node.entry.over))))
    return said


def draws(graph: Graph, source: GraphNode, over: tuple[str, ...]) -> int:
    """How many draws a source has for the points of the pooled axes; the fewest, where other axes change that.

    Points at which all its parameters are equal share one.
    """
    lengths = graph.lengths
    columns = [column for column in source.params.values() if set(column.axes) & set(over)]
    along = ordered({axis for column in columns for axis in column.axes}, graph.document)
    pooled = [n for n, axis in enumerate(along) if axis in over]
    known = np.zeros([lengths[axis] for axis in along], dtype=np.int64)
    for column in columns:
        number: dict[str, int] = {}
        numbers = [number.setdefault(repr(value), len(number)) for value in column.values.flat]
        found = np.array(numbers, dtype=np.int64).reshape(column.values.shape)
        both = known * len(number) + spread(found, column.axes, along, lengths)
        known = np.unique(both, return_inverse=True)[1].reshape(both.shape)
    rows = np.moveaxis(known, pooled, range(-len(pooled), 0)).reshape(-1, math.prod(known.shape[n] for n in pooled))
    distinct = 1 + np.count_nonzero(np.diff(np.sort(rows, axis=1), axis=1), axis=1)
    return int(distinct.min()) * math.prod(lengths[axis] for axis in over if axis in source.axes and axis not in along)


def anew(graph: Graph, source: GraphNode, over: tuple[str, ...]) -> str:
    """How points that share draws of a source get their own."""
    lengths = graph.lengths
    shared = [a for a in over if draws(graph, source, (a,)) < lengths[a] and a not in source.entry.per]
    if not shared:
        return f"points that are equal share a draw: sweep a seed of '{source.name}' too"
    hint = f"draw anew along them: per: [{', '.join(shared)}] on '{source.name}'"
    for axis in shared:
        inputs = [name for name in graph.document.axes[axis].inputs if NAME.fullmatch(name)]
        if len(inputs) > 1:
            return f"{hint}; '{axis}' counts with all that it sets, and by its own name one input alone: {inputs[0]}"
    return hint
