"""What a document's short forms stand for: graphs used as nodes, cases, other points of the sweep, written out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import networkx as nx

from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.document import Document
from flowgen.language.entries import NodeEntry, with_case
from flowgen.language.expressions import Ref, plain, references, substitute
from flowgen.language.inputs import shown
from flowgen.node import node_type
from flowgen.node.files import file_type, is_file

AT = "at"
"""the type of a node that stands for another node at another point of the sweep"""
Replace = Callable[[Ref], Any]


def expanded(document: Document) -> Document:
    """The document with every short form written out in plain nodes. Raises UserError."""
    from flowgen.graph.cases import with_cases
    from flowgen.graph.inline import inlined
    from flowgen.graph.points import with_points
    from flowgen.graph.repeats import with_repeats

    found = with_repeats(with_cases(with_points(inlined(document))))
    return replace(found, nodes={name: with_names(entry, found) for name, entry in found.nodes.items()})


def in_case(entry: NodeEntry, value: Any, at: Position | None) -> NodeEntry:
    """A node of type ``$name`` where that input has a value: one of the cases, or another input. Raises UserError."""
    if isinstance(value, Ref):
        return replace(entry, type=str(value), places={**entry.places, "type": at} if at else entry.places)
    label = plain(value)
    if label not in entry.pieces:
        raise UserError(f"'{entry.type[1:]}' has no case {shown(value)}", at, did_you_mean(label, entry.pieces))
    return with_case(entry, entry.pieces[label])


def with_names(entry: NodeEntry, document: Document) -> NodeEntry:
    """An entry whose ``over`` and ``per`` are names of axes: ``$name`` is replaced by the input that lists them."""
    return replace(entry, over=axis_names(entry, "over", document), per=axis_names(entry, "per", document))


def axis_names(entry: NodeEntry, word: str, document: Document) -> tuple[str, ...]:
    """The names under ``over`` or ``per``."""
    found: list[str] = []
    for name in getattr(entry, word):
        if not name.startswith("$"):
            found.append(name)
            continue
        value = entry.fixed.get(name[1:], Ref(name[1:]))
        if isinstance(value, Ref):
            value = document.inputs.get(value.name)
        listed: list[Any] = value if isinstance(value, list) else [value]
        if not all(isinstance(axis, str) for axis in listed):
            hint = f"inputs: {{{name[1:]}: {{type: axes}}}}"
            raise UserError(f"'{name}' is no input that lists names of axes", entry.places.get(word, entry.at), hint)
        found += listed
    return tuple(dict.fromkeys(found))


def rewritten(entry: NodeEntry, change: Replace, document: Document) -> NodeEntry:
    """An entry with its references replaced, its defaults included."""
    defaults = {name: substitute(value, change) for name, value in document.defaults_of(entry).items()}
    places = {name: at for name in defaults if (at := document.default_place(entry, name))}
    arguments = {name: substitute(value, change) for name, value in entry.arguments.items()}
    fixed = {name: substitute(value, change) for name, value in entry.fixed.items()}
    pieces = {label: rewritten(piece, change, document) for label, piece in entry.pieces.items()}
    return replace(entry, arguments=arguments, defaults=defaults, default_places=places, fixed=fixed, pieces=pieces)


def redirected(document: Document, change: Callable[[Ref], Ref], gone: Iterable[str] = ()) -> Document:
    """A document in which references lead elsewhere, without some of its nodes."""
    without = set(gone)
    kept = {name: entry for name, entry in document.nodes.items() if name not in without}

    def whole(expression: Any) -> Any:
        return substitute(expression, change)

    def led(entry: NodeEntry) -> NodeEntry:
        arguments = {k: whole(v) for k, v in entry.arguments.items()}
        defaults = None if entry.defaults is None else {k: whole(v) for k, v in entry.defaults.items()}
        pieces = {label: led(piece) for label, piece in entry.pieces.items()}
        return replace(entry, arguments=arguments, defaults=defaults, pieces=pieces)

    return replace(
        document,
        nodes={name: led(entry) for name, entry in kept.items()},
        cases={axis: {label: led(case) for label, case in cases.items()} for axis, cases in document.cases.items()},
        defaults={name: whole(value) for name, value in document.defaults.items()},
        outputs=[replace(output, ref=change(output.ref)) for output in document.outputs],
        fed=[replace(fed, ref=change(fed.ref)) for fed in document.fed],
    )


def arguments_of(entry: NodeEntry, document: Document) -> dict[str, Any]:
    """What an entry is given, with the defaults that fill what it leaves out."""
    found = dict(entry.arguments)
    taken = takes(entry, document)
    for name, expression in document.defaults_of(entry).items():
        if name in taken:
            found.setdefault(name, expression)
    return found


def takes(entry: NodeEntry, document: Document) -> set[str]:
    """The ports and parameters of an entry's type; of all its cases."""
    if entry.type == AT:
        return set()
    found: set[str] = set()
    for piece in entry.pieces.values() if entry.type.startswith("$") else [entry]:
        signature = type_of(piece, document).signature
        found |= {*signature.ports, *signature.params}
    return found


def type_of(entry: NodeEntry, document: Document) -> Any:
    """An entry's node type. Raises UserError at its place."""
    place = entry.places.get("type", entry.at)
    try:
        if is_file(entry.type):
            folder = document.folders.get(place.file, document.folder) if place else document.folder
            return file_type(entry.type, folder, document.imports)
        return node_type(entry.type)
    except UserError as error:
        raise error.located(place) from None


def wiring(document: Document) -> nx.DiGraph[str]:
    """Which node reads which, feedback included: edges from what is read to the reader."""
    found: nx.DiGraph[str] = nx.DiGraph()
    found.add_nodes_from(document.nodes)
    for name, entry in document.nodes.items():
        for ref in used(entry, document):
            if ref.name in document.nodes:
                found.add_edge(ref.name, name)
    return found


def used(entry: NodeEntry, document: Document) -> list[Ref]:
    """All that a node refers to, in every case."""
    return list(references([arguments_of(entry, document), *(piece.arguments for piece in entry.pieces.values())]))


def fixing(values: Mapping[str, Any]) -> Replace:
    """A replacement of some inputs by values."""
    return lambda ref: values[ref.name] if ref.name in values and ref.port is None else ref


__all__ = [
    "AT",
    "arguments_of",
    "expanded",
    "fixing",
    "in_case",
    "redirected",
    "rewritten",
    "type_of",
    "used",
    "wiring",
]
