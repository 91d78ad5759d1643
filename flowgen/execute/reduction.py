"""Reductions: statistics merged along a tree that depends on the set of items alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowgen.errors import UserError
from flowgen.execute.states import finite
from flowgen.node.call import instance, named
from flowgen.plan.program import Step
from flowgen.values import Record

if TYPE_CHECKING:
    from flowgen.execute.stage import Reader, StageRun

LEAF = 256
"""items of a leaf; part of what a reduction's bits depend on"""


def reduce_items(
    run: StageRun, step: Step, items: list[int], reader: Reader
) -> list[tuple[list[int], dict[str, Record]]]:
    """Each item of a reduction on its own. Raises UserError for one that pools too few and has no finite result."""
    for name, other in run.code.steps.items():
        if other.body_of is None and name != step.name:
            run.cheap(other, run.needed(name, items))
    ports = step.type.signature.ports
    stream = next(name for name, port in ports.items() if port.stream)
    found = []
    for item in items:
        if run.caller.stop.asked():
            break
        made = run.call(step, [item], frozenset({stream}), run.values)
        arguments = {k: beside(v) for k, v in made.arguments.items() if k != stream}
        reduction = instance(step.type, arguments)
        pooled = run.parcel.pooled[item]
        state = merged(reduction, pooled, reader, step.wires[stream][0].output)
        outputs = named(reduction.finish(state), step.type.signature.outputs)
        if len(pooled) < (least := reduction.least(state)) and not all(finite(value, 0) for value in outputs.values()):
            points = f"{len(pooled)} point" + ("" if len(pooled) == 1 else "s")
            raise UserError(
                f"'{step.type.name}' of {points} is no number; it needs {least} for one that means something"
            )
        found.append(([item], outputs))
    return found


def beside(value: Any) -> Any:
    """What a reduction reads besides its stream, on the CPU, where the items come from and statistics are kept."""
    if isinstance(value, list):
        return [beside(one) for one in value]
    return value.to("cpu") if isinstance(value, Record) else value


def merged(reduction: Any, keys: list[str], reader: Reader, output: str) -> Record:
    """The statistic of a multiset: leaves of sorted keys, merged in pairs, level by level.

    Equal for equal sets, whatever the order and the workers; the memory it takes grows with the logarithm.
    """
    pending: list[tuple[int, Record]] = []
    ordered = sorted(keys)
    for start in range(0, len(ordered), LEAF):
        leaf = leaf_of(reduction, ordered[start : start + LEAF], reader, output)
        level = 0
        while pending and pending[-1][0] == level:
            leaf = reduction.merge(pending.pop()[1], leaf)
            level += 1
        pending.append((level, leaf))
    state = pending.pop()[1]
    while pending:
        state = reduction.merge(pending.pop()[1], state)
    return state


def leaf_of(reduction: Any, keys: list[str], reader: Reader, output: str) -> Record:
    """The statistic of a few items, in the order of their keys."""
    groups = reader.read(keys, output)
    if len(groups) > 1:
        type(groups[0][1]).concat([record for _, record in groups])  # says what differs
    positions, record = groups[0]
    back = sorted(range(len(positions)), key=positions.__getitem__)
    found: Record = reduction.add(record.take(back))
    return found
