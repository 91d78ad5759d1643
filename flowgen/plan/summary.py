"""What a plan says of each node: axes, counts, the reason of its state, work and bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check
from flowgen.graph.model import Graph, GraphNode
from flowgen.graph.trajectory import shown_loop
from flowgen.plan.cuts import Cut
from flowgen.plan.rows import Rows


@dataclass(slots=True)
class NodePlan:
    """What the plan says of a node outside loop bodies; of those within, ``Plan.bodies`` has the rows."""

    name: str
    type: str
    axes: tuple[str, ...]
    points: int
    items: int
    """distinct results"""
    stored: bool
    known: int = 0
    """items in the store"""
    compute: int = 0
    """items to compute"""
    whole: bool = False
    """whether each item is in the store or will be; else nothing needs some of those that are missing"""
    reason: str = ""
    batch: int = 0
    parcels: int = 0
    rows: Rows | None = None
    """rows of model calls for the items to compute; None for a node without a model, or in an inner loop"""
    flops: int = 0
    """work of the items to compute, the nodes of a loop's body included"""
    bytes: int = 0
    """size of the items to compute"""
    steps: int = 0
    """a loop's steps of all items to compute, shared ones once; the number of items for other nodes"""
    seconds: float | None = None
    """expected from earlier runs; None if they don't tell"""


def summary(graph: Graph, node: GraphNode, items: int, stored: bool) -> NodePlan:
    """Axes and counts of a node."""
    points = int(np.prod(graph.shape(node.axes)))
    reason = "" if stored else "cheap: computed where it is needed"
    return NodePlan(node.name, node.type.name, node.axes, points, items, stored, reason=reason)


def describe(
    about: NodePlan, checked: Check, node: GraphNode, wanted: NDArray[np.bool_], cut: list[Cut], bodies: dict[str, Rows]
) -> None:
    """Counts and the reason of a stage."""
    about.compute = sum(len(part) for part in cut)
    about.parcels = len(cut)
    about.batch = max((part.batch for part in cut), default=0)
    if about.compute:
        about.reason = "not computed yet"
    elif loop := shown_loop(node):
        about.reason = f"'{loop}' stores these states on its way"
    elif about.known == about.items:
        about.reason = "in the store"
    else:
        about.reason = (
            "not needed: what follows is in the store" if not wanted.any() else "in the store as far as needed"
        )
    outcome = checked.outcomes[node.name][0]
    about.bytes = about.compute * outcome.bytes
    about.steps = sum(part.steps for part in cut)
    about.flops = flops(checked, node, about.steps, bodies)
    if node.type.uses_model and node.type.kind == "function":
        about.rows = Rows(about.compute, about.compute)


def flops(checked: Check, node: GraphNode, steps: int, bodies: dict[str, Rows]) -> int:
    """Work of a stage: each node of a body for the rows that it has, everything else for each step of each item."""
    total = checked.outcomes[node.name][0].flops * steps
    for name in checked.graph.bodies.get(node.name, ()):
        if name in bodies:
            total += checked.outcomes[name][0].flops * (bodies[name].planned - steps)
    return total
