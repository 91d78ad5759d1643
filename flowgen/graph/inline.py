"""A graph file used as a node: its nodes take the node's place, its inputs the node's arguments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError, did_you_mean, with_article
from flowgen.graph.expand import AT, in_case, redirected, rewritten
from flowgen.graph.points import with_points
from flowgen.language.document import Document, Fed, load_part
from flowgen.language.entries import NodeEntry
from flowgen.language.expressions import Ref, Schedule, Template, references
from flowgen.language.inputs import TYPES, fits, is_port, shown
from flowgen.language.sources import real
from flowgen.node.registry import find_source

MAX_DEPTH = 8
"""graphs within graphs"""
MAX_NODES = 10_000
"""nodes of a graph with all that it uses"""


def is_graph(kind: str) -> bool:
    """Whether a node's type is the name of a graph file: a path, or what a scheme like ``std:`` finds."""
    return kind.endswith((".yaml", ".yml")) or (":" in kind and ".py:" not in kind)


def inlined(document: Document, trail: tuple[Path, ...] = ()) -> Document:
    """The document with the nodes of every graph that it uses. Raises UserError in the file that is wrong."""
    nodes: dict[str, NodeEntry] = {}
    ends: dict[str, Use] = {}
    fed, folders, sources = list(document.fed), dict(document.folders), document.source
    own = (real(Path(document.file)),) if not trail else ()
    for name, entry in document.nodes.items():
        if not is_graph(entry.type):
            nodes[name] = replace(entry, pieces=pieces(entry, document))
            continue
        use = ends[name] = Use(document, entry, (*own, *trail))
        nodes |= use.nodes
        fed += use.fed
        folders |= use.inner.folders
        if f"# ---- uses {use.path}:" not in sources:
            sources += commented(use)
        if len(nodes) > MAX_NODES:
            raise UserError(f"more than {MAX_NODES} nodes, with those of the graphs that are used", entry.at)
    found = replace(document, nodes=nodes, fed=fed, folders=folders, source=sources)
    return redirected(found, lambda ref: ends[ref.name].end(ref) if ref.name in ends else ref)


def pieces(entry: NodeEntry, document: Document) -> dict[str, NodeEntry]:
    """The cases of a node whose type is an axis of cases; none of any other."""
    if not entry.type.startswith("$"):
        return {}
    found = document.cases.get(entry.type[1:], {})
    for piece in found.values():
        if is_graph(piece.type) or piece.type == AT:
            said = f"the case '{piece.name}' can't be '{piece.type}': cases are node types so far"
            raise UserError(said, piece.places.get("type", piece.at), "use the graph as a node, and select")
    return found


def commented(use: Use) -> str:
    """The text of a graph that is used, as comments, so that the record is whole."""
    lines = "".join(f"# {line}".rstrip() + "\n" for line in use.inner.source.splitlines())
    return f"\n# ---- uses {use.path}:\n{lines}"


class Use:
    """One graph used as a node."""

    def __init__(self, document: Document, entry: NodeEntry, trail: tuple[Path, ...]) -> None:
        self.document = document
        self.entry = entry
        self.fed: list[Fed] = []
        place = entry.places.get("type", entry.at)
        self.path = self.find(place)
        if real(self.path) in trail:
            start = trail.index(real(self.path))
            around = " → ".join(path.name for path in [*trail[start:], self.path])
            raise UserError(f"graphs use each other in a circle: {around}", place)
        if len(trail) > MAX_DEPTH:
            raise UserError(f"graphs within graphs, deeper than {MAX_DEPTH}", place)
        try:
            self.inner = with_points(inlined(load_part(self.path), (*trail, real(self.path))))
        except UserError as error:
            raise error.located(place) from None
        self.places: dict[str, Position] = {}
        """where the value of each input stands"""
        self.values = self.arguments()
        self.nodes = {f"{entry.name}/{name}": self.node(inner) for name, inner in self.inner.nodes.items()}
        self.fed += [replace(fed, ref=self.replaced(fed.ref)) for fed in self.inner.fed]

    def find(self, place: Position | None) -> Path:
        """The file."""
        folder = self.document.folder_at(place)
        try:
            if ":" not in self.entry.type:  # as positions name it: relative like the file that uses it
                find_source(self.entry.type, folder)
                return folder / self.entry.type
            prefix = self.entry.type.partition(":")[0]
            found = find_source(self.entry.type, folder).path
            if found.suffix not in (".yaml", ".yml"):
                raise UserError(f"'{self.entry.type}' is not a graph", hint=f"'{prefix}:' names other things")
            return found
        except UserError as error:
            raise error.located(place) from None

    def declared(self) -> list[str]:
        """The inputs of the graph: those that it declares, and what it sweeps."""
        return list(dict.fromkeys([*self.inner.types, *self.inner.inputs, *self.inner.setters]))

    def arguments(self) -> dict[str, Any]:
        """The value of each input: as given, or by default; what is swept inside takes its first value."""
        for word in ("over", "per", "store", "missing"):
            if word in self.entry.places:
                raise UserError(f"'{word}' belongs to single nodes, not to a graph", self.entry.places[word])
        known = self.declared()
        given = dict(self.entry.arguments)
        places = dict(self.entry.places)
        for name in given:
            if name not in known:
                at = places.get(name, self.entry.at)
                raise UserError(f"'{self.entry.type}' has no input '{name}'", at, did_you_mean(name, known))
        for name, expression in self.document.defaults_of(self.entry).items():
            if name in known and name not in given:
                given[name] = expression
                if at := self.document.default_place(self.entry, name):
                    places[name] = at
        values: dict[str, Any] = {}
        for name in known:
            if name in given:
                values[name] = given[name]
                if name in places:
                    self.places[name] = places[name]
                self.check(name, given[name], places.get(name, self.entry.at))
            else:
                values[name] = self.default(name)
        return values

    def default(self, name: str) -> Any:
        """What an input is when it isn't given."""
        if name in self.inner.setters:
            axis = self.inner.axes[self.inner.setters[name]]
            if axis.at:
                self.places[name] = axis.at
            return axis.values(name)[0]
        if at := self.inner.places.get(("inputs", name)):
            self.places[name] = at
        if name in self.inner.inputs:
            return self.inner.inputs[name]
        kind = self.inner.types[name]
        hint = f"write {name}: $NODE" if is_port(kind) else f"it takes {TYPES[kind]}"
        raise UserError(
            f"the input '{name}' of '{self.entry.name}' ({self.entry.type}) is missing", self.entry.at, hint
        )

    def check(self, name: str, expression: Any, at: Position | None) -> None:
        """A given value is of the input's kind: nodes go to inputs that are declared as values that nodes make."""
        kind = self.inner.types.get(name)
        wired = [ref for ref in references(expression) if self.is_node(ref)]
        if is_port(kind):
            if not isinstance(expression, Ref) or not wired:
                said = f"the input '{name}' of '{self.entry.type}' takes {with_article(str(kind))} and can't take "
                what = f"the input '{expression}'" if isinstance(expression, Ref) else shown(expression)
                raise UserError(said + what, at, f"write {name}: $NODE")
            self.fed.append(Fed(name, expression, str(kind), self.inner.places.get(("inputs", name)), at))
            return
        if wired:
            hint = "an input that a node feeds is declared by its value: {type: Latent}"
            raise UserError(f"the input '{name}' of '{self.entry.type}' can't take the node '{wired[0]}'", at, hint)
        if kind and not isinstance(expression, (Ref, Template, Schedule)) and not fits(expression, kind):
            said = f"the input '{name}' of '{self.entry.type}' is {TYPES[kind]}, not {shown(expression)}"
            raise UserError(said, at)

    def is_node(self, ref: Ref) -> bool:
        """Whether a reference of the outer graph is a node, or will be one where that graph is used in turn."""
        return ref.name in self.document.nodes or is_port(self.document.types.get(ref.name))

    def replaced(self, ref: Ref) -> Any:
        """What a reference inside means outside."""
        if ref.name in self.values:
            return self.values[ref.name]
        return Ref(f"{self.entry.name}/{ref.name}", ref.port)

    def end(self, ref: Ref) -> Ref:
        """The inner output that ``$outer`` or ``$outer.NAME`` stands for."""
        outputs = {output.name: output.ref for output in self.inner.outputs}
        if not outputs:
            raise UserError(f"'{self.entry.type}' has no outputs", self.entry.places.get("type", self.entry.at))
        name = ref.port or next(iter(outputs))
        if name not in outputs:
            hint = did_you_mean(name, outputs)
            raise UserError(f"'{self.entry.name}' ({self.entry.type}) has no output '{name}'", self.reader(ref), hint)
        found: Ref = self.replaced(outputs[name])
        return found

    def reader(self, ref: Ref) -> Position | None:
        """Where a reference to this graph stands first."""
        for entry in self.document.nodes.values():
            for name, expression in entry.arguments.items():
                if ref in references(expression):
                    return entry.places.get(name, entry.at)
        return next((output.at for output in self.document.outputs if output.ref == ref), self.entry.at)

    def node(self, inner: NodeEntry) -> NodeEntry:
        """A node of the graph in its place outside."""
        inner = self.case(inner)
        made = self.outside(inner)
        own = {label: self.outside(piece) for label, piece in inner.pieces.items()}
        return replace(made, name=f"{self.entry.name}/{inner.name}", pieces=pieces(made, self.document) or own)

    def outside(self, inner: NodeEntry) -> NodeEntry:
        """What a node of the graph, or a case of one, says in the words of the graph outside."""
        made = rewritten(inner, self.replaced, self.inner)
        own = self.inner.defaults_of(inner)
        handed = {name: value.name for name, value in self.values.items() if isinstance(value, Ref)}
        return replace(
            made,
            places={**made.places, **self.moved(inner.arguments)},
            default_places={**made.default_places, **self.moved(own)},
            over=self.axes(made, "over"),
            per=self.axes(made, "per"),
            fixed={handed[name]: value for name, value in made.fixed.items() if name in handed},
        )

    def moved(self, arguments: dict[str, Any]) -> dict[str, Position]:
        """Arguments that are an input of the graph stand where its value does."""
        refs = {name: value.name for name, value in arguments.items() if isinstance(value, Ref)}
        return {name: self.places[ref] for name, ref in refs.items() if ref in self.places}

    def axes(self, inner: NodeEntry, word: str) -> tuple[str, ...]:
        """The names that ``over`` or ``per`` lists, ``$name`` taken from the arguments."""
        values = {**self.values, **inner.fixed}
        found: list[str] = []
        for name in getattr(inner, word):
            if not name.startswith("$") or name[1:] not in values:
                found.append(self.handed(name) if word == "per" else name)
                continue
            value = values[name[1:]]
            found += [str(value)] if not isinstance(value, list) else [str(axis) for axis in value]
        return tuple(found)

    def handed(self, name: str) -> str:
        """What a name under ``per`` is called outside: an input of the graph as the one that it is given."""
        given = self.values.get(name)
        if name in self.document.axes or not isinstance(given, Ref) or self.is_node(given):
            return name
        return given.name

    def case(self, inner: NodeEntry) -> NodeEntry:
        """A node with its case where its type is the graph's axis of cases: one of them, or the outer's axis."""
        axis = inner.type[1:]
        if not inner.type.startswith("$") or axis not in self.values:
            return inner
        return in_case(inner, self.values[axis], self.places.get(axis, self.entry.at))
