"""The Graph: nodes with their types resolved, wires, loop bodies and axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import networkx as nx

from flowgen.errors import Position, UserError
from flowgen.graph.columns import Column
from flowgen.language.document import Document
from flowgen.language.entries import NodeEntry
from flowgen.language.expressions import references
from flowgen.node import NodeType


class Wire(NamedTuple):
    """Where a port's value comes from: an output of a node."""

    node: str
    output: str


@dataclass(slots=True)
class GraphNode:
    """A node of the graph."""

    name: str
    type: NodeType
    entry: NodeEntry
    wires: dict[str, tuple[Wire, ...]] = field(default_factory=dict)
    """by port; a port that takes a list may have several"""
    params: dict[str, Column] = field(default_factory=dict)
    """values of every parameter, validated, over the axes that they depend on"""
    axes: tuple[str, ...] = ()
    """the axes along which it varies, in the order of the sweep"""
    body_of: str | None = None
    """the loop node in whose body it stands"""
    makes: tuple[str, ...] = ()
    """axes that it adds to those of what it depends on"""

    def place(self, argument: str) -> Position | None:
        """Where an argument stands, else the node."""
        return self.entry.places.get(argument, self.entry.at)

    def error(self, message: str, argument: str = "", hint: str = "") -> UserError:
        """A UserError at this node or one of its arguments."""
        return UserError(message, self.place(argument), hint)

    @property
    def is_reference(self) -> bool:
        """Whether its value is known when planning and holds no tensors (a model)."""
        return self.type.is_reference


@dataclass(slots=True)
class Graph:
    """A typed wiring."""

    document: Document
    nodes: dict[str, GraphNode]
    order: tuple[str, ...]
    """parents first; a loop after all that it and its body need, its body behind it"""
    bodies: dict[str, tuple[str, ...]]
    """by loop node, the nodes of its body in order"""
    outputs: dict[str, Wire] = field(default_factory=dict)
    """the results that are wanted, by name"""
    references: dict[str, Column] = field(default_factory=dict)
    """values of the nodes that are known when planning, over their axes"""

    @property
    def lengths(self) -> dict[str, int]:
        """Points of each axis."""
        return {name: len(axis) for name, axis in self.document.axes.items()}

    def top(self) -> Iterator[GraphNode]:
        """The nodes outside every loop body, in order, without references."""
        for name in self.order:
            node = self.nodes[name]
            if node.body_of is None and not node.is_reference:
                yield node

    def shape(self, axes: tuple[str, ...]) -> tuple[int, ...]:
        """Lengths of some axes."""
        return tuple(len(self.document.axes[name]) for name in axes)

    def networkx(self) -> nx.DiGraph[str]:
        """For drawing and analysis: nodes with type, loop and output, edges with port and feedback."""
        drawn: nx.DiGraph[str] = nx.DiGraph()
        outputs = {wire.node for wire in self.outputs.values()}
        for node in self.nodes.values():
            drawn.add_node(node.name, type=node.type.name, loop=node.body_of, output=node.name in outputs)
        for node in self.nodes.values():
            for port, wires in node.wires.items():
                for wire in wires:
                    feedback = node.type.signature.ports[port].feedback
                    drawn.add_edge(wire.node, node.name, port=port, feedback=feedback)
        return drawn


def blamed(error: UserError, node: GraphNode, document: Document, argument: str = "") -> UserError:
    """An error without a place at the argument that it is about, with where the argument's value comes from.

    That is one that the error names (``about``, or the word that its message begins with), else ``argument``, else
    the node.
    """
    if error.at:
        return error
    known = {*node.type.signature.ports, *node.type.signature.params}
    defaults = {name: value for name, value in document.defaults_of(node.entry).items() if name in known}
    named = [*error.about.split(), error.message.partition(" ")[0].strip("'"), argument]
    about = next((name for name in named if name in node.entry.arguments or name in defaults), "")
    expression = node.entry.arguments.get(about, defaults.get(about))
    inputs = [ref.name for ref in references(expression) if ref.port is None and ref.name not in document.nodes]
    said = dict.fromkeys(origin(name, document) for name in inputs)
    hints = [error.hint] if error.hint else []
    if about in node.type.signature.params and about not in node.entry.arguments:
        hints.append(f"it is a default, which '{node.name}' takes")
    hints += [f"its value comes from {', '.join(said)}"] if said else []
    return type(error)(error.message, place_of(node, about, document), "\n  ".join(hints))


def place_of(node: GraphNode, argument: str, document: Document) -> Position | None:
    """Where an argument stands: in the node, a parameter also among the defaults; else the node.

    What is wrong with a wire says little where many nodes share it by default.
    """
    default = document.default_place(node.entry, argument) if argument in node.type.signature.params else None
    return node.entry.places.get(argument) or default or node.entry.at


def origin(name: str, document: Document) -> str:
    """The axis or input that a reference's value comes from, and its place."""
    axis = document.setters.get(name)
    at = document.axes[axis].at if axis else document.places.get(("inputs", name))
    return (f"the axis '{axis}'" if axis else f"the input '{name}'") + (f" at {at}" if at else "")


def first(value: Column) -> Any:
    """A column's value at the first point."""
    return value.values.flat[0]
