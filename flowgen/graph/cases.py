"""Cases: alternatives of a node along an axis. Each becomes a node of its own, and a ``select`` takes their place.

A node that stands in a loop is written out with its whole loop, once for each case, so that a case is computed exactly
as the same graph without cases would be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx

from flowgen.errors import UserError
from flowgen.graph.expand import arguments_of, fixing, in_case, redirected, rewritten, type_of, used, wiring
from flowgen.language.axes import Axis, Points
from flowgen.language.document import Document
from flowgen.language.entries import NodeEntry
from flowgen.language.expressions import Ref, Schedule, plain

Chosen = tuple[tuple[str, Any], ...]
"""a case of each of some axes"""


def number_of(axis: str) -> str:
    """The hidden input that holds a case's number; no name that a file can write."""
    return f"{axis}#"


def with_cases(document: Document) -> Document:
    """The document with every case written out. Raises UserError."""
    document = replace(document, nodes={name: settled(document, entry) for name, entry in document.nodes.items()})
    case_nodes = {name: entry.type[1:] for name, entry in document.nodes.items() if entry.type.startswith("$")}
    if not case_nodes:
        return document
    document = numbered(document, set(case_nodes.values()))
    edges = wiring(document)
    for component in list(nx.strongly_connected_components(edges)):
        found = {case_nodes[name] for name in component if name in case_nodes}
        if found:
            along = [axis for axis in document.axes if axis in found]
            document = Alternatives(document, with_scheduled(document, component, edges), along).written_out()
    return document


def with_scheduled(document: Document, loop: set[str], edges: nx.DiGraph[str]) -> set[str]:
    """A loop with the nodes that change with its steps although they depend on none: they stand in its body too."""
    if len(loop) == 1:
        return loop
    alone = {n for part in nx.strongly_connected_components(edges) if len(part) == 1 for n in part}
    apart = edges.subgraph(alone | loop)  # what another loop makes changes with the steps of that one
    before = nx.ancestors(apart, next(iter(loop))) - loop
    first = {name for name in before if any(map(has_schedule, arguments_of(document.nodes[name], document).values()))}
    return loop | first.union(*(nx.descendants(apart, name) & before for name in first))


def has_schedule(expression: Any) -> bool:
    """Whether an argument depends on the step."""
    return isinstance(expression, Schedule)


def settled(document: Document, entry: NodeEntry) -> NodeEntry:
    """A node whose type is an axis, of cases or of texts that name some; with the case where an input names it."""
    axis = entry.type[1:]
    if not entry.type.startswith("$") or axis in document.cases:
        return entry
    place = entry.places.get("type", entry.at)
    if entry.pieces and axis in document.inputs:
        return in_case(entry, document.inputs[axis], place)
    if not entry.pieces or axis not in document.axes or document.axes[axis].inputs != (axis,):
        hint = f"write sweep: {{{axis}: {{cases: {{LABEL: {{type: TYPE}}, ...}}}}}}"
        raise UserError(f"the type '{entry.type}' is no axis of cases", place, hint)
    for value in document.axes[axis].values(axis):
        in_case(entry, value, document.axes[axis].at or place)
    return entry


def written_cases(document: Document, axis: str) -> list[Any]:
    """The cases of an axis that are written out: those of its points."""
    points = document.axes[axis].values(axis)
    return [case for case in document.cases.get(axis, points) if case in points]


def numbered(document: Document, along: set[str]) -> Document:
    """The document with the cases' numbers as hidden inputs, for the axes that nodes take over."""
    axes, setters = dict(document.axes), dict(document.setters)
    for name in along:
        axes[name] = with_numbers(axes[name], written_cases(document, name))
        setters[number_of(name)] = name
    return replace(document, axes=axes, setters=setters)


def with_numbers(axis: Axis, written: list[Any]) -> Axis:
    """An axis of cases whose points set a case's number too."""
    cases = axis.values(axis.name)
    return replace(axis, points=Points({axis.name: cases, number_of(axis.name): tuple(map(written.index, cases))}))


class Alternatives:
    """A node with cases, or a loop that holds some, along the axes that they belong to."""

    def __init__(self, document: Document, component: set[str], along: list[str]) -> None:
        self.document = document
        self.component = component
        self.cases = {axis: written_cases(document, axis) for axis in along}
        self.along = along
        self.nodes: dict[str, NodeEntry] = {}

    def written_out(self) -> Document:
        """The document with a clone of the component for each case, and selects for what is read of it."""
        self.clone(())
        read = [ref for ref in self.refs() if ref.name in self.component]
        for ref in dict.fromkeys(read):
            self.select(ref, ())
        changed = redirected(
            self.document, lambda r: self.renamed(r) if r.name in self.component else r, self.component
        )
        return replace(changed, nodes={**changed.nodes, **self.nodes})

    def refs(self) -> list[Ref]:
        """All references from outside the component."""
        outside = [entry for name, entry in self.document.nodes.items() if name not in self.component]
        found = [ref for entry in outside for ref in used(entry, self.document)]
        return found + [output.ref for output in self.document.outputs] + [fed.ref for fed in self.document.fed]

    def clone(self, chosen: Chosen) -> None:
        """The component once for each combination of cases."""
        if len(chosen) < len(self.along):
            axis = self.along[len(chosen)]
            for case in self.cases[axis]:
                self.clone((*chosen, (axis, case)))
            return
        cases = dict(chosen)
        fixed = cases | {number_of(a): self.cases[a].index(case) for a, case in chosen}

        def change(ref: Ref) -> Any:
            return Ref(named(ref.name, chosen), ref.port) if ref.name in self.component else fixing(fixed)(ref)

        for name in self.component:
            entry = self.taken_over(self.document.nodes[name], cases)
            made = rewritten(entry, change, self.document)
            self.nodes[named(name, chosen)] = replace(made, name=named(name, chosen), fixed={**made.fixed, **fixed})

    def taken_over(self, entry: NodeEntry, cases: dict[str, Any]) -> NodeEntry:
        """A node with its case's piece."""
        return in_case(entry, cases[entry.type[1:]], None) if entry.type.startswith("$") else entry

    def select(self, ref: Ref, chosen: Chosen) -> None:
        """The node that stands for an output of all cases: nested where several axes meet."""
        entry = self.document.nodes[ref.name]
        axis = self.along[len(chosen)]
        parts = []
        for case in self.cases[axis]:
            inner = (*chosen, (axis, case))
            if len(inner) == len(self.along):
                parts.append(Ref(named(ref.name, inner), ref.port))
            else:
                self.select(ref, inner)
                parts.append(Ref(named(self.renamed(ref).name, inner)))
        name = named(self.renamed(ref).name, chosen)
        places = {word: at for word, at in entry.places.items() if word == "type"}
        arguments = {"from": parts, "index": Ref(number_of(axis))}
        self.nodes[name] = NodeEntry(name, "select", arguments, (), (), None, entry.at, places, defaults={})

    def renamed(self, ref: Ref) -> Ref:
        """What stands for an output of a node with cases: a node of its name, or of its name and the output's."""
        if ref.port is None or self.is_main(ref):
            return Ref(ref.name)
        return Ref(f"{ref.name}.{ref.port}")

    def is_main(self, ref: Ref) -> bool:
        """Whether an output is the main one, in every case."""
        names = [named(ref.name, ()), *(n for n in self.nodes if n.startswith(f"{ref.name}@"))]
        entries = [self.nodes[n] for n in names if n in self.nodes and self.nodes[n].type != "select"]
        return all(next(iter(type_of(e, self.document).signature.outputs)) == ref.port for e in entries)


def named(name: str, chosen: Chosen) -> str:
    """The name of a node in some cases, no two alike: an @ in a case's own name is marked by a backslash."""
    return "@".join([name, *(plain(case).replace("\\", r"\\").replace("@", r"\@") for _, case in chosen)])
