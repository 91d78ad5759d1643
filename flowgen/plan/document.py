"""A plan as JSON can hold it; docs/plan.md describes the fields."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flowgen.plan.batches import explain_batches
from flowgen.plan.plan import Plan

VERSION = 1
"""raised when a field changes its meaning or goes; new fields may come"""


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan's numbers, node by node, in the order of the graph."""
    graph, batches = plan.graph, explain_batches(plan)
    nodes = {}
    for name in graph.order:
        node = graph.nodes[name]
        found: dict[str, Any] = {"type": node.type.name, "axes": list(node.axes), "loop": node.body_of}
        if about := plan.nodes.get(name):
            found |= {
                "points": about.points,
                "items": about.items,
                "stored": about.stored,
                "known": about.known,
                "compute": about.compute,
                "reason": about.reason,
                "batch": about.batch,
                "parcels": about.parcels,
                "flops": about.flops,
                "bytes": about.bytes,
                "seconds": about.seconds,
                "batches": batches.get(name, []),
            }
        rows = about.rows if about else plan.bodies.get(name)
        found["rows"] = asdict(rows) if rows else None
        nodes[name] = found
    return {
        "version": VERSION,
        "graph": graph.document.file,
        "axes": {name: len(axis) for name, axis in graph.document.axes.items()},
        "numerics": plan.numerics.mode,
        "compute": plan.compute,
        "parcels": len(plan.parcels),
        "seconds": plan.seconds,
        "nodes": nodes,
    }
