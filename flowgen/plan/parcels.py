"""Parcels: what travels to the tasks that compute a stage's cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check
from flowgen.graph.columns import Column, numbers
from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.selects import sources
from flowgen.plan.contents import files_in
from flowgen.plan.cuts import Cut
from flowgen.plan.keying import Keying, pooled_rows
from flowgen.plan.program import Parcel, Program
from flowgen.plan.trajectories import texts

Mask = NDArray[np.bool_]


class Cutter:
    """Makes parcels of one stage from rows of its points."""

    def __init__(
        self,
        checked: Check,
        code: Program,
        node: GraphNode,
        keys: dict[str, Column],
        keying: Keying,
        needs: dict[str, Mask],
    ) -> None:
        self.checked = checked
        self.graph: Graph = checked.graph
        self.code = code
        self.node = node
        self.keys = keys
        self.unused = keying.unused
        self.files = keying.files
        self.needs = needs

    def parcel(self, cut: Cut) -> Parcel:
        """What travels to the task that computes a cut."""
        rows = cut.rows
        statics, per_item = self.params(rows)
        return Parcel(
            stage=self.node.name,
            number=cut.number,
            keys=texts(self.keys[self.node.name].values.reshape(-1)[rows]),
            statics=statics,
            per_item=per_item,
            inputs={name: self.parent_keys(name, rows) for name in self.code.reads if not self.is_pooled(name)},
            shared={
                name: texts(self.wide(self.keys[name], rows))
                for name, step in self.code.steps.items()
                if step.body_of is None and name != self.node.name
            },
            unused={n: list(self.wide(self.unused[n], rows)) for n in self.code.steps if n in self.unused},
            pooled=self.pooled(rows),
            steps=cut.steps,
            batch=cut.batch,
            share=[] if cut.share is None else cut.share.tolist(),
            saves=cut.states.saves if cut.states else [],
            resume=cut.states.resume if cut.states else [],
            files=self.read((statics, per_item)),
        )

    def makers(self, name: str, rows: NDArray[np.int64], maker: NDArray[np.int64]) -> NDArray[np.int64]:
        """The parcels of a stored node that make what some rows read of it; ``maker`` holds them by point, -1 for none.

        In ascending order, each once.
        """
        axes = self.graph.nodes[name].axes
        if self.is_pooled(name):
            lines = pooled_rows(Column(axes, maker), self.node.entry.over)
            found = lines[self.pooled_lines(Column(axes, maker), rows)].ravel()
        else:
            found = self.wide(Column(axes, maker), rows)[self.wide(Column(axes, self.needs[name]), rows)]
        made: NDArray[np.int64] = np.unique(found)
        return made[made >= 0]

    def wide(self, column: Column, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A column's values at some of the stage's points (at the first along axes that the stage pools)."""
        kept = tuple(a for a in column.axes if a in self.node.axes)
        held = column.values[(*(slice(None) if a in kept else 0 for a in column.axes), ...)]
        shape = self.graph.shape(self.node.axes)
        index = np.unravel_index(rows, shape) if shape else ()
        where = dict(zip(self.node.axes, index, strict=True))
        if not kept:
            return np.broadcast_to(held, len(rows))
        found: NDArray[Any] = held[tuple(where[a] for a in kept)]
        return found

    def params(self, rows: NDArray[np.int64]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, list[Any]]]]:
        """What all rows share of every node's arguments, and what each has of its own."""
        statics: dict[str, dict[str, Any]] = {}
        per_item: dict[str, dict[str, list[Any]]] = {}
        for name, step in self.code.steps.items():
            node, declared = self.graph.nodes[name], step.type.signature.params
            cheap = step.body_of is None and name != self.node.name
            statics[name], per_item[name] = {}, {}
            for param, column in node.params.items():
                if declared[param].per_item or (cheap and self.differs(column, rows)):
                    per_item[name][param] = list(self.wide(column, rows))
                else:
                    statics[name][param] = self.wide(column, rows[:1])[0]
            for port, wires in step.wires.items():
                columns = [self.graph.references[wire.node] for wire in wires if self.is_model(wire.node)]
                if not columns:
                    continue
                differ = cheap and any(self.differs(column, rows) for column in columns)
                found = zip(*(self.wide(column, rows if differ else rows[:1]) for column in columns), strict=True)
                each = [list(models) if step.type.signature.ports[port].many else models[0] for models in found]
                if differ:
                    per_item[name][port] = each
                else:
                    statics[name][port] = each[0]
        return statics, per_item

    def read(self, arguments: Any) -> dict[str, str]:
        """The digests of the files and folders in nodes' arguments, by path."""
        paths = [str(source.path) for source in files_in(arguments)] if self.files else []
        return {path: self.files[path] for path in paths if path in self.files}

    def differs(self, column: Column, rows: NDArray[np.int64]) -> bool:
        """Whether some rows have several values of a column."""
        return column.values.size > 1 and len(set(map(repr, self.wide(column, rows)))) > 1

    def is_model(self, name: str) -> bool:
        """Whether a node's value is known when planning."""
        return name in self.graph.references

    def is_pooled(self, name: str) -> bool:
        """Whether a node feeds the stage's stream."""
        ports = self.node.type.signature.ports
        streams = [w for p, ws in self.node.wires.items() if ports[p].stream for w in ws]
        return any(source.node == name for wire in streams for source in sources(self.graph, wire))

    def parent_keys(self, name: str, rows: NDArray[np.int64]) -> list[str | None]:
        """The key of each row's parent; None where no row's computation reads it."""
        axes = self.graph.nodes[name].axes
        needed = Column(axes, self.needs[name])
        found = self.wide(self.keys[name], rows)
        return [key if need else None for key, need in zip(texts(found), self.wide(needed, rows), strict=True)]

    def pooled(self, rows: NDArray[np.int64]) -> list[list[str]]:
        """For a reduction, the keys that each row pools."""
        for port, wires in self.node.wires.items():
            if self.node.type.signature.ports[port].stream:
                column = self.keys[wires[0].node]
                table = pooled_rows(column, self.node.entry.over)
                return [texts(table[line]) for line in self.pooled_lines(column, rows)]
        return []

    def pooled_lines(self, column: Column, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The line of ``pooled_rows`` that each row pools."""
        kept = tuple(a for a in column.axes if a not in self.node.entry.over)
        lines = Column(kept, numbers([self.graph.lengths[a] for a in kept]))
        return lines.at(self.node.axes, self.graph.lengths, rows)
