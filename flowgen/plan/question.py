"""What a question of ``flowgen why`` asks for: the node that a name stands for, and some of its points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowgen.errors import UserError, did_you_mean
from flowgen.graph.model import Graph, GraphNode, Wire
from flowgen.graph.selects import sources
from flowgen.language.draw import restricted
from flowgen.plan.plan import Plan
from flowgen.plan.sides import Point


def parsed(question: str) -> tuple[str, dict[str, list[str]]]:
    """The node and, by axis, what the question names: ``sampler[seed=0,guidance=2]``."""
    if not isinstance(question, str):
        raise UserError(f"a question is a text, not {question!r}", hint="NODE or NODE[axis=label,...]")
    name, bracket, rest = question.partition("[")
    if bracket and not rest.endswith("]"):
        raise UserError(f"'{question}' lacks its ']'", hint="NODE or NODE[axis=label,...], in quotes")
    where: dict[str, list[str]] = {}
    last = ""
    for part in rest[:-1].split(",") if rest[:-1] else []:
        axis, equals, label = part.partition("=")
        if equals:
            last = axis.strip()
            where.setdefault(last, []).append(label.strip())
        elif last:  # a comma within a label
            where[last][-1] += f",{part}"
        else:
            raise UserError(f"'{part}' in '{question}' names no axis", hint="NODE[axis=label,...]")
    return name.strip(), where


def asked_node(plan: Plan, name: str) -> GraphNode:
    """A node whose items can be asked for. Raises UserError."""
    graph = plan.graph
    node = graph.nodes[written_out(graph, name)]
    while node.body_of is not None:
        node = graph.nodes[node.body_of]
    if node.is_reference:
        raise UserError(f"'{name}' is a model: it is read when a node needs it", hint="ask for a node that uses it")
    wires = list(sources(graph, Wire(node.name, main(node))))
    if any(wire.output != main(graph.nodes[wire.node]) for wire in wires):
        hint = f"ask for one of {', '.join(dict.fromkeys(wire.node for wire in wires))}"
        raise UserError(f"'{name}' passes on some outputs of nodes, and items are asked for whole", hint=hint)
    if not all(plan.nodes[wire.node].stored for wire in wires):
        hint = f"ask for one of {', '.join(n for n, about in plan.nodes.items() if about.stored)}"
        raise UserError(f"'{name}' is cheap: it is computed where it is needed and not stored", hint=hint)
    return node


def written_out(graph: Graph, name: str) -> str:
    """The node that a name stands for: itself, or of what a short form (``at``, cases, a graph used as a node) was
    written out to, what others read. Raises UserError unless that is one.
    """
    if name in graph.nodes:
        return name
    parts = [node for node in graph.nodes if node.startswith((f"{name}/", f"{name}@"))]
    if not parts:
        hint = did_you_mean(name, dict.fromkeys(node.partition("/")[0].partition("@")[0] for node in graph.nodes))
        raise UserError(f"the graph has no node '{name}'", hint=hint)
    others = [node for node in graph.nodes.values() if node.name not in parts]
    read = {wire.node for node in others for wires in node.wires.values() for wire in wires}
    read |= {wire.node for wire in graph.outputs.values()}
    ends = [part for part in parts if part in read] or parts
    if len(ends) > 1:
        raise UserError(f"'{name}' stands for {len(ends)} nodes", hint=f"ask for one of {', '.join(ends)}")
    return ends[0]


def main(node: GraphNode) -> str:
    """A node's first output."""
    return next(iter(node.type.signature.outputs))


def origin(plan: Plan, node: GraphNode, row: int) -> tuple[GraphNode, int]:
    """Whose item a node has at a flat index, and its index there: of a node that passes others' on, theirs."""
    while node.type.passes:
        ((_, wires),) = node.wires.items()
        point = place(plan, node, row)
        number = node.params["index"].at(node.axes, plan.graph.lengths, np.array([row]))[0]
        node = plan.graph.nodes[wires[int(number)].node]
        shape = plan.graph.shape(node.axes)
        row = int(np.ravel_multi_index([point[axis] for axis in node.axes], shape)) if shape else 0
    return node, row


def chosen(plan: Plan, node: GraphNode, where: Mapping[str, list[str]]) -> Any:
    """The flat indices of the points that are asked for, along the node's axes. Raises UserError."""
    every = plan.graph.document.axes
    for axis in where:
        if axis not in node.axes:
            hint = f"it varies along {', '.join(node.axes)}" if node.axes else "it is one item"
            raise UserError(f"'{node.name}' doesn't vary along '{axis}'", hint=hint)
    try:
        kept = restricted({axis: every[axis] for axis in node.axes}, where)
    except UserError as error:
        raise UserError(error.message.removeprefix("--where: "), hint=error.hint) from None
    mask = np.ones(plan.graph.shape(node.axes), dtype=bool)
    for n, axis in enumerate(node.axes):
        if axis in where:
            labels = {(type(label), label) for label in kept[axis].labels}
            keep = np.array([(type(label), label) in labels for label in every[axis].labels])
            mask &= keep.reshape([-1 if n == m else 1 for m in range(mask.ndim)])
    return np.flatnonzero(mask.ravel())


def place(plan: Plan, node: GraphNode, row: int) -> Point:
    """A flat index as one on each axis."""
    shape = plan.graph.shape(node.axes)
    index = np.unravel_index(row, shape) if shape else ()
    return {axis: int(n) for axis, n in zip(node.axes, index, strict=True)}


def labels(plan: Plan, point: Point) -> dict[str, Any]:
    """The labels of a point."""
    return {axis: plan.graph.document.axes[axis].labels[n] for axis, n in point.items()}
