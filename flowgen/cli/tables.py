"""What the commands print."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from flowgen.graph.check import Check
    from flowgen.graph.interface import Interface
    from flowgen.graph.model import Graph
    from flowgen.node import NodeType
    from flowgen.values import Record

ENDLESS = 10_000
"""columns of what isn't a terminal"""


class Plain(Console):
    """Where tables go that no terminal shows: a line ends with its last word."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Without blanks at the ends of lines."""
        with self.capture() as caught:
            super().print(*objects, **options)
        self.file.write(re.sub(r" +$", "", caught.get(), flags=re.MULTILINE))
        self.file.flush()  # a log is read while the run goes on


def check_table(found: Check) -> Table:
    """What the abstract run found of each node."""
    table = Table(box=None, pad_edge=False)
    for name in ("node", "type", "axes", "gives", "bytes", "FLOPs"):
        table.add_column(name, justify="right" if name in ("bytes", "FLOPs") else "left", overflow="fold")
    for name, depth in indented(found.graph):
        node = found.graph.nodes[name]
        outcomes = found.outcomes.get(name, [])
        gives = size = flops = ""
        if outcomes:
            value = next(iter(outcomes[0].outputs.values()))
            gives, size, flops = shape_of(value), amount(outcomes[0].bytes, "B"), amount(outcomes[0].flops, "")
            gives += f", {len(outcomes)} variants" if len(outcomes) > 1 else ""
        elif name in found.graph.references:
            model = found.graph.references[name].values.flat[0]
            gives = ", ".join(model.parts)
        table.add_row(Text("  " * depth + name), node.type.name, axes_of(found.graph, name), Text(gives), size, flops)
    return table


def indented(graph: Graph) -> list[tuple[str, int]]:
    """Nodes in order, bodies under their loop."""
    found: list[tuple[str, int]] = []

    def add(name: str, depth: int) -> None:
        found.append((name, depth))
        for member in graph.bodies.get(name, ()):
            add(member, depth + 1)

    for name in graph.order:
        if graph.nodes[name].body_of is None:
            add(name, 0)
    return found


def axes_of(graph: Graph, name: str) -> str:
    """A node's axes with their lengths."""
    return " × ".join(f"{axis}" for axis in graph.nodes[name].axes)


def shape_of(value: Record) -> str:
    """A value's type and the shape of one item."""
    tensors = value.tensors()
    main = tensors.get("data", next(iter(tensors.values())))
    shape = " × ".join(map(str, main.shape[1:])) or "number"
    kind = getattr(value, "kind", "")
    return f"{type(value).__name__} {shape} {str(main.dtype).removeprefix('torch.')}" + (f", {kind}" if kind else "")


def console(**options: Any) -> Console:
    """Where tables go: as wide as the terminal; elsewhere as wide as they are, or as COLUMNS says."""
    found = Console(**options)
    return found if found.is_terminal else Plain(width=None if "COLUMNS" in os.environ else ENDLESS, **options)


def amount(number: float, unit: str) -> str:
    """A number with a metric prefix, three digits."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(number) < 1000:
            return f"{number:.3g} {prefix}{unit}".strip()
        number /= 1000
    return f"{number:.3g} E{unit}"


def types_table(types: Mapping[str, NodeType]) -> Table:
    """All node types and the first line of their documentation."""
    table = Table(box=None, pad_edge=False)
    for name in ("type", "kind", "gives", "what it does"):
        table.add_column(name, overflow="fold")
    for name, found in types.items():
        gives = ", ".join(t.__name__ for t in found.signature.outputs.values())
        table.add_row(name, found.kind, gives, found.doc.partition("\n")[0])
    return table


def node_page(found: NodeType) -> Group:
    """A node type's contract."""
    signature = found.signature
    table = Table(box=None, pad_edge=False)
    for name in ("", "name", "type", "default", "notes"):
        table.add_column(name, overflow="fold")
    for port in signature.ports.values():
        notes = ["feedback: closes the loop"] if port.feedback else []
        notes += ["pooled"] if port.stream else []
        notes += ["optional"] if port.optional else []
        notes += [f"parts: {', '.join(port.parts)}"] if port.parts else []
        many = "list of " if port.many else ""
        table.add_row("port", port.name, many + port.type.__name__, "", "; ".join(notes))
    for param in signature.params.values():
        default = "" if param.required else repr(param.default)
        if param.name == "per":
            table.add_row("word", "per", "axis names", "", "draws anew along these axes, or these inputs of axes")
            continue
        notes = ["may differ within a batch"] if param.per_item else []
        table.add_row("parameter", param.name, param.describe(), default, "; ".join(notes))
    if found.kind == "reduce":
        table.add_row("word", "over", "axis names", "", "pools these axes")
    if found.kind == "loop":
        table.add_row("word", "trajectory", "{at: [0, 0.5, 1]}", "", "shows states, along the axis 'step'")
        table.add_row("word", "checkpoint", "{every: 10}", "", "stores states to go on from")
    for name, kind in signature.steps.items():
        table.add_row("per step", name, kind.__name__, "", "inside the loop only")
    for name, kind in signature.outputs.items():
        table.add_row("output", name, kind.__name__, "", "")
    heading = Text(f"{found.name} ({found.kind}, version {found.version})", style="bold")
    return Group(heading, Text(found.doc + "\n"), table)


def graphs_table(graphs: Sequence[Interface]) -> Table:
    """Graphs that may be used as nodes, and what they are for."""
    table = Table(box=None, pad_edge=False)
    for name in ("graph as a node", "gives", "what it does"):
        table.add_column(name, overflow="fold")
    for found in graphs:
        table.add_row(found.name, ", ".join(found.outputs.values()), found.description)
    return table


def graph_page(found: Interface) -> Group:
    """What a graph used as a node takes and gives."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "name", "type", "default", "notes"):
        table.add_column(name, overflow="fold")
    for given in found.inputs:
        table.add_row("port" if given.fed else "parameter", given.name, given.kind, given.default, Text(given.notes))
    for name, kind in found.outputs.items():
        table.add_row("output", name, kind, "", "")
    heading = Text(f"{found.name} (graph)", style="bold")
    return Group(heading, Text(found.description + "\n"), table)
