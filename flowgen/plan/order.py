"""The order in which a plan's parcels are sent: whole points of the sweep are finished early, so pictures come soon."""

from __future__ import annotations

import heapq

from flowgen.plan.cuts import Cut
from flowgen.plan.plan import Plan

Ordered = list[tuple[Cut, list[tuple[str, int]]]]
"""parcels with those that they read, by stage and number"""


def by_stage(plan: Plan) -> Ordered:
    """Stage after stage: a worker that can't hold all models loads each once."""
    return [(cut, plan.depends(cut)) for cut in plan.parcels]


def depth_first(plan: Plan) -> Ordered:
    """Each as soon as what it reads has come, those of the last stages first."""
    ordered = by_stage(plan)
    place = {(cut.stage, cut.number): n for n, (cut, _) in enumerate(ordered)}
    stages = {stage: n for n, stage in enumerate(dict.fromkeys(cut.stage for cut in plan.parcels))}
    readers: list[list[int]] = [[] for _ in ordered]
    left = [len(parents) for _, parents in ordered]
    for n, (_, parents) in enumerate(ordered):
        for parent in parents:
            readers[place[parent]].append(n)

    def urgency(n: int) -> tuple[int, int]:
        return -stages[ordered[n][0].stage], n

    ready = [urgency(n) for n, count in enumerate(left) if not count]
    heapq.heapify(ready)
    found = []
    while ready:
        _, n = heapq.heappop(ready)
        found.append(ordered[n])
        for reader in readers[n]:
            left[reader] -= 1
            if not left[reader]:
                heapq.heappush(ready, urgency(reader))
    return found
