"""Variants: the points of a node fall into classes with equal static parameters, models and parents' classes.

One abstract run per class stands for all its points; and only items of one class may share a batch. Results of one
signature are of one class for whoever reads them, however they were made: a picture from each of a thousand files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.columns import Column
from flowgen.graph.model import Graph, GraphNode

Ids = NDArray[np.int64]


def members(graph: Graph, node: GraphNode) -> list[GraphNode]:
    """A node and, for a loop, its body with the bodies inside it."""
    found = [node]
    for name in graph.bodies.get(node.name, ()):
        found += members(graph, graph.nodes[name])
    return found


def variants(graph: Graph, node: GraphNode, told: Mapping[str, Column]) -> Column:
    """The class of each point of a node outside loop bodies, numbered from 0, along the axes on which it depends.

    ``told``: by node before it, the class of each point for those that read it.
    """
    inside = {member.name for member in members(graph, node)}
    columns: list[Column] = []
    for member in members(graph, node):
        columns += static_columns(member)
        for wires in member.wires.values():
            for wire in wires:
                if wire.node in graph.references:
                    columns.append(by_identity(graph.references[wire.node]))
                elif wire.node not in inside:
                    columns.append(told[wire.node])
    return classes(graph, node, columns)


def shown(graph: Graph, node: GraphNode, kinds: Column, cheap: Mapping[str, Column]) -> Column:
    """The class of each point of a node for those that read it: that of its signature.

    ``cheap``: those of nodes before it that aren't stored. What is made from these is computed with them, in one
    parcel, where the results of each must have one signature too.
    """
    sources = {wire.node for wires in node.wires.values() for wire in wires}
    return classes(graph, node, [kinds, *(cheap[name] for name in sorted(sources & cheap.keys()))])


def static_columns(node: GraphNode) -> list[Column]:
    """The columns of a node's static parameters, values as texts."""
    declared = node.type.signature.params
    return [
        column.map(repr)
        for name, column in node.params.items()
        if not declared[name].per_item and column.values.size > 1
    ]


def by_identity(column: Column) -> Column:
    """A column of models as one of their identities."""
    return column.map(lambda model: repr(sorted((name, part) for name, part in model.parts.items())))


def classes(graph: Graph, node: GraphNode, columns: list[Column]) -> Column:
    """Numbers for the distinct combinations of some columns, along those of a node's axes on which they depend."""
    differing = []
    for column in columns:
        numbers = numbered(column.values)
        if numbers.max() == 0:
            continue
        usable = tuple(axis for axis in column.axes if axis in node.axes)
        if usable != column.axes:  # pooled axes: a reduction sees the first of them
            drop = tuple(0 if axis not in usable else slice(None) for axis in column.axes)
            numbers = numbers[drop]
        differing.append(Column(usable, numbers))
    axes = tuple(axis for axis in node.axes if any(axis in column.axes for column in differing))
    combined = np.zeros(graph.shape(axes), dtype=np.int64).ravel()
    for column in differing:
        combined = combined * (int(column.values.max()) + 1) + column.over(axes, graph.lengths)
        combined = np.unique(combined, return_inverse=True)[1]
    return Column(axes, combined.reshape(graph.shape(axes)))


def numbered(values: NDArray[Any]) -> Ids:
    """Small numbers for equal values."""
    if values.dtype.kind == "i":
        return np.unique(values, return_inverse=True)[1].reshape(values.shape)
    known: dict[Any, int] = {}
    flat = np.array([known.setdefault(value, len(known)) for value in values.flat], dtype=np.int64)
    return flat.reshape(values.shape)


def representatives(column: Column) -> list[int]:
    """The flat index of the first point of each class, by class number."""
    first: list[int] = np.unique(column.values, return_index=True)[1].tolist()
    return first
