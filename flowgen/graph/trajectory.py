"""A loop's trajectory as a node of its own: ``$sampler.trajectory`` is some of its states, along the axis ``step``.

Each is what the loop would give if it ended there (``finish`` of the state), and is stored beside the state itself.
"""

from __future__ import annotations

from typing import Any

from flowgen.errors import UserError
from flowgen.graph.columns import Column
from flowgen.graph.model import GraphNode, Wire
from flowgen.language.axes import Axis, Points
from flowgen.language.document import Document
from flowgen.language.entries import NodeEntry
from flowgen.language.expressions import Ref
from flowgen.language.marks import Marks
from flowgen.node import NodeType
from flowgen.node.signature import Port, Signature

AXIS = "step"
OUTPUT = "trajectory"


def name_of(loop: str) -> str:
    """The node that holds a loop's trajectory."""
    return f"{loop}.{OUTPUT}"


def add_trajectories(document: Document, nodes: dict[str, GraphNode]) -> None:
    """A node for each trajectory that a graph declares, and the axis ``step``. Raises UserError."""
    for node in list(nodes.values()):
        for word, marks in (("checkpoint", node.entry.checkpoint), (OUTPUT, node.entry.trajectory)):
            if marks and node.type.kind != "loop":
                raise node.error(f"'{node.type.name}' is no loop, so it takes no '{word}'", word)
        if node.entry.trajectory:
            add_axis(document, node, node.entry.trajectory)
            name = name_of(node.name)
            entry = NodeEntry(name, OUTPUT, {}, (), (), None, node.entry.at, node.entry.places)
            main, type = next(iter(node.type.signature.outputs.items()))
            nodes[name] = GraphNode(name, node_type(type), entry, {"of": (Wire(node.name, main),)}, makes=(AXIS,))


def node_type(type: type[Any]) -> NodeType:
    """A node that hands on a loop's states."""
    signature = Signature({"of": Port("of", type)}, {}, {OUTPUT: type}, {})
    return NodeType(OUTPUT, None, "function", 1, signature, True, abstract=lambda of: of)


def add_axis(document: Document, node: GraphNode, marks: Marks) -> None:
    """The axis ``step``, one for all trajectories of a graph."""
    at = node.place(OUTPUT)
    axis = document.axes.get(AXIS)
    if AXIS in document.inputs or AXIS in document.nodes or (axis and not axis.maker):
        raise UserError(
            f"the trajectory of '{node.name}' makes an axis '{AXIS}', and the graph has one", at, "rename it"
        )
    if axis and axis.labels != marks.values:
        said = f"the trajectories of '{axis.maker}' and '{node.name}' differ, and a graph has one axis '{AXIS}'"
        raise UserError(said, at, "give both the same states")
    if not axis:
        points = Points({AXIS: marks.values})
        document.axes[AXIS] = Axis(AXIS, marks.values, points, at, node.name)
        document.setters[AXIS] = AXIS


def shown_loop(node: GraphNode) -> str | None:
    """The loop whose trajectory a node is; None for any other node."""
    return node.wires["of"][0].node if node.entry.type == OUTPUT and AXIS in node.makes else None


def offered(node: GraphNode) -> dict[str, type[Any]]:
    """All that references to a node may name: results, the main one first, per-step outputs, a trajectory."""
    signature = node.type.signature
    found = {**signature.outputs, **signature.steps}
    if node.entry.trajectory and node.type.kind == "loop":
        found.setdefault(OUTPUT, next(iter(signature.outputs.values())))
    return found


def source(nodes: dict[str, GraphNode], ref: Ref) -> Wire | None:
    """The wire that ``$sampler.trajectory`` stands for; None for any other reference. Raises UserError."""
    node = nodes.get(ref.name)
    if ref.port != OUTPUT or node is None or node.type.kind != "loop" or OUTPUT in node.type.signature.outputs:
        return None
    if node.entry.trajectory is None:
        raise UserError(f"'{ref.name}' keeps no trajectory", hint="say which states: trajectory: {at: [0, 0.5, 1]}")
    return Wire(name_of(ref.name), OUTPUT)


def check_marks(node: GraphNode, lengths: Column) -> None:
    """A trajectory has the same states in every loop. Raises UserError."""
    if node.entry.trajectory:
        for length in sorted(set(lengths.values.ravel().tolist())):
            node.entry.trajectory.check(length)
