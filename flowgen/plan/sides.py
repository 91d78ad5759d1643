"""The sides of a comparison: what a plan's items are made of, and what a recipe says that a run's were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from flowgen.graph.columns import Column
from flowgen.graph.model import GraphNode, Wire
from flowgen.node.registry import node_types
from flowgen.plan import recipes
from flowgen.plan.plan import Plan
from flowgen.store import keys

Point = Mapping[str, int]
"""an item's place on each axis"""
ALONE = "0"
"""how a value is chosen where there is no choice"""


class Mine:
    """What a plan's items are made of, as recipes say it; made once for all comparisons of the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.numerics: dict[str, Any] = json.loads(plan.numerics.text())
        self.params: dict[str, dict[str, Column]] = {}
        self.models: dict[tuple[str, str, str], Column] = {}
        self.axes: dict[str, list[str]] = {}
        self.chosen: list[Column] | None = None

    def labels(self, axis: str) -> list[str]:
        """The labels of an axis."""
        if axis not in self.axes:
            self.axes[axis] = [keys.canonical(label) for label in self.plan.graph.document.axes[axis].labels]
        return self.axes[axis]

    def parameters(self, node: GraphNode) -> dict[str, Column]:
        """A node's parameters and what else its keys hold, as they hold it."""
        if node.name not in self.params:
            self.params[node.name] = recipes.parameters(self.plan, node)
        return self.params[node.name]

    def weights(self, node: GraphNode, port: str, wire: Wire, point: Point) -> dict[str, str]:
        """The digests of the parts of a model that an item uses."""
        if (node.name, port, wire.node) not in self.models:
            self.models[node.name, port, wire.node] = recipes.weights(self.plan, node, port, wire)
        found: dict[str, str] = at(self.models[node.name, port, wire.node], point)
        return found

    def passed(self, wire: Wire, point: Point) -> tuple[str, list[Wire]] | None:
        """How a select chooses for an item, and what it chooses among; None for another node."""
        node = self.plan.graph.nodes[wire.node]
        if not node.type.passes:
            return None
        index = self.parameters(node)["index"]
        pattern, numbers = choice(index.values[tuple(point.get(axis, 0) for axis in index.axes)])
        ((_, wires),) = node.wires.items()
        return pattern, [wires[n] for n in numbers]

    def indices(self) -> list[Column]:
        """How the graph's selects choose."""
        if self.chosen is None:
            self.chosen = [self.parameters(n)["index"] for n in self.plan.graph.nodes.values() if passes(n.type.name)]
        return self.chosen


class Earlier:
    """What a recipe says of the selects of a run."""

    def __init__(self, recipe: Mapping[str, Any], lengths: Mapping[str, int]) -> None:
        self.nodes = recipe["nodes"]
        self.indices: dict[str, Column] = {}
        for name, node in self.nodes.items():
            if passes(node["type"]):
                held = node["params"]["index"]
                shape = [lengths[axis] for axis in held["axes"]]
                self.indices[name] = Column(tuple(held["axes"]), np.array(held["values"], dtype=object).reshape(shape))

    def ways(self, earlier: Mapping[str, Any]) -> list[tuple[Column, str, list[Any]]] | None:
        """Where a select chose in each way, how, and what it chose among; None for another node."""
        if (index := self.indices.get(earlier["node"])) is None:
            return None
        return [
            (Column(index.axes, index.values == text), *self.among(earlier["node"], text))
            for text in sorted(set(index.values.flat))
        ]

    def passed(self, earlier: Mapping[str, Any], where: Point) -> tuple[str, list[Any]] | None:
        """How a select chose at a point, and what it chose among; None for another node."""
        if (index := self.indices.get(earlier["node"])) is None:
            return None
        return self.among(earlier["node"], at(index, where))

    def among(self, name: str, text: str) -> tuple[str, list[Any]]:
        """How a select chose with an index, and what it chose among."""
        pattern, numbers = choice(text)
        ((_, wires),) = self.nodes[name]["ports"].items()
        return pattern, [wires[n] for n in numbers]


def choice(index: str) -> tuple[str, list[int]]:
    """What a canonical index says whatever is listed beside what it chooses: itself among the numbers that it takes at
    some step, and these.
    """
    value = json.loads(index)
    if not isinstance(value, dict):
        return ALONE, [value]
    numbers = sorted({piece[3] for piece in value["schedule"]} | {value["else"]})
    if len(numbers) == 1:
        return ALONE, numbers
    pieces = [[*piece[:3], numbers.index(piece[3])] for piece in value["schedule"]]
    return json.dumps({"schedule": pieces, "else": numbers.index(value["else"])}, sort_keys=True), numbers


def passes(type: str) -> bool:
    """Whether a node type passes one of several values on."""
    found = node_types().get(type)
    return found is not None and found.passes


def firsts(columns: Iterable[Column], axis: str, length: int) -> list[int]:
    """The first of the places on an axis that are alike in all columns."""
    along = [np.moveaxis(column.values, column.axes.index(axis), 0) for column in columns if axis in column.axes]
    found: dict[Any, int] = {}
    for place in range(length if along else 1):
        found.setdefault(
            tuple(tuple(values[place].flat) if values.ndim > 1 else values[place] for values in along), place
        )
    return list(found.values())


def at(column: Column, point: Point) -> Any:
    """A column's value at a point."""
    return column.values[tuple(point[axis] for axis in column.axes)]
