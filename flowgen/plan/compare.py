"""An item beside the nearest one that an earlier run computed: what differs, down to where it began."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.columns import constant, spread
from flowgen.graph.model import GraphNode, Wire
from flowgen.node.registry import element
from flowgen.plan import recipes
from flowgen.plan.sides import ALONE, Earlier, Mine, Point, at, firsts
from flowgen.plan.wording import gap, short, shown


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs."""

    kind: str
    """parameter, weights, version, numerics, wiring, points or parent"""
    node: str
    what: str = ""
    """the parameter, the port or the axis"""
    old: str = ""
    new: str = ""
    because: tuple[Change, ...] = field(default=())
    """for a parent: what has changed of it"""


class Comparison:
    """A plan beside an earlier run's recipe."""

    def __init__(self, mine: Mine, recipe: dict[str, Any]) -> None:
        self.mine = mine
        self.plan = mine.plan
        self.graph = mine.plan.graph
        self.recipe = recipe
        self.lengths = {name: len(labels) for name, labels in recipe["axes"].items()}
        self.earlier = Earlier(recipe, self.lengths)

    def nearest(self, node: GraphNode, point: Point, below: float = math.inf) -> tuple[int, str, Point] | None:
        """How many things differ, the earlier node and its point that differ least; the same labels decide a tie.

        below: None if nowhere fewer differ.
        """
        found = []
        for name, other in self.recipe["nodes"].items():
            if other["type"] != node.type.name:
                continue
            count = self.distance(node, name, point, {}, below)
            if count.min() >= below:
                continue
            score = count * 1000
            for axis in other["axes"]:
                score = score + self.apart(axis, point, other["axes"])
            best = int(score.argmin())
            index = np.unravel_index(best, count.shape) if count.shape else ()
            where: Point = {axis: int(n) for axis, n in zip(other["axes"], index, strict=True)}
            found.append((int(score.flat[best]), name != node.name, int(count.flat[best]), name, where))
        if not found:
            return None
        _, _, least, name, where = min(found, key=lambda entry: entry[:2])
        return least, name, where

    def apart(self, axis: str, point: Point, axes: list[str]) -> NDArray[Any]:
        """How far a label on an axis is from the item's, over the earlier node's axes: 0, or 10 to 20."""
        labels = self.recipe["axes"][axis]
        mine = self.mine.labels(axis)[point[axis]] if axis in point else None
        return spread(np.array([gap(label, mine) for label in labels]), [axis], axes, self.lengths)

    def distance(
        self, node: GraphNode, name: str, point: Point, seen: dict[tuple[str, str], NDArray[Any]], below: float
    ) -> NDArray[Any]:
        """How many things differ between an item and every point of an earlier node, parents included.

        Where that is ``below`` or more everywhere, it may be less than all.
        """
        if (node.name, name) in seen:
            return seen[node.name, name]
        other = self.recipe["nodes"][name]
        shape = tuple(self.lengths[axis] for axis in other["axes"])
        seen[node.name, name] = np.zeros(shape, dtype=np.int64)  # a loop comes back to itself
        if other["type"] != node.type.name:
            return np.full(shape, 1 + len(node.params) + len(node.wires))  # nothing of it is alike
        count = np.zeros(shape, dtype=np.int64)
        for apart in self.distances(node, other, point, seen, below):
            count += apart
            if count.min() >= below:
                break
        seen[node.name, name] = count
        return count

    def distances(self, node: GraphNode, other: Any, point: Point, seen: Any, below: float) -> Iterator[Any]:
        """How many things differ by what an item is made of: at all points, or at every point of an earlier node."""
        axes = other["axes"]
        yield (other["version"] != node.type.version) + (self.recipe["numerics"] != self.mine.numerics)
        yield len(self.pooled(node, other))
        for _, mine, earlier in self.params(node, other, point):
            yield self.wide([value != mine for value in earlier["values"]], earlier["axes"], axes)
        for port, mine_wires, wires in self.ports(node, other, point):
            yield abs(len(mine_wires) - len(wires))
            for wire, earlier in zip(mine_wires, wires, strict=False):
                points = self.pooled_points(node, point)
                each = [
                    self.wire_distance(node, port, wire, earlier, at_, axes, dict(seen) if points[1:] else seen, below)
                    for at_ in points
                ]
                yield reduce(np.maximum, each)

    def wire_distance(
        self, node: GraphNode, port: str, wire: Wire, earlier: Any, point: Point, axes: Any, seen: Any, below: float
    ) -> NDArray[Any]:
        """How much of what arrives at a port differs."""
        is_model = wire.node in self.graph.references
        if is_model != ("models" in earlier):
            return np.ones((), dtype=np.int64)
        if is_model:
            weights, held = self.mine.weights(node, port, wire, point), earlier["models"]
            return self.wide([value != weights for value in held["values"]], held["axes"], axes)
        listed = self.earlier.ways(earlier)
        mine = self.mine.passed(wire, point)
        if listed is None and mine is None:
            parent = self.graph.nodes[wire.node]
            found = self.distance(parent, earlier["node"], self.projected(wire.node, point), seen, below)
            found = found + len(self.output(node, port, wire, earlier))
            return self.kept(found, self.recipe["nodes"][earlier["node"]]["axes"], axes, point)
        pattern, wires = mine or (ALONE, [wire])
        have = axes if listed is None else self.recipe["nodes"][earlier["node"]]["axes"]
        whole = np.zeros([self.lengths[axis] for axis in have], dtype=np.int64)
        for where, other, others in listed or [(constant(True), ALONE, [earlier])]:
            count = np.full(whole.shape, int(pattern != other))
            for one, another in zip(wires, others, strict=False):
                count = count + self.wire_distance(node, port, one, another, point, have, seen, below)
            there = where.over(have, self.lengths).reshape(whole.shape).astype(bool)
            whole = np.where(there, count, whole)
        return whole if listed is None else self.kept(whole, have, axes, point)

    def kept(self, found: NDArray[Any], have: list[str], axes: list[str], point: Point) -> NDArray[Any]:
        """What differs along an earlier node's axes, along those of one that reads it: of what that pools, the same
        point as the item's.
        """
        index = tuple(slice(None) if axis in axes else self.same(axis, point) for axis in have)
        return spread(np.asarray(found[index]), [a for a in have if a in axes], axes, self.lengths)

    def same(self, axis: str, point: Point) -> int:
        """The item's place on an axis that has the same points as in the earlier run, else the first."""
        return point[axis] if axis in point and self.mine.labels(axis) == self.recipe["axes"].get(axis) else 0

    def pooled_points(self, node: GraphNode, point: Point) -> list[Point]:
        """An item's point, with each place of the axes that it pools at which selects choose otherwise."""
        columns = [*self.mine.indices(), *self.earlier.indices.values()]
        axes = [axis for axis in node.entry.over if self.mine.labels(axis) == self.recipe["axes"].get(axis)]
        places = [firsts(columns, axis, self.lengths[axis]) for axis in axes]
        return [{**point, **dict(zip(axes, each, strict=True))} for each in product(*places)]

    def wide(self, values: list[bool], have: list[str], axes: list[str]) -> NDArray[Any]:
        """A column of an earlier run over more of its axes (at the first point of those that are pooled)."""
        held = np.array(values, dtype=np.int64).reshape([self.lengths[axis] for axis in have])
        return spread(held, have, axes, self.lengths)

    def changes(
        self, node: GraphNode, name: str, point: Point, where: Point, seen: frozenset[str] = frozenset()
    ) -> list[Change]:
        """What differs between an item and one point of an earlier node; the parts of a loop's body are its own."""
        other = self.recipe["nodes"][name]
        if node.name in seen:
            return []
        if other["type"] != node.type.name:
            return [Change("wiring", node.name, "type", other["type"], node.type.name)]
        seen |= {node.name}
        found = []
        if other["version"] != node.type.version:
            found.append(Change("version", node.name, node.type.name, str(other["version"]), str(node.type.version)))
        for name_ in {**self.recipe["numerics"], **self.mine.numerics}:
            old, new = (numerics.get(name_, "") for numerics in (self.recipe["numerics"], self.mine.numerics))
            if old != new:
                found.append(Change("numerics", node.name, name_, str(old), str(new)))
        for param, mine, column in self.params(node, other, point):
            if mine != (earlier := self.at(column, where)):
                found.append(Change("parameter", node.name, param, shown(earlier), shown(mine)))
        found += self.pooled(node, other)
        for port, mine_wires, wires in self.ports(node, other, point):
            if len(mine_wires) != len(wires):
                found.append(Change("wiring", node.name, port, f"{len(wires)} nodes", f"{len(mine_wires)} nodes"))
            for wire, earlier in zip(mine_wires, wires, strict=False):
                for each in self.pooled_points(node, point):
                    found += self.wire_changes(node, port, wire, earlier, each, where, seen)
        return list(dict.fromkeys(found))

    def wire_changes(
        self, node: GraphNode, port: str, wire: Wire, earlier: Any, point: Point, where: Point, seen: frozenset[str]
    ) -> list[Change]:
        """What differs of what arrives at a port."""
        is_model = wire.node in self.graph.references
        if is_model != ("models" in earlier):
            return [Change("wiring", node.name, port)]
        if is_model:
            new, old = self.mine.weights(node, port, wire, point), self.at(earlier["models"], where)
            parts = [part for part in {**old, **new} if old.get(part) != new.get(part)]
            return [Change("weights", node.name, f"{part} of {wire.node}", *short(old, new, part)) for part in parts]
        axes = self.recipe["nodes"][earlier["node"]]["axes"]
        there = {axis: where[axis] if axis in where else self.same(axis, point) for axis in axes}
        listed, mine = self.earlier.passed(earlier, there), self.mine.passed(wire, point)
        if listed or mine:
            (pattern, wires), (other, others) = mine or (ALONE, [wire]), listed or (ALONE, [earlier])
            index = Change("parameter", wire.node, "index", shown(other), shown(pattern))
            turned = [index] if pattern != other else []
            pairs = zip(wires, others, strict=False)
            return turned + [c for a, b in pairs for c in self.wire_changes(node, port, a, b, point, where, seen)]
        parent = self.graph.nodes[wire.node]
        found = self.changes(parent, earlier["node"], self.projected(wire.node, point), there, seen)
        within = parent.body_of is not None and (parent.body_of == node.name or parent.body_of == node.body_of)
        if found and not within:
            found = [Change("parent", parent.name, because=tuple(found))]
        return found + self.output(node, port, wire, earlier)

    def output(self, node: GraphNode, port: str, wire: Wire, earlier: Any) -> list[Change]:
        """Whether another output of a node arrives at a port."""
        alike = self.graph.nodes[wire.node].type.name == self.recipe["nodes"][earlier["node"]]["type"]
        if not alike or earlier["output"] == wire.output:
            return []
        old, new = f"${earlier['node']}.{earlier['output']}", f"${wire.node}.{wire.output}"
        return [Change("wiring", node.name, port, old, new)]

    def params(self, node: GraphNode, other: Any, point: Point) -> Iterator[tuple[str, str | None, Any]]:
        """What an item's key holds beside what it is wired to, by name, and the earlier columns of it."""
        held = self.mine.parameters(node)
        for name in {**held, **other["params"]}:
            if name in other["params"] or name in node.params or name not in recipes.ADDED:
                mine = at(held[name], point) if name in held else None
                yield name, mine, other["params"].get(name, {"axes": [], "values": [None]})

    def pooled(self, node: GraphNode, other: Any) -> list[Change]:
        """The axes along which a reduction pools other points."""
        found = []
        for axis in node.entry.over:
            new = self.mine.labels(axis)
            old = self.recipe["axes"].get(axis, [])
            if old != new:
                found.append(Change("points", node.name, axis, f"{len(old)} points", f"{len(new)} points"))
        if list(node.entry.over) != other["over"]:
            found.append(Change("points", node.name, "over", ", ".join(other["over"]), ", ".join(node.entry.over)))
        return found

    def ports(self, node: GraphNode, other: Any, point: Point) -> list[tuple[str, Any, Any]]:
        """The ports that an item reads, with its wires and the earlier ones."""
        unused = self.plan.keying.unused.get(node.name)
        unread = at(unused, point) if unused else frozenset()
        names = [port for port in {**node.wires, **other["ports"]} if port not in unread]
        return [
            (port, *(read(port, wires.get(port, ()), unread) for wires in (node.wires, other["ports"])))
            for port in names
            if port in node.type.signature.ports
        ]

    def projected(self, name: str, point: Point) -> Point:
        """A point on a parent's axes: the first along those that are pooled."""
        return {axis: point.get(axis, 0) for axis in self.graph.nodes[name].axes}

    def at(self, column: Any, where: Point) -> Any:
        """An earlier column's value at a point."""
        index = [where.get(axis, 0) for axis in column["axes"]]
        shape = [self.lengths[axis] for axis in column["axes"]]
        return column["values"][int(np.ravel_multi_index(index, shape)) if shape else 0]


def read(port: str, wires: Sequence[Any], unread: frozenset[str]) -> list[Any]:
    """The elements of a port that are read."""
    return [wire for n, wire in enumerate(wires) if element(port, n, unread)]
