"""What keeps items apart: why two of them are not computed in one batch, and why a batch has its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from flowgen.graph.columns import Column
from flowgen.graph.model import GraphNode
from flowgen.graph.variants import by_identity, members
from flowgen.plan.cuts import LARGEST_BATCH, LIVE_TENSORS, PARCEL_FLOPS, PARCEL_SECONDS
from flowgen.plan.plan import Plan

SHOWN = 4
"""values that are listed"""


def explain_batches(plan: Plan) -> dict[str, list[str]]:
    """By stage that has something to compute: what decides its batches, in sentences."""
    return {name: list(reasons(plan, name)) for name, about in plan.nodes.items() if about.compute}


def reasons(plan: Plan, stage: str) -> Iterator[str]:
    """Why a stage's items are batched as they are."""
    cuts = [cut for cut in plan.parcels if cut.stage == stage]
    rows = np.concatenate([cut.rows for cut in cuts])
    axes = plan.graph.nodes[stage].axes
    variants = np.unique(plan.check.variants[stage].at(axes, plan.graph.lengths, rows))
    if len(variants) > 1:
        yield f"{len(variants)} kinds of items that can't share a batch: " + "; ".join(differences(plan, stage))
    yield size(plan, stage, max(cut.batch for cut in cuts), int(variants[0]))
    yield from ran_out(plan, stage)
    if len(cuts) > 1:
        count = plan.options.workers
        workers = f"each of {count} workers" if count > 1 else "the worker"
        yield (
            f"{len(cuts)} parcels (tasks) of at most {max(map(len, cuts))} items: each is small enough to take about "
            f"{PARCEL_SECONDS:.0f} s, by what earlier runs took, and {PARCEL_FLOPS:.0e} FLOPs, but not smaller than a "
            f"batch; {workers} should have one to do"
        )
    elif len(rows) < cuts[0].batch:
        yield f"there {'is only 1 item' if len(rows) == 1 else f'are only {len(rows)} items'}"


def differences(plan: Plan, stage: str) -> Iterator[str]:
    """What differs between a stage's kinds of items: static parameters, models, what they are made from."""
    graph = plan.graph
    inside = {member.name for member in members(graph, graph.nodes[stage])}
    for name in sorted(inside):
        node = graph.nodes[name]
        for param, column in node.params.items():
            if not node.type.signature.params[param].per_item and (values := several(column)):
                yield f"'{param}' of '{name}' is the same for a whole batch, and is {values}"
        for port, wires in node.wires.items():
            for wire in wires:
                if wire.node in graph.references:
                    if len(set(by_identity(graph.references[wire.node]).values.flat)) > 1:
                        yield f"'{port}' of '{name}' takes several models, and a batch takes one"
                elif wire.node not in inside and plan.check.told[wire.node].values.max() > 0:
                    yield f"'{wire.node}' has several kinds of items itself{shapes(plan, graph.nodes[wire.node])}"


def several(column: Column) -> str:
    """The values of a column, if it has more than one."""
    texts = list(dict.fromkeys(map(readable, column.values.flat)))
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more if len(texts) > 1 else ""


def readable(value: Any) -> str:
    """A value as a user writes it."""
    return str(getattr(value, "text", value))


def shapes(plan: Plan, node: GraphNode) -> str:
    """The shapes that a node's items have, if they differ."""
    found = [next(iter(outcome.outputs.values())).tensors() for outcome in plan.check.outcomes[node.name]]
    each = list(dict.fromkeys(" × ".join(map(str, next(iter(t.values())).shape[1:])) for t in found if t))
    return f", of shapes {', '.join(each[:SHOWN])}" if len(each) > 1 else ""


def size(plan: Plan, stage: str, batch: int, variant: int) -> str:
    """Why a batch has its size."""
    if plan.numerics.strict:
        said = f"every model call is padded to {plan.numerics.pad} rows (numerics: strict)"
        return f"batches of {batch}, and {said}"
    if plan.options.batch:
        return f"batches of {batch}, as --batch says"
    if batch == LARGEST_BATCH:
        return f"batches of {batch}, the most that is tried"
    peak = plan.check.outcomes[stage][variant].peak_bytes
    return (
        f"batches of {batch}: an item's largest tensor has {peak / 1e6:.3g} MB, some {LIVE_TENSORS} such are held "
        f"at once, and a batch may take {plan.options.memory / 1e9:.3g} GB, {plan.options.whose}"
    )


def ran_out(plan: Plan, stage: str) -> Iterator[str]:
    """Where memory ran out in earlier runs, for the types of a stage's nodes."""
    for type in sorted({step.type.name for step in plan.programs[stage].steps.values()}):
        found = sorted({most for call, most in plan.options.limits.items() if call.partition("|")[0] == type})
        if found and not plan.numerics.strict:
            many = f"{found[0]} to {found[-1]}" if len(found) > 1 else str(found[0])
            yield f"memory ran out in earlier runs: '{type}' is given at most {many} items at once, by shape and device"
