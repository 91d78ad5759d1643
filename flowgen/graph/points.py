"""``type: at``: a node's value at another point of the sweep, as clones of what depends on the inputs that are set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx

from flowgen.errors import UserError, did_you_mean
from flowgen.graph.expand import AT, arguments_of, fixing, redirected, rewritten, wiring
from flowgen.language.axes import Axis
from flowgen.language.document import Document
from flowgen.language.draw import nearest
from flowgen.language.entries import RESERVED, NodeEntry
from flowgen.language.expressions import Ref, references
from flowgen.language.inputs import shown


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
    if of.name not in changed:
        said = f"nothing that '{of.name}' is made from uses {' or '.join(sorted(k for k in values if '#' not in k))}"
        raise UserError(said, entry.at)

    def change(ref: Ref) -> Any:
        return Ref(f"{entry.name}/{ref.name}", ref.port) if ref.name in changed else fixing(values)(ref)

    clones = {}
    for name in changed:
        made = rewritten(document.nodes[name], change, document)
        clones[f"{entry.name}/{name}"] = replace(made, name=f"{entry.name}/{name}", fixed=made.fixed | values)
    main = Ref(f"{entry.name}/{of.name}", of.port)
    document = redirected(
        document, lambda ref: Ref(main.name, ref.port or main.port) if ref.name == entry.name else ref, [entry.name]
    )
    return replace(document, nodes={**document.nodes, **clones})


def depends(document: Document, entry: NodeEntry, inputs: set[str]) -> bool:
    """Whether a node uses some inputs itself, ``per`` included."""
    used = {ref.name for ref in references(arguments_of(entry, document))}
    for name in entry.per:
        if name in document.axes:
            used |= set(document.axes[name].inputs) - set(entry.fixed)
    return bool(used & inputs)


def settings(document: Document, entry: NodeEntry) -> dict[str, Any]:
    """The inputs that an ``at`` sets; an axis that sets several, or cases, is set by a label."""
    found: dict[str, Any] = {}
    for word in sorted((RESERVED - {"type", "description"}) & entry.places.keys()):
        raise UserError(f"'{word}' has no meaning for 'type: at'", entry.places[word], "write it on the node itself")
    known = {*document.inputs, *document.setters, *document.axes}
    for name, value in entry.arguments.items():
        if name == "of":
            continue
        at = entry.places.get(name, entry.at)
        if name not in known:
            hint = did_you_mean(name, [n for n in known if "#" not in n])
            raise UserError(f"the graph has no input '{name}' to set", at, hint)
        axis = document.whole.get(name)
        if any(ref.name in document.nodes for ref in references(value)):
            raise UserError(f"'{name}' is an input and can't take a node", at, "inputs take literals and inputs")
        if axis is not None and (name not in axis.inputs or len(axis.inputs) > 1):
            found |= point(axis, value, entry)
        else:
            found[name] = value
    if not found:
        raise UserError(f"'{entry.name}' sets no input", entry.at, "{type: at, of: $NODE, INPUT: VALUE}")
    return found


def point(axis: Axis, label: Any, entry: NodeEntry) -> dict[str, Any]:
    """All that a point of an axis sets, by its label."""
    if isinstance(label, Ref) or label not in axis.labels:
        hint = nearest(axis, label)
        at = entry.places.get(axis.name, entry.at)
        raise UserError(f"the axis '{axis.name}' has no point {shown(label)}", at, hint)
    return dict(axis.points[axis.labels.index(label)])
