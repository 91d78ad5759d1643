"""A plan's recipe: all that its keys are made of, as columns by node, small enough to be kept for every run.

It holds no keys. Two items with equal recipes have equal keys, so a later plan can find the nearest earlier item and
name what differs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from flowgen.graph.columns import Column, constant
from flowgen.graph.model import GraphNode, Wire
from flowgen.graph.references import used_parts
from flowgen.graph.trajectory import AXIS, shown_loop
from flowgen.plan.plan import Plan
from flowgen.store import keys

VERSION = 1
"""raised when a recipe changes its form; others are not read"""
MISSING = "missing"
ADDED = frozenset({MISSING, AXIS})
"""beside a node's parameters; recipes of earlier versions lack them"""
FAILURES = 1000
"""failed items that are remembered, and as many that were made without them"""


def recipe(plan: Plan, run: str, when: str, failed: Mapping[str, str], renamed: Mapping[str, str]) -> dict[str, Any]:
    """What a run computed. ``failed`` are the items that have no result, by key: the cause. ``renamed`` are those that
    were made without failed ones: the key that they have, by the one that was planned.
    """
    graph = plan.graph
    return {
        "version": [VERSION, keys.FORMAT],
        "run": run,
        "when": when,
        "numerics": json.loads(plan.numerics.text()),
        "axes": {name: [keys.canonical(label) for label in axis.labels] for name, axis in graph.document.axes.items()},
        "nodes": {name: node_recipe(plan, node) for name, node in graph.nodes.items() if not node.is_reference},
        "failed": dict(islice(failed.items(), FAILURES)),
        "renamed": dict(islice(renamed.items(), FAILURES)),
    }


def node_recipe(plan: Plan, node: GraphNode) -> dict[str, Any]:
    """What one node's keys are made of."""
    about = plan.nodes.get(node.name)  # none for those within loops
    return {
        "type": node.type.name,
        "version": node.type.version,
        "axes": list(node.axes),
        "over": list(node.entry.over),
        "whole": about is not None and about.stored and about.whole,
        "body": list(plan.graph.bodies.get(node.name, ())),
        "params": {name: column(held) for name, held in parameters(plan, node).items()},
        "ports": {port: [wire(plan, node, port, w) for w in wires] for port, wires in node.wires.items()},
    }


def parameters(plan: Plan, node: GraphNode) -> dict[str, Column]:
    """What a node's keys hold beside what it is wired to, canonical: its parameters, and those words of its entry that
    they hold too.
    """
    found = {name: plan.keying.texts(node, name, values) for name, values in node.params.items()}
    if node.type.kind == "reduce":
        found[MISSING] = constant(keys.canonical(node.entry.missing or "fail"))
    if loop := shown_loop(node):
        found[AXIS] = shown_steps(plan, plan.graph.nodes[loop])
    return found


def shown_steps(plan: Plan, loop: GraphNode) -> Column:
    """How many steps lie behind each state that a loop's trajectory shows."""
    marks, program = loop.entry.trajectory, plan.keying.trajectories[loop.name].program
    assert marks is not None
    steps = [[keys.canonical(step) for step in marks.steps(chain.length)] for chain in program.values.flat]
    axes = (*program.axes, AXIS)
    return Column(axes, np.array(steps, dtype=object).reshape(plan.graph.shape(axes)))


def weights(plan: Plan, node: GraphNode, port: str, source: Wire) -> Column:
    """The digests of the parts that a port uses of its model, by part."""
    keying = plan.keying
    return plan.graph.references[source.node].map(
        lambda model: {part.name: keying.part(part) for part in used_parts(plan.graph, node, port, model)}
    )


def wire(plan: Plan, node: GraphNode, port: str, source: Wire) -> dict[str, Any]:
    """What a port is wired to: a node, or models by the digests of their parts."""
    if source.node in plan.graph.references:
        return {"models": column(weights(plan, node, port, source))}
    return {"node": source.node, "output": source.output}


def column(values: Column) -> dict[str, Any]:
    """A column as JSON."""
    return {"axes": list(values.axes), "values": values.values.ravel().tolist()}
