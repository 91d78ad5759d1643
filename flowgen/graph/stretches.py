"""What loops say of their ways at every point, from their parameters and models alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.graph.blame import blaming
from flowgen.graph.columns import Column
from flowgen.graph.model import Graph, GraphNode
from flowgen.node import Loop
from flowgen.node.call import instance
from flowgen.values import PerItem


@dataclass(frozen=True, slots=True)
class Settings:
    """The distinct parameters and models of a loop node."""

    graph: Graph
    node: GraphNode
    numbers: Column
    """which of them a point has, along the axes of the node's own parameters and models"""
    wide: dict[str, NDArray[Any]]
    """parameters and models at every point"""
    points: list[int]
    """a point that has them, of each"""

    def loop(self, number: int) -> Loop:
        """The loop with these parameters and models, for one item, and no other port set."""
        params = self.node.type.signature.params
        values = {name: column[self.points[number]] for name, column in self.wide.items()}
        each = {k: PerItem([v]) if k in params and params[k].per_item else v for k, v in values.items()}
        made: Loop = instance(self.node.type, each)
        return made


def settings(graph: Graph, node: GraphNode) -> Settings:
    """The distinct parameters and models of a loop node."""
    columns: dict[str, Column] = dict(node.params)
    for port, wires in node.wires.items():
        if wires and wires[0].node in graph.references:
            columns[port] = graph.references[wires[0].node]
    axes = tuple(a for a in node.axes if any(a in c.axes for c in columns.values()))
    wide = {name: column.over(axes, graph.lengths) for name, column in columns.items()}
    shape = graph.shape(axes)
    numbers = np.empty(int(np.prod(shape)), dtype=np.int64)
    known: dict[tuple[str, ...], int] = {}
    points: list[int] = []
    for n in range(numbers.size):
        key = tuple(repr(column[n]) for column in wide.values())
        if key not in known:
            known[key] = len(points)
            points.append(n)
        numbers[n] = known[key]
    return Settings(graph, node, Column(axes, numbers.reshape(shape)), wide, points)


def loop_stretches(own: Settings) -> Column:
    """The stretch of a loop along the axes of its own parameters and models. Raises UserError."""
    with blaming(own.node, own.graph.document):
        found = [own.loop(number).stretch()[0] for number in range(len(own.points))]
    return own.numbers.map(lambda number: found[number])


def steps_of(stretches: Column) -> Column:
    """The number of steps of each stretch."""
    return Column(stretches.axes, stretches.map(lambda stretch: stretch.steps).values.astype(np.int64))


def check_continued(own: Settings, others: Mapping[str, Settings]) -> None:
    """Raise UserError where a loop can't take up what another, wired into it, ends with; at the first such point.

    ``others``: by name, the loops of the graph.
    """
    node, graph = own.node, own.graph
    if node.type.code.continues is Loop.continues:
        return
    wired = frozenset(port for port, wires in node.wires.items() if wires)
    for port, wires in node.wires.items():
        for wire in wires:
            if wire.node not in others or node.type.signature.ports[port].feedback:
                continue
            other = others[wire.node]
            used = {*own.numbers.axes, *other.numbers.axes}
            axes = tuple(axis for axis in graph.document.axes if axis in used)
            mine, its = (each.numbers.over(axes, graph.lengths) for each in (own, other))
            pairs, points = np.unique(mine * len(other.points) + its, return_index=True)
            for pair, point in sorted(zip(pairs.tolist(), points.tolist(), strict=True), key=itemgetter(1)):
                first, second = divmod(pair, len(other.points))
                with blaming(node, graph.document), at_point(graph, axes, point):
                    own.loop(first).continues(port, other.loop(second), wired)


@contextmanager
def at_point(graph: Graph, axes: tuple[str, ...], point: int) -> Iterator[None]:
    """Within, a UserError says at which point of some axes it occurs."""
    try:
        yield
    except UserError as error:
        if not axes:
            raise
        indices = np.unravel_index(point, graph.shape(axes))
        labels = [f"{axis}={graph.document.axes[axis].labels[n]}" for axis, n in zip(axes, indices, strict=True)]
        raise type(error)(f"{error.message} (at {', '.join(labels)})", error.at, error.hint) from None
