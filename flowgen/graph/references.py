"""Values that are known when planning: models, as bundles of parts, read from configurations alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from flowgen.errors import UserError
from flowgen.graph.blame import blaming
from flowgen.graph.columns import Column
from flowgen.graph.model import Graph, GraphNode, place_of
from flowgen.node.call import call
from flowgen.values.model import Model, Part


def add_references(graph: Graph) -> None:
    """Evaluate every reference node at its points. Raises UserError at the node."""
    for name in graph.order:
        node = graph.nodes[name]
        if node.is_reference:
            graph.references[name] = evaluate(graph, node)
    for node in graph.nodes.values():
        check_parts(graph, node)


def evaluate(graph: Graph, node: GraphNode) -> Column:
    """The node's value along its axes; equal arguments are evaluated once."""
    lengths = graph.lengths
    columns = {name: column.over(node.axes, lengths) for name, column in node.params.items()}
    if node.type.passes:
        (wires,) = node.wires.values()
        every = [graph.references[wire.node].over(node.axes, lengths) for wire in wires]
        picked = np.empty(len(columns["index"]), dtype=object)
        for n, index in enumerate(columns["index"]):
            picked[n] = every[index][n]
        return Column(node.axes, picked.reshape(graph.shape(node.axes)))
    for port, wires in node.wires.items():
        columns[port] = graph.references[wires[0].node].over(node.axes, lengths)
    made = np.empty(graph.shape(node.axes), dtype=object)
    flat = made.reshape(-1)
    known: dict[tuple[Any, ...], Any] = {}
    for n, values in enumerate(zip(*columns.values(), strict=True) if columns else [()]):
        key = tuple(map(repr, values))
        if key not in known:
            with blaming(node, graph.document, "from"):
                (known[key],) = call(node.type, dict(zip(columns, values, strict=True))).values()
        flat[n] = known[key]
    return Column(node.axes, made)


def check_parts(graph: Graph, node: GraphNode) -> None:
    """Every model that is wired to a port has the parts that the port uses."""
    for port, wires in node.wires.items():
        parts = node.type.signature.ports[port].parts
        for wire, part in itertools.product(wires, parts):
            for model in set(map(id_of, graph.references[wire.node].values.flat)):
                try:
                    model.model.used([part])
                except UserError as error:
                    needed = " and ".join(name for name in parts if not name.endswith("?"))
                    hint = f"'{node.type.name}' needs a model with {needed}; {error.hint}"
                    raise type(error)(error.message, place_of(node, port, graph.document), hint) from None


class id_of:
    """A model hashed by identity: one check for each, however many points share it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, id_of) and self.model is other.model


def used_parts(graph: Graph, node: GraphNode, port: str, model: Model) -> list[Part]:
    """The parts of a model that a port of a node reads; all where it declares none."""
    names = node.type.signature.ports[port].parts or tuple(model.parts)
    return model.used(names)
