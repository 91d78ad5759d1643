"""Which workers a stage's tasks may go to, and whether those of all stages may alternate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from flowgen.errors import UserError
from flowgen.execute.fitness import Finding, Unfit, table
from flowgen.execute.homes import Homes, Weights, shared_out, together, weights_of
from flowgen.plan.plan import Plan
from flowgen.store.quantities import shown

GPU = "GPU"
"""Dask's resource of a worker that has one to itself; the name that Dask's and dask-cuda's pages use"""
NOBODY = "tcp://0.0.0.0:0"
"""an address that no worker has"""


@dataclass(slots=True)
class Workers:
    """The workers of a run; none are known where the run computes in the driver's process."""

    findings: Mapping[str, Finding] = field(default_factory=dict)
    """by address, what each had when the run began and is still there"""
    resources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """by address, what each declared to Dask when the run began"""
    there: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """by address, what those declare that were there last"""
    seen: float = 0.0
    """when that was, monotonic"""
    usual: int = 0
    """bytes of weights that a worker is taken to hold which joined later"""
    weights: Mapping[str, Weights] = field(default_factory=dict)
    """by stage"""
    takes: Mapping[str, int] = field(default_factory=dict)
    """by stage, the bytes of its weights"""
    homes: Homes = field(default_factory=dict)
    """where no worker holds the models of all stages"""
    avoided: dict[str, Unfit] = field(default_factory=dict)
    """by address, why a worker that was there last gets no more tasks"""
    small: dict[str, set[str]] = field(default_factory=dict)
    """by stage, the workers whose device turned out to be too small for its weights"""
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """by stage, what Dask is told of a task, until it is another"""

    def __post_init__(self) -> None:
        self.there = self.there or self.resources
        self.usual = max(self.rooms.values(), default=0)

    def see(self, client: Client, fresh: float = 0.0) -> bool:
        """See who is there, unless it was seen so many seconds ago, and forget what is known of those that went: who
        comes at the same address is another process. Returns whether somebody came or went.
        """
        if time.monotonic() - self.seen < fresh:
            return False
        before, self.there, self.seen = self.there.keys(), resources(client), time.monotonic()
        if before == self.there.keys():
            return False
        self.findings = {worker: found for worker, found in self.findings.items() if worker in self.there}
        self.avoided = {worker: why for worker, why in self.avoided.items() if worker in self.there}
        self.small = {stage: workers & self.there.keys() for stage, workers in self.small.items()}
        self.told.clear()
        return True

    def refuse(self, refusal: Unfit) -> bool:
        """Send a worker no more tasks, or none of a stage. Returns whether that is news."""
        self.told.clear()
        if not refusal.stage:
            news = refusal.worker not in self.avoided
            self.avoided.setdefault(refusal.worker, refusal)
            return news
        small = self.small.setdefault(refusal.stage, set())
        news = refusal.worker not in small
        small.add(refusal.worker)
        return news

    def options(self, plan: Plan, stage: str) -> dict[str, Any]:
        """What Dask is told of a stage's task: the resource it takes, the workers it prefers or must go to.

        Where every worker may have the task its homes are a preference: if they are gone, or idle ones steal, it runs
        elsewhere. Else they are a condition, since of those that are no home Dask would take any, and breaks where that
        one lacks the resource.
        """
        if stage not in self.told:
            self.told[stage] = self.choice(plan, stage)
        return self.told[stage]

    def choice(self, plan: Plan, stage: str) -> dict[str, Any]:
        """The same, found anew."""
        found: dict[str, Any] = {"resources": {GPU: 1}} if self.takes_gpu(plan, stage) else {}
        able = self.able(plan, stage)
        homes = [worker for worker in self.homes.get(stage, ()) if worker in able]
        if homes and len(able) == len(self.there):
            found |= {"workers": homes, "allow_other_workers": True}
        elif homes or len(able) < len(self.declaring(plan, stage)):
            found["workers"] = homes or able or [NOBODY]
        return found

    def declaring(self, plan: Plan, stage: str) -> list[str]:
        """The workers that are there and declare what a stage's tasks take."""
        gpu = self.takes_gpu(plan, stage)
        return [worker for worker, said in self.there.items() if not gpu or said.get(GPU, 0) >= 1]

    def equipped(self, plan: Plan, stage: str) -> list[str]:
        """Those of them whose device has room for its weights, as far as one knows."""
        takes, small = self.takes.get(stage, 0), self.small.get(stage, ())
        return [
            worker
            for worker in self.declaring(plan, stage)
            if worker not in small and (worker not in self.findings or takes <= self.findings[worker].total)
        ]

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
        if self.equipped(plan, stage):
            return "worker that fits"
        room = f"worker with room for the weights of '{stage}'"
        return room if self.declaring(plan, stage) else f"worker that declares a {GPU}"

    def takes_gpu(self, plan: Plan, stage: str) -> bool:
        """Whether a stage's tasks take a GPU: they run a model, and there are workers with one to themselves."""
        return self.has_gpus and any(step.type.uses_model for step in plan.programs[stage].steps.values())

    @property
    def has_gpus(self) -> bool:
        """Whether some worker declares a GPU."""
        return any(said.get(GPU, 0) >= 1 for said in self.resources.values())

    @property
    def rooms(self) -> dict[str, int]:
        """By address, the bytes of weights that each holds at once which may be given models."""
        return {
            worker: self.findings[worker].room if worker in self.findings else self.usual
            for worker, said in self.there.items()
            if (worker in self.findings or self.usual) and (not self.has_gpus or said.get(GPU, 0) >= 1)
        }

    @property
    def largest(self) -> int:
        """Bytes of the largest of their devices, as far as one knows."""
        return max((self.findings[worker].total for worker in self.rooms if worker in self.findings), default=0)

    def check(self) -> None:
        """Raises UserError for a stage whose weights fit on no worker."""
        for stage, takes in self.takes.items():
            if takes > self.largest > 0:
                raise UserError(
                    f"the weights of '{stage}' take {shown(takes)}, more than any worker's device has",
                    hint="\n  ".join(["the workers:", *table(self.findings)]),
                )

    def settle(self, plan: Plan) -> None:
        """Choose homes for a plan's stages."""
        self.weights = weights_of(plan)
        self.takes = {stage: together([weights]) for stage, weights in self.weights.items()}
        self.share_out(plan)

    def share_out(self, plan: Plan) -> None:
        """Choose homes among those that are there now; who has one keeps it where that goes. Too few change nothing."""
        rooms = self.rooms
        self.told.clear()
        if together(self.weights.values()) <= min(rooms.values(), default=0):
            self.homes = {}
        elif rooms:
            work = {stage: plan.nodes[stage].flops for stage in self.weights}
            able = {stage: [worker for worker in self.able(plan, stage) if worker in rooms] for stage in self.weights}
            self.homes = shared_out(work, self.weights, rooms, able, self.homes) or self.homes

    def side_by_side(self, plan: Plan, room: int) -> bool:
        """Whether tasks of all stages may alternate without loading models anew each time."""
        if self.homes:
            return True
        return together(weights_of(plan).values()) <= min(self.rooms.values(), default=room)


def resources(client: Client) -> dict[str, dict[str, float]]:
    """The resources that each worker declares."""
    there = client.scheduler_info(n_workers=-1)["workers"]
    return {worker: dict(about["resources"]) for worker, about in there.items()}
