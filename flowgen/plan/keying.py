"""The keys of every node's items, as columns over its axes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.graph.columns import Column, numbers, spread
from flowgen.graph.model import Graph, GraphNode, Wire, blamed
from flowgen.graph.references import used_parts
from flowgen.graph.trajectory import shown_loop
from flowgen.node import Source
from flowgen.node.registry import element
from flowgen.plan.checkpoints import trajectory_keys
from flowgen.plan.contents import FileDigest, content
from flowgen.plan.numerics import Numerics
from flowgen.plan.programs import Programs
from flowgen.plan.trajectories import Trajectories, as_text
from flowgen.store import key_columns, keys
from flowgen.store.key_columns import DTYPE
from flowgen.values.model import Model, Part, loader_of

NOTHING: frozenset[str] = frozenset()


class Keying:
    """Makes the key columns of a graph."""

    def __init__(self, graph: Graph, stretches: dict[str, Column], numerics: Numerics, file_digest: FileDigest) -> None:
        self.graph = graph
        self.stretches = stretches
        """of each loop"""
        self.trajectories: dict[str, Trajectories] = {}
        """by loop node"""
        self.strict = numerics.strict
        self.numerics = numerics.text()
        self.file_digest = file_digest
        self.columns: dict[str, Column] = {}
        """keys of each node's items along its axes"""
        self.unused: dict[str, Column] = {}
        """ports that a node's parameters leave unread, where there are any"""
        self.models: dict[tuple[int, tuple[str, ...]], str] = {}
        self.parts: dict[Part, str] = {}
        """digests of the parts in use: a worker loads these weights or none"""
        self.files: dict[str, str] = {}
        """digests of the files and folders that parameters name, by path: nodes read these or none"""

    def run(self) -> dict[str, Column]:
        """Keys of all nodes; those outside bodies along the node's own axes."""
        for node in self.graph.top():
            if node.type.kind == "reduce":
                self.columns[node.name] = self.reduction(node)
            elif loop := shown_loop(node):
                self.columns[node.name] = trajectory_keys(self.graph.nodes[loop], self.trajectories[loop], self.graph)
            else:
                found = self.loop(node) if node.type.kind == "loop" else self.function(node)
                self.columns[node.name] = self.widened(node, found)
        return self.columns

    def loop(self, node: GraphNode) -> Column:
        """The keys of a loop: its program, what it begins with, and what its steps read from outside."""
        programs = Programs(self.graph, node, self.numerics, self.content)
        for name in programs.members:
            self.params(self.graph.nodes[name])  # notes what they leave unread
        trajectories = Trajectories(programs, self.chains(node, programs), self.ports(node), self.slots(programs))
        self.trajectories[node.name] = trajectories
        axes = trajectories.varying(node.axes)
        return Column(axes, trajectories.keys(axes, self.graph.lengths).reshape(self.graph.shape(axes)))

    def ports(self, node: GraphNode) -> dict[str, Column]:
        """The keys that arrive at a loop's ports, feedback aside."""
        ports = node.type.signature.ports
        wires = {p: ws for p, ws in sorted(node.wires.items()) if not ports[p].feedback}
        return {f"{p} {n}": self.wire(node, p, w) for p, ws in wires.items() for n, w in enumerate(ws)}

    def slots(self, programs: Programs) -> list[Column]:
        """The keys that arrive at a body from outside."""
        return [self.wire(self.graph.nodes[name], port, wire) for name, port, wire in programs.slots]

    def chains(self, node: GraphNode, programs: Programs) -> Column:
        """The program of each point, along the axes of the parameters of the loop and its body."""
        members = {name: self.graph.nodes[name].params for name in sorted(programs.members)}
        stretch, own = self.stretches[node.name], self.params(node)
        columns = [stretch, own, *(column for params in members.values() for column in params.values())]
        axes = tuple(a for a in node.axes if any(a in column.axes for column in columns))
        wide = {m: {n: c.over(axes, self.graph.lengths) for n, c in params.items()} for m, params in members.items()}
        stretches, texts = stretch.over(axes, self.graph.lengths), own.over(axes, self.graph.lengths)
        made = np.empty(len(texts), dtype=object)
        for point in range(len(texts)):
            values = {m: {n: column[point] for n, column in params.items()} for m, params in wide.items()}
            made[point] = programs.chain(values, texts[point], stretches[point])
        return Column(axes, made.reshape(self.graph.shape(axes)))

    def function(self, node: GraphNode) -> Column:
        """The keys of a function along the axes that its value depends on."""
        params = self.params(node)
        wired = {port: [self.wire(node, port, wire) for wire in wires] for port, wires in sorted(node.wires.items())}
        return self.combine(node, params, wired)

    def combine(self, node: GraphNode, params: Column, wired: dict[str, list[Column]]) -> Column:
        """The keys from parameter texts and the columns wired to each port."""
        every = [params, *(column for columns in wired.values() for column in columns)]
        axes = tuple(a for a in node.axes if any(a in column.axes for column in every))
        shape, lengths = self.graph.shape(axes), self.graph.lengths
        made = np.empty(shape, dtype=DTYPE)
        head = keys.node_head(node.type.name, node.type.version, self.numerics)
        codes = Column(params.axes, numbers(params.values.shape)).over(axes, lengths)
        for unread, points in self.by_unused(node, axes):
            ports = [
                (
                    port,
                    [
                        spread(c.values, c.axes, axes, lengths).ravel()[points]
                        for n, c in enumerate(columns)
                        if element(port, n, unread)
                    ],
                )
                for port, columns in wired.items()
                if port not in unread
            ]
            if node.type.passes and len(ports[0][1]) == 1:
                made.reshape(-1)[points] = ports[0][1][0]
                continue
            texts = key_columns.Texts(params.values.ravel().tolist(), codes[points])
            made.reshape(-1)[points] = key_columns.item_keys(head, texts, ports, len(texts.codes))
        return Column(axes, made)

    def by_unused(self, node: GraphNode, axes: tuple[str, ...]) -> list[tuple[frozenset[str], Any]]:
        """The points of some axes by the ports, and elements of ports, that they leave unread."""
        if node.name not in self.unused:
            return [(NOTHING, slice(None))]
        column = self.unused[node.name]
        every = sorted(set(column.values.flat), key=sorted)
        number = column.map(every.index).over(axes, self.graph.lengths).astype(np.int64)
        return [(left, np.flatnonzero(number == n)) for n, left in enumerate(every)]

    def params(self, node: GraphNode) -> Column:
        """Canonical texts of a node's parameters along their axes; what they leave unread is noted."""
        told = {name: c for name, c in node.params.items() if name not in node.type.cuts}
        axes = tuple(a for a in node.axes if any(a in c.axes for c in told.values()))
        shape, lengths = self.graph.shape(axes), self.graph.lengths
        if node.type.unused is not None or node.type.passes:
            wide = {name: c.over(axes, lengths) for name, c in told.items()}
            left = np.empty(int(np.prod(shape)), dtype=object)
            for n in range(left.size):
                left[n] = node.type.unread({name: column[n] for name, column in wide.items()}, node.wires)
            if any(left):
                self.unused[node.name] = Column(axes, left.reshape(shape))
        texts = {name: self.texts(node, name, c) for name, c in told.items()}
        rows = zip(*(c.over(axes, lengths).tolist() for c in texts.values()), strict=True)
        made = np.empty(int(np.prod(shape)), dtype=object)
        made[:] = [keys.canonical_mapping(texts, row) for row in rows] or keys.canonical({})
        return Column(axes, made.reshape(shape))

    def texts(self, node: GraphNode, param: str, values: Column) -> Column:
        """A parameter's values as keys hold them, None where they don't."""
        return values.map(lambda v: None if node.type.silent(param, v) else keys.canonical(self.content(v)))

    def content(self, value: Any) -> Any:
        """A parameter's value, files and folders by what is in them."""
        if isinstance(value, list | tuple):
            return [self.content(entry) for entry in value]
        if isinstance(value, dict):
            return {name: self.content(entry) for name, entry in value.items()}
        if not isinstance(value, Source):
            return value
        if (path := str(value.path)) not in self.files:
            self.files[path] = content(value.path, self.file_digest)
        return self.files[path]

    def wire(self, node: GraphNode, port: str, wire: Wire) -> Column:
        """The keys that arrive at a port."""
        if wire.node in self.graph.references:
            column = self.graph.references[wire.node]
            digests = column.map(lambda model: self.model(node, port, model))
            return Column(digests.axes, digests.values.astype(DTYPE))
        source = self.graph.nodes[wire.node]
        signature = source.type.signature
        column = self.columns[wire.node]
        if wire.output == next(iter(signature.outputs)):
            return column
        made = key_columns.digests("output", [column.values.ravel(), wire.output], column.values.size)
        return Column(column.axes, made.reshape(column.values.shape))

    def model(self, node: GraphNode, port: str, model: Model) -> str:
        """The digest of the parts of a model that a port uses. Raises UserError where one lacks its content."""
        parts = used_parts(self.graph, node, port, model)
        identity = (id(model), tuple(part.name for part in parts))
        if identity not in self.models:
            try:
                self.models[identity] = keys.model_digest([self.part(part) for part in parts])
            except UserError as error:
                raise blamed(error, node, self.graph.document) from None
        return self.models[identity]

    def part(self, part: Part) -> str:
        """A part's digest; to the bit, results also depend on the version of the library that runs it."""
        found = self.parts[part] = part.digest(self.file_digest)
        if not self.strict:
            return found
        libraries = dict.fromkeys(name for each in part.whole() for name in loader_of(each).libraries)
        device = [f"on {part.device}"] if part.device else []
        return " ".join([found, *(f"{name} {version(name)}" for name in libraries), *device])

    def reduction(self, node: GraphNode) -> Column:
        """The keys of a reduction: of the multiset of what it pools."""
        lengths, ports = self.graph.lengths, node.type.signature.ports
        wired: dict[str, list[Column]] = {}
        for port, wires in sorted(node.wires.items()):
            columns = [self.wire(node, port, wire) for wire in wires]
            wired[port] = [self.pool(node, c, lengths) for c in columns] if ports[port].stream else columns
        params = self.params(node)
        if node.entry.missing:
            params = params.map(lambda text: f"{text} missing: {node.entry.missing}")
        return self.widened(node, self.combine(node, params, wired))

    def widened(self, node: GraphNode, column: Column) -> Column:
        """A column along all axes of its node."""
        wide = spread(column.values, column.axes, node.axes, self.graph.lengths)
        return Column(node.axes, wide.copy())

    def pool(self, node: GraphNode, column: Column, lengths: dict[str, int]) -> Column:
        """A stream's keys pooled over the node's ``over``."""
        kept = tuple(a for a in column.axes if a not in node.entry.over)
        rows = pooled_rows(column, node.entry.over)
        made = np.array([key_columns.pooled(row) for row in rows], dtype=DTYPE)
        return Column(kept, made.reshape([lengths[a] for a in kept]))


def pooled_rows(column: Column, over: tuple[str, ...]) -> NDArray[Any]:
    """A column as a table: one row for each point that stays, its pooled points in order."""
    kept = [n for n, axis in enumerate(column.axes) if axis not in over]
    gone = [n for n, axis in enumerate(column.axes) if axis in over]
    count = int(np.prod([column.values.shape[n] for n in kept]))
    return column.values.transpose(kept + gone).reshape(count, -1)


__all__ = ["Keying", "as_text", "pooled_rows"]
