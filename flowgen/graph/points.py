"""``type: at``: a node's value at another point of the sweep, as clones of what depends on the inputs that are set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx

from flowgen.errors import UserError, did_you_mean
from flowgen.graph.cases import with_scheduled
from flowgen.graph.expand import AT, fixing, in_case, redirected, rewritten, used, wiring
from flowgen.graph.repeats import repeat_of
from flowgen.language.axes import Axis
from flowgen.language.document import Document
from flowgen.language.draw import nearest, place
from flowgen.language.entries import RESERVED, NodeEntry
from flowgen.language.expressions import NAME, Ref, references
from flowgen.language.inputs import is_port, shown


def with_points(document: Document) -> Document:
    """The document with every ``at`` written out. Raises UserError."""
    while left := [name for name, entry in document.nodes.items() if entry.type == AT]:
        edges = wiring(document)
        first = [name for name in left if not (nx.ancestors(edges, name) | {name} & {*edges.pred[name]}) & set(left)]
        if not first:
            entry = document.nodes[left[0]]
            raise UserError(f"'{left[0]}' is made from itself", entry.places.get("of", entry.at))
        document = written_out(document, document.nodes[first[0]], edges)
    return document


def written_out(document: Document, entry: NodeEntry, edges: nx.DiGraph[str]) -> Document:
    """The document with one ``at`` replaced by clones of what changes."""
    of = entry.arguments.get("of")
    if not isinstance(of, Ref) or of.name not in document.nodes:
        raise UserError("'of' takes a node", entry.places.get("of", entry.at), "{type: at, of: $NODE, INPUT: VALUE}")
    values = settings(document, entry)
    before = nx.ancestors(edges, of.name) | {of.name}
    direct = {name for name in before if depends(document, document.nodes[name], set(values))}
    changed = {name for name in before if name in direct or nx.ancestors(edges, name) & direct}
    for loop in nx.strongly_connected_components(edges.subgraph(changed)):
        changed |= with_scheduled(document, loop, edges)
    if of.name not in changed:
        said = f"nothing that '{of.name}' is made from uses {' or '.join(sorted(filter(NAME.fullmatch, values)))}"
        raise UserError(said, entry.at)

    def change(ref: Ref) -> Any:
        return Ref(f"{entry.name}/{ref.name}", ref.port) if ref.name in changed else fixing(values)(ref)

    clones = {}
    for name in [name for name in document.nodes if name in changed]:
        made = rewritten(chosen(document, document.nodes[name], values, entry), change, document)
        check_pooled(document, made, values, entry)
        clones[f"{entry.name}/{name}"] = replace(made, name=f"{entry.name}/{name}", fixed=values | made.fixed)
    main = Ref(f"{entry.name}/{of.name}", of.port)
    document = redirected(
        document, lambda ref: Ref(main.name, ref.port or main.port) if ref.name == entry.name else ref, [entry.name]
    )
    return replace(document, nodes={**document.nodes, **clones})


def chosen(document: Document, known: NodeEntry, values: dict[str, Any], entry: NodeEntry) -> NodeEntry:
    """A node in the case that an ``at`` chooses; any other as it is."""
    axis = known.type[1:]
    if not known.type.startswith("$") or axis not in values:
        return known
    found = in_case(known, values[axis], entry.places.get(axis, entry.at))
    return replace(found, pieces=document.cases.get(found.type[1:], found.pieces))


def check_pooled(document: Document, node: NodeEntry, values: dict[str, Any], entry: NodeEntry) -> None:
    """What an ``at`` sets leaves a node the axes that it pools."""
    for axis in [document.axes[name] for name in node.over if name in document.axes]:
        if set(axis.inputs) <= set(values):
            at = next((entry.places[name] for name in (axis.name, *axis.inputs) if name in entry.places), entry.at)
            said = f"'{node.name}' pools '{axis.name}', so '{entry.name}' can't set it"
            raise UserError(said, at, f"leave it out, or take the point of what '{node.name}' pools")


def depends(document: Document, entry: NodeEntry, inputs: set[str]) -> bool:
    """Whether a node uses some inputs itself, ``type``, ``over`` and ``per`` included.

    Noise that is drawn anew along axes that are known only where the graph is used may depend on any input.
    """
    found = {ref.name for ref in used(entry, document)}
    pieces = [entry, *entry.pieces.values()]
    words = [word for piece in pieces for word in (piece.type, *piece.over, *piece.per) if word.startswith("$")]
    found |= {word[1:] for word in words} - set(entry.fixed)
    for name in {name for piece in pieces for name in piece.per}:
        one = {name} if name in document.setters else inputs
        found |= (set(document.axes[name].inputs) if name in document.axes else one) - set(entry.fixed)
    return bool(found & inputs)


def settings(document: Document, entry: NodeEntry) -> dict[str, Any]:
    """The inputs that an ``at`` sets; an axis that sets several, or cases, is set by a label."""
    found: dict[str, Any] = {}
    for word in sorted((RESERVED - {"type", "description"}) & entry.places.keys()):
        raise UserError(f"'{word}' has no meaning for 'type: at'", entry.places[word], "write it on the node itself")
    known = {*document.types, *document.inputs, *document.setters, *document.axes}
    for name, value in entry.arguments.items():
        if name == "of":
            continue
        at = entry.places.get(name, entry.at)
        if name not in known:
            raise UserError(f"the graph has no input '{name}' to set", at, did_you_mean(name, known))
        axis = document.whole.get(name)
        if is_port(document.types.get(name)):
            raise UserError(f"'{name}' is fed by a node and can't be set", at, "set what it is made from")
        if any(ref.name in document.nodes or is_port(document.types.get(ref.name)) for ref in references(value)):
            raise UserError(f"'{name}' is an input and can't take a node", at, "inputs take literals and inputs")
        if axis is not None and (name in document.cases or axis.inputs != (name,)):
            found |= point(axis, value, entry)
        else:
            found[name] = value
    if not found:
        raise UserError(f"'{entry.name}' sets no input", entry.at, "{type: at, of: $NODE, INPUT: VALUE}")
    return found


def point(axis: Axis, label: Any, entry: NodeEntry) -> dict[str, Any]:
    """All that a point of an axis sets, by its label."""
    n = None if isinstance(label, Ref) else place(axis, label)
    if n is None:
        at = entry.places.get(axis.name, entry.at)
        raise UserError(f"the axis '{axis.name}' has no point {shown(label)}", at, nearest(axis, label))
    again = {repeat_of(axis.name): axis.repeats[n]} if axis.repeats else {}
    return {**axis.points[n], **again}
