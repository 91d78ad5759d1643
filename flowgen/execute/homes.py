"""Which workers hold which stages' models, where none holds all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf

from flowgen.graph.references import used_parts
from flowgen.plan.plan import Plan
from flowgen.values.model import Part

Weights = Mapping[frozenset[Part], int]
"""bytes in memory of parts that are used together"""
Homes = dict[str, list[str]]
"""by stage, the addresses of the workers that hold its models"""


def parts_of(plan: Plan, stage: str) -> set[Part]:
    """The parts of models that a stage's tasks load."""
    return {part for parts in used_by(plan, stage).values() for part in parts}


def used_by(plan: Plan, stage: str) -> dict[str, frozenset[Part]]:
    """The parts that each node of a stage uses, of all its points."""
    graph, found = plan.graph, {}
    for name in plan.programs[stage].steps:
        node = graph.nodes[name]
        columns = [
            (p, graph.references[w.node]) for p, ws in node.wires.items() for w in ws if w.node in graph.references
        ]
        models = [(port, {id(model): model for model in column.values.flat}) for port, column in columns]
        parts = {
            part for port, each in models for model in each.values() for part in used_parts(graph, node, port, model)
        }
        if parts:
            found[name] = frozenset(parts)
    return found


def weights_of(plan: Plan) -> dict[str, Weights]:
    """By stage, bytes of weights that its tasks hold on their device; parts that stay in main memory don't count."""
    return {
        stage: {
            parts: plan.check.weights.get(name, 0)
            for name, parts in used_by(plan, stage).items()
            if not any(part.offload or part.device for part in parts)
        }
        for stage in dict.fromkeys(cut.stage for cut in plan.parcels)
    }


def together(each: Iterable[Weights]) -> int:
    """The bytes that the weights of some stages take together; what several use counts once."""
    return sum({parts: size for weights in each for parts, size in weights.items()}.values())


def shared_out(
    work: Mapping[str, float],
    each: Mapping[str, Weights],
    rooms: Mapping[str, int],
    able: Mapping[str, Collection[str]],
    before: Homes,
) -> Homes:
    """Workers by stage, so that every worker holds the weights of its stages; nothing if there are too few workers.

    Stages are put together, the largest first, where they fit into the workers that hold the largest; each group gets
    workers by its share of the work. A smaller worker that holds no whole group is given some of the stages.

    work: operations of each stage. rooms: bytes by worker. able: the workers that may have each stage's tasks. before:
    the homes until now, which are kept where that goes; else who has none comes first.
    """
    ordered = sorted((stage for stage in each if each[stage]), key=lambda stage: -together([each[stage]]))
    if not ordered or not able[ordered[0]]:
        return {}
    groups = grouped(ordered, each, min(rooms[worker] for worker in able[ordered[0]]))
    shares = [max(1.0, sum(work[stage] for stage in group)) for group in groups]
    found: Homes = {stage: [] for stage in ordered}
    for n, worker in dealt(shares, [fitting(group, each, rooms, able, before) for group in groups]):
        for stage in groups[n]:
            found[stage].append(worker)
    if not all(found.values()):
        return {}
    for worker in rooms.keys() - {worker for home in found.values() for worker in home}:
        held = [stage for stage in ordered if worker in able[stage]]
        for stage in some_of(sorted(held, key=lambda stage: -work[stage]), each, rooms[worker]):
            found[stage].append(worker)
    return {stage: sorted(home) for stage, home in found.items()}


def fitting(
    group: Sequence[str],
    each: Mapping[str, Weights],
    rooms: Mapping[str, int],
    able: Mapping[str, Collection[str]],
    before: Homes,
) -> list[str]:
    """The workers that hold a group of stages: first those that did, then those that have no home."""
    most = together(each[stage] for stage in group) if len(group) > 1 else 0
    may = set(rooms).intersection(*(able[stage] for stage in group))
    mine = {worker for stage in group for worker in before.get(stage, ())}
    housed = {worker for home in before.values() for worker in home}
    return sorted(
        (worker for worker in may if rooms[worker] >= most),
        key=lambda worker: (worker not in mine, worker in housed, rooms[worker], worker),
    )


def some_of(stages: Iterable[str], each: Mapping[str, Weights], room: int) -> list[str]:
    """Of stages, as they come, those whose weights fit into so many bytes together."""
    found: list[str] = []
    for stage in stages:
        if together(each[s] for s in [*found, stage]) <= room:
            found.append(stage)
    return found


def grouped(stages: Iterable[str], each: Mapping[str, Weights], room: int) -> list[list[str]]:
    """Stages put together as they come, where their weights fit into so many bytes."""
    groups: list[list[str]] = []
    for stage in stages:
        group = next((g for g in groups if together(each[s] for s in [*g, stage]) <= room), None)
        if group is None:
            groups.append([stage])
        else:
            group.append(stage)
    return groups


def dealt(shares: Sequence[float], fit: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Groups by number, each with a worker: one for each, then one by one for the group with the most work of a worker.

    shares: the work of each group. fit: the workers that hold it, those that it should have first.
    """
    counts, left, taken = [0] * len(shares), list(range(len(shares))), dict[str, int]()
    queues = [iter(workers) for workers in fit]
    while left:
        n = max(left, key=lambda n: shares[n] / counts[n] if counts[n] else inf)
        worker = next((worker for worker in queues[n] if worker not in taken), None)
        if worker is None:
            left.remove(n)
        else:
            taken[worker] = n
            counts[n] += 1
    return [(n, worker) for worker, n in taken.items()]
