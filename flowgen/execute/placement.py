"""Which workers a stage's tasks may go to, and in which order a plan's parcels are sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from flowgen.errors import UserError
from flowgen.execute.fitness import Finding, Unfit, table
from flowgen.graph.references import used_parts
from flowgen.plan.plan import Plan
from flowgen.store.quantities import shown
from flowgen.values.model import Part

GPU = "GPU"
"""Dask's resource of a worker that has one to itself; the name that Dask's and dask-cuda's pages use"""
NOBODY = "tcp://0.0.0.0:0"
"""an address that no worker has"""
Weights = Mapping[frozenset[Part], int]
"""bytes in memory of parts that are used together"""


@dataclass(slots=True)
class Workers:
    """The workers of a run; none are known where the run computes in the driver's process."""

    findings: Mapping[str, Finding] = field(default_factory=dict)
    """by address, what each had when the run began"""
    resources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """by address, what each declared to Dask when the run began"""
    there: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """by address, what those declare that were there last"""
    seen: float = 0.0
    """when that was, monotonic"""
    homes: dict[str, list[str]] = field(default_factory=dict)
    """by stage, the workers that hold its models, where none holds all"""
    avoided: dict[str, Unfit] = field(default_factory=dict)
    """by address, why a worker that was there last gets no more tasks"""

    def see(self, client: Client, fresh: float = 0.0) -> None:
        """See who is there, unless it was seen so many seconds ago, and forget who was avoided and went: who comes at
        the same address is another process.
        """
        if time.monotonic() - self.seen >= fresh:
            self.there, self.seen = resources(client), time.monotonic()
            self.avoided = {worker: why for worker, why in self.avoided.items() if worker in self.there}

    def options(self, plan: Plan, stage: str) -> dict[str, Any]:
        """What Dask is told of a stage's task: the resource it takes, the workers it prefers or must go to.

        Where every worker may have the task its homes are a preference: if they are gone, or idle ones steal, it runs
        elsewhere. Else they are a condition, since of those that are no home Dask would take any, and breaks where that
        one lacks the resource.
        """
        found: dict[str, Any] = {"resources": {GPU: 1}} if self.takes_gpu(plan, stage) else {}
        able = self.able(plan, stage)
        homes = [worker for worker in self.homes.get(stage, ()) if worker in able]
        if homes and len(able) == len(self.there):
            found |= {"workers": homes, "allow_other_workers": True}
        elif homes or self.avoided:
            found["workers"] = homes or able or [NOBODY]
        return found

    def equipped(self, plan: Plan, stage: str) -> list[str]:
        """The workers that are there and declare what a stage's tasks take."""
        gpu = self.takes_gpu(plan, stage)
        return [worker for worker, said in self.there.items() if not gpu or said.get(GPU, 0) >= 1]

    def able(self, plan: Plan, stage: str) -> list[str]:
        """The workers that are there and may have a stage's tasks."""
        return [worker for worker in self.equipped(plan, stage) if worker not in self.avoided]

    def refusal(self, plan: Plan, stage: str) -> Unfit | None:
        """Why all that might have a stage's tasks get none, if the store or the device of one of them refuses."""
        equipped = self.equipped(plan, stage)
        if any(worker not in self.avoided for worker in equipped):
            return None
        return next((self.avoided[worker] for worker in equipped if self.avoided[worker].refused), None)

    def lacking(self, plan: Plan, stage: str) -> str:
        """The worker that a stage's tasks wait for while none is able, in words."""
        if not self.there:
            return "worker"
        return "worker that fits" if self.equipped(plan, stage) else f"worker that declares a {GPU}"

    def takes_gpu(self, plan: Plan, stage: str) -> bool:
        """Whether a stage's tasks take a GPU: they run a model, and there are workers with one to themselves."""
        return self.has_gpus and any(step.type.uses_model for step in plan.programs[stage].steps.values())

    @property
    def has_gpus(self) -> bool:
        """Whether some worker declares a GPU."""
        return any(said.get(GPU, 0) >= 1 for said in self.resources.values())

    def settle(self, plan: Plan) -> None:
        """Choose homes. Raises UserError for a stage whose weights fit on no worker."""
        stages = dict.fromkeys(cut.stage for cut in plan.parcels)
        each = {stage: weights_of(plan, stage) for stage in stages}
        rooms = {w: f.room for w, f in self.findings.items() if not self.has_gpus or self.resources[w].get(GPU, 0) >= 1}
        for stage, weights in each.items():
            largest = max((f.device.total for f in self.findings.values() if f.device), default=0)
            if rooms and (takes := sum(weights.values())) > largest:
                raise UserError(
                    f"the weights of '{stage}' take {shown(takes)}, more than any worker's device has",
                    hint="\n  ".join(["the workers:", *table(self.findings)]),
                )
        if rooms and not fits(each.values(), min(rooms.values())):
            self.homes = shared_out(plan, each, rooms)

    def side_by_side(self, plan: Plan, room: int) -> bool:
        """Whether tasks of all stages may alternate without loading models anew each time."""
        if self.homes:
            return True
        rooms = [finding.room for finding in self.findings.values()] or [room]
        return fits((weights_of(plan, stage) for stage in {cut.stage for cut in plan.parcels}), min(rooms))


def resources(client: Client) -> dict[str, dict[str, float]]:
    """The resources that each worker declares."""
    there = client.scheduler_info(n_workers=-1)["workers"]
    return {worker: dict(about["resources"]) for worker, about in there.items()}


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


def weights_of(plan: Plan, stage: str) -> Weights:
    """Bytes of weights that a stage's tasks hold on their device; parts that stay in main memory don't count."""
    return {
        parts: plan.check.weights.get(name, 0)
        for name, parts in used_by(plan, stage).items()
        if not any(part.offload or part.device for part in parts)
    }


def fits(each: Iterable[Weights], room: int) -> bool:
    """Whether the weights of some stages fit together; what several use counts once."""
    return sum({parts: size for weights in each for parts, size in weights.items()}.values()) <= room


def shared_out(plan: Plan, each: Mapping[str, Weights], rooms: Mapping[str, int]) -> dict[str, list[str]]:
    """Workers by stage, so that every worker holds the weights of its stages; nothing if there are too few workers.

    Stages are put together, the largest first, where they fit; each group gets workers by its share of the work.
    """
    room, groups = min(rooms.values()), list[list[str]]()
    for stage in sorted((s for s in each if each[s]), key=lambda s: -sum(each[s].values())):
        group = next((g for g in groups if fits([each[s] for s in [*g, stage]], room)), None)
        if group is None:
            groups.append([stage])
        else:
            group.append(stage)
    if len(groups) > len(rooms):
        return {}
    work = [max(1, sum(plan.nodes[stage].flops for stage in group)) for group in groups]
    counts = [1] * len(groups)
    for _ in range(len(rooms) - len(groups)):
        busiest = max(range(len(groups)), key=lambda n: work[n] / counts[n])
        counts[busiest] += 1
    names = iter(sorted(rooms))
    found: dict[str, list[str]] = {}
    for group, count in zip(groups, counts, strict=True):
        mine = [next(names) for _ in range(count)]
        found |= dict.fromkeys(group, mine)
    return found
