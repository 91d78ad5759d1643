"""One level of a layered drawing: items in layers from left to right, few crossings, neighbours at like heights."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

ACROSS, DOWN, WIRE = 46.0, 16.0, 12.0
"""pixels between layers, between items, and that a wire which passes through a layer takes"""
SWEEPS = 12

Item = Hashable
Wire = tuple[str, str]
"""source and target node of an edge of the whole graph"""
Anchor = Callable[[Item, Wire], float]
"""how far below an item's top a wire meets it"""


@dataclass(frozen=True)
class Pass:
    """The place of a wire in a layer that it only passes through."""

    wire: Wire
    layer: int


@dataclass
class Level:
    """Items with sizes, and wires between them; None at an end is outside, left or right."""

    sizes: Mapping[Item, tuple[float, float]]
    wires: Mapping[Wire, tuple[Item | None, Item | None]]
    anchor: Anchor
    layers: list[list[Item]] = field(default_factory=list)
    at: dict[Item, tuple[float, float]] = field(default_factory=dict)
    """left and top of each item"""
    columns: list[tuple[float, float]] = field(default_factory=list)
    """left and right of each layer"""
    links: list[tuple[Item, Item, Wire]] = field(default_factory=list)
    """wires cut into steps from layer to layer"""

    def arrange(self) -> tuple[float, float]:
        """Fill in everything; the level's width and height."""
        self.assign_layers()
        self.reduce_crossings()
        x = 0.0
        for layer in self.layers:
            wide = max((self.width(item) for item in layer), default=0.0)
            self.columns.append((x, x + wide))
            self.at |= {item: (x + (wide - self.width(item)) / 2, 0.0) for item in layer}
            x += wide + ACROSS
        self.settle()
        top = min((y for _, y in self.at.values()), default=0.0)
        self.at = {item: (x, y - top) for item, (x, y) in self.at.items()}
        return max(0.0, x - ACROSS), max((y + self.height(item) for item, (_, y) in self.at.items()), default=0.0)

    def through(self, wire: Wire) -> list[tuple[float, float]]:
        """The points by which a wire passes, left to right."""
        found = []
        for n, (left, right) in enumerate(self.columns):
            if Pass(wire, n) in self.at:
                y = self.at[Pass(wire, n)][1] + WIRE / 2
                found += [(left, y), (right, y)]
        return found

    def assign_layers(self) -> None:
        """Longest paths from the left; what nothing leads to moves right, to what it leads to."""
        order: nx.DiGraph[Item] = nx.DiGraph()
        order.add_nodes_from(self.sizes)
        for a, b in self.wires.values():
            if a is not None and b is not None and not (b in order and nx.has_path(order, b, a)):
                order.add_edge(a, b)
        layer: dict[Item, int] = {}
        sequence = list(nx.topological_sort(order))
        for item in sequence:
            layer[item] = max((layer[before] + 1 for before in order.predecessors(item)), default=0)
        entered = {b for a, b in self.wires.values() if a is None}
        for item in sequence:
            if not order.in_degree(item) and order.out_degree(item) and item not in entered:
                layer[item] = min(layer[after] for after in order.successors(item)) - 1
        self.layers = [[item for item in self.sizes if layer[item] == n] for n in range(max(layer.values()) + 1)]
        for wire, (a, b) in self.wires.items():
            first = layer[a] if a is not None else -1
            last = layer[b] if b is not None else len(self.layers)
            steps: list[Item] = [Pass(wire, n) for n in range(first + 1, last)]
            for n, step in enumerate(steps, first + 1):
                self.layers[n].append(step)
            stops = [*([a] if a is not None else []), *steps, *([b] if b is not None else [])]
            self.links += [(p, q, wire) for p, q in zip(stops, stops[1:], strict=False)]

    def reduce_crossings(self) -> None:
        """Barycentre sweeps to and fro; the order with the fewest crossings stays."""
        best, fewest = [list(layer) for layer in self.layers], self.crossings()
        for sweep in range(SWEEPS):
            forth = sweep % 2 == 0
            for n in range(len(self.layers)) if forth else reversed(range(len(self.layers))):
                place = self.places()
                near: dict[Item, list[float]] = {}
                for p, q, wire in self.links:
                    item, other = (q, p) if forth else (p, q)
                    near.setdefault(item, []).append(place[other] + self.share(other, wire))
                middle = {i: sum(near[i]) / len(near[i]) if i in near else place[i] + 0.5 for i in self.layers[n]}
                self.layers[n].sort(key=middle.__getitem__)
            if (now := self.crossings()) < fewest:
                best, fewest = [list(layer) for layer in self.layers], now
        self.layers = best

    def crossings(self) -> int:
        """How many pairs of wires cross between neighbouring layers."""
        place, layer_of = self.places(), {item: n for n, layer in enumerate(self.layers) for item in layer}
        ends: dict[int, list[tuple[float, float]]] = {}
        for p, q, wire in self.links:
            ends.setdefault(layer_of[p], []).append((place[p] + self.share(p, wire), place[q] + self.share(q, wire)))
        return sum(
            (a[0] - b[0]) * (a[1] - b[1]) < 0 for pairs in ends.values() for i, a in enumerate(pairs) for b in pairs[:i]
        )

    def places(self) -> dict[Item, int]:
        """Each item's place in its layer, from above."""
        return {item: k for layer in self.layers for k, item in enumerate(layer)}

    def share(self, item: Item, wire: Wire) -> float:
        """Where a wire meets an item, as a share of its height."""
        return self.meets(item, wire) / self.height(item)

    def settle(self) -> None:
        """Heights: every item as near to its neighbours as its layer's order allows."""
        for layer in self.layers:
            self.stack(layer, [0.0] * len(layer))
        for sweep in range(SWEEPS):
            for layer in self.layers if sweep % 2 == 0 else self.layers[::-1]:
                self.stack(layer, [self.wanted(item) for item in layer])

    def wanted(self, item: Item) -> float:
        """The top at which an item's wires would run straight."""
        tops = []
        for p, q, wire in self.links:
            if item in (p, q):
                other = q if item == p else p
                tops.append(self.at[other][1] + self.meets(other, wire) - self.meets(item, wire))
        return sum(tops) / len(tops) if tops else self.at[item][1]

    def stack(self, layer: Sequence[Item], tops: Sequence[float]) -> None:
        """Place a layer near these tops without overlap: midway between the solutions from above and from below."""
        heights = [self.height(item) for item in layer]
        gaps = [WIRE / 2 if isinstance(item, Pass) else DOWN for item in layer]
        down, up = list(tops), list(tops)
        for n in range(1, len(layer)):
            down[n] = max(down[n], down[n - 1] + heights[n - 1] + max(gaps[n - 1], gaps[n]))
        for n in reversed(range(len(layer) - 1)):
            up[n] = min(up[n], up[n + 1] - heights[n] - max(gaps[n], gaps[n + 1]))
        for n, item in enumerate(layer):
            self.at[item] = (self.at[item][0], (down[n] + up[n]) / 2)

    def meets(self, item: Item, wire: Wire) -> float:
        """How far below its top a wire meets an item."""
        return WIRE / 2 if isinstance(item, Pass) else self.anchor(item, wire)

    def width(self, item: Item) -> float:
        """Pixels across."""
        return 0.0 if isinstance(item, Pass) else self.sizes[item][0]

    def height(self, item: Item) -> float:
        """Pixels down."""
        return WIRE if isinstance(item, Pass) else self.sizes[item][1]
