"""What a graph used as a node takes and gives, read from its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flowgen.errors import UserError
from flowgen.graph.expand import AT, type_of
from flowgen.graph.inline import MAX_DEPTH, is_graph
from flowgen.language.axes import kind_of
from flowgen.language.document import Document, load_part
from flowgen.language.expressions import Ref
from flowgen.language.inputs import TYPES, is_port, shown
from flowgen.node.registry import find_source

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Input:
    """An argument of a graph used as a node."""

    name: str
    fed: bool
    """whether a node feeds it"""
    kind: str
    """the value that a node feeds, or what a literal is"""
    default: str
    """empty where it has to be given"""
    notes: str


@dataclass(frozen=True, slots=True)
class Interface:
    """A graph as those see it that use it."""

    name: str
    description: str
    inputs: tuple[Input, ...]
    outputs: dict[str, str]
    """the kind of value of each result, the main one first"""


def interface(name: str, folder: Path, depth: int = 0) -> Interface:
    """What a graph takes and gives, named as a node's type is. ``depth``: graphs that use it. Raises UserError."""
    path = find_source(name, folder).path
    if path.suffix not in SUFFIXES:
        raise UserError(f"'{name}' is not a graph", hint="a graph is a file, ./FILE.yaml, or ships: std:NAME")
    document = load_part(path)
    declared = dict.fromkeys([*document.types, *document.inputs, *document.setters])
    outputs = {output.name: gives(document, output.ref, depth) for output in document.outputs}
    return Interface(name, document.description, tuple(taken(document, each) for each in declared), outputs)


def taken(document: Document, name: str) -> Input:
    """One input; what the graph sweeps is one, of its first value."""
    notes, kind = document.descriptions.get(name, ""), document.types.get(name, "")
    default = ""
    if name in document.setters:
        values = document.axes[document.setters[name]].values(name)
        kind, default = kind or kind_of(values[0]), shown(values[0])
        notes = notes or f"swept in the graph, {len(values)} values"
    elif name in document.inputs:
        kind, default = kind or kind_of(document.inputs[name]), shown(document.inputs[name])
    return Input(name, is_port(kind), kind if is_port(kind) else bare(TYPES.get(kind, kind)), default, notes)


def bare(text: str) -> str:
    """A noun without its article."""
    return text.removeprefix("a ")


def gives(document: Document, ref: Ref, depth: int) -> str:
    """The kind of value of a node's output; empty where that depends on more than the file."""
    entry = document.nodes[ref.name]
    if entry.type.startswith("$"):
        entry = next(iter(document.cases.get(entry.type[1:], {}).values()), entry)
    if is_graph(entry.type) and depth < MAX_DEPTH:
        outputs = interface(entry.type, document.folder_at(entry.places.get("type", entry.at)), depth + 1).outputs
        return outputs.get(ref.port or next(iter(outputs)), "")
    if entry.type == AT or entry.type.startswith("$") or is_graph(entry.type):
        return ""
    signature = type_of(entry, document).signature
    kind = signature.outputs.get(ref.port or next(iter(signature.outputs)))
    return kind.__name__ if kind else ""
