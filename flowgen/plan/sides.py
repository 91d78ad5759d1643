"""The sides of a comparison: what a plan's items are made of, and what a recipe says that a run's were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowgen.graph.columns import Column
from flowgen.graph.model import GraphNode, Wire
from flowgen.plan import recipes
from flowgen.plan.plan import Plan
from flowgen.store import keys

Point = Mapping[str, int]
"""an item's place on each axis"""


class Mine:
    """What a plan's items are made of, as recipes say it; made once for all comparisons of the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.numerics: dict[str, Any] = json.loads(plan.numerics.text())
        self.params: dict[str, dict[str, Column]] = {}
        self.models: dict[tuple[str, str, str], Column] = {}
        self.axes: dict[str, list[str]] = {}

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


def at(column: Column, point: Point) -> Any:
    """A column's value at a point."""
    return column.values[tuple(point[axis] for axis in column.axes)]
