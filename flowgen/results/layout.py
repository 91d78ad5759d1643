"""Where the boxes of a graph go: each loop is a frame around its nodes, laid out by itself, frames within frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from flowgen.results.layers import Item, Level, Wire

SIDE, TOP, BOTTOM, LANE = 26.0, 30.0, 14.0, 10.0
"""a frame's margins in pixels, and what each feedback wire adds below"""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.y + self.height


@dataclass
class Layout:
    """A graph laid out."""

    boxes: dict[str, Box] = field(default_factory=dict)
    frames: dict[str, Box] = field(default_factory=dict)
    """by loop node, outer ones first"""
    routes: dict[Wire, list[tuple[float, float]]] = field(default_factory=dict)
    """points between a wire's ends"""
    gutters: dict[str, float] = field(default_factory=dict)
    """x at the right of each node's column, where a wire may run up and down"""
    width: float = 0.0
    height: float = 0.0


class Arrangement:
    """The levels of a graph whose nodes say in ``loop`` whose body they are in."""

    def __init__(self, graph: nx.DiGraph[str], sizes: Mapping[str, tuple[float, float]]) -> None:
        self.graph, self.sizes = graph, sizes
        self.inside = {name: groups(graph, name) for name in sizes}
        self.wires = [w for w in graph.edges if w[0] in sizes and w[1] in sizes and not graph.edges[w].get("feedback")]
        self.feedback: dict[str, list[str]] = {}
        for source, target in graph.edges:
            if graph.edges[source, target].get("feedback"):
                self.feedback.setdefault(target, []).append(source)
        self.levels: dict[str | None, Level] = {}

    def layout(self) -> Layout:
        """Lay everything out."""
        found = Layout()
        found.width, found.height = self.arrange(None)
        self.collect(None, 0.0, 0.0, found)
        for wire in self.wires:
            found.routes[wire] = found.routes.get(wire, [])
        return found

    def arrange(self, group: str | None) -> tuple[float, float]:
        """The level of a group, inner ones first; the size of what it holds, margins included."""
        sizes: dict[Item, tuple[float, float]] = {}
        for name, path in self.inside.items():
            if group in path:
                item = self.item(name, group)
                if item not in sizes:
                    sizes[item] = self.arrange(item) if self.is_frame(item, group) else self.sizes[name]
        level = Level(sizes, self.between(group), lambda item, wire: self.meets(group, item, wire))
        self.levels[group] = level
        width, height = level.arrange() if sizes else (0.0, 0.0)
        if group is None:
            return width, height
        return width + 2 * SIDE, height + TOP + BOTTOM + LANE * len(self.feedback.get(group, ()))

    def between(self, group: str | None) -> dict[Wire, tuple[Item | None, Item | None]]:
        """The wires of a level: what they join there, None for outside."""
        found: dict[Wire, tuple[Item | None, Item | None]] = {}
        for source, target in self.wires:
            a = self.item(source, group) if group in self.inside[source] else None
            b = self.item(target, group) if group in self.inside[target] else None
            if a != b:
                found[source, target] = (a, b)
        return found

    def item(self, name: str, group: str | None) -> str:
        """What stands for a node in a group: itself, or the frame that it is in."""
        path = self.inside[name]
        at = path.index(group)
        inner = path[at + 1] if at + 1 < len(path) else name
        assert inner is not None
        return inner

    def is_frame(self, item: Item, group: str | None) -> bool:
        """True where an item of a group is a frame and not a box."""
        return item != group and any(item in path for path in self.inside.values())

    def meets(self, group: str | None, item: Item, wire: Wire) -> float:
        """How far below an item's top a wire meets it: halfway down a box, where it goes in a frame."""
        assert isinstance(item, str)
        if not self.is_frame(item, group):
            return self.levels[group].sizes[item][1] / 2
        level = self.levels[item]
        a, b = level.wires.get(wire, (None, None))
        if points := level.through(wire):
            return TOP + points[0 if b is not None else -1][1]
        inner = b if b is not None else a
        return TOP + level.at[inner][1] + self.meets(item, inner, wire) if inner is not None else TOP

    def collect(self, group: str | None, x: float, y: float, found: Layout) -> None:
        """Absolute places of a group's boxes, frames and wires, the group's content at ``x``, ``y``."""
        level = self.levels[group]
        for wire in level.wires:
            points = [(x + px, y + py) for px, py in level.through(wire)]
            known = found.routes.setdefault(wire, [])
            # outer levels come first: what goes in adds behind, what comes out adds before
            found.routes[wire] = known + points if group in self.inside[wire[1]] else points + known
        for n, layer in enumerate(level.layers):
            for item in layer:
                if not isinstance(item, str):
                    continue
                box = Box(x + level.at[item][0], y + level.at[item][1], *level.sizes[item])
                if self.is_frame(item, group):
                    found.frames[item] = box
                    self.collect(item, box.x + SIDE, box.y + TOP, found)
                else:
                    found.boxes[item] = box
                    found.gutters[item] = x + level.columns[n][1]


def groups(graph: nx.DiGraph[str], name: str) -> tuple[str | None, ...]:
    """The loops that a node is drawn in, outermost first; None, the whole, before all. A loop node is in its own."""
    heads = {attributes.get("loop") for _, attributes in graph.nodes.data()}
    path: list[str | None] = [name] if name in heads else []
    attributes: Mapping[str, Any] = graph.nodes[name]
    while (outer := attributes.get("loop")) is not None and outer in graph and outer not in path:
        path.insert(0, outer)
        attributes = graph.nodes[outer]
    return None, *path
