"""The time that a plan is expected to take, from what earlier runs took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from flowgen.plan.cuts import Pace
from flowgen.plan.numerics import Numerics
from flowgen.plan.plan import Plan
from flowgen.store.timings import Timings, Work


class Measured(Protocol):
    """A parcel that was computed."""

    @property
    def stage(self) -> str:
        """The node."""

    @property
    def seconds(self) -> float:
        """Its time."""

    @property
    def steps(self) -> int:
        """A loop's steps of all items; the number of items for other nodes; 0 where that isn't known."""


def expect(plan: Plan, timings: Timings, place: str, workers: int) -> None:
    """Set every stage's expected ``seconds``, for tasks that run side by side on some workers."""
    for name, about in plan.nodes.items():
        if about.compute and (each := timings.seconds(work_of(plan, name, place))) is not None:
            about.seconds = each * about.steps / max(1, workers)


def measured(plan: Plan, receipts: Iterable[Measured], place: str) -> Iterator[tuple[Work, float, int]]:
    """What a run learned: the time and the steps of each stage."""
    known = [receipt for receipt in receipts if receipt.steps]
    for name in plan.nodes:
        mine = [receipt for receipt in known if receipt.stage == name]
        if mine:
            yield work_of(plan, name, place), sum(r.seconds for r in mine), sum(r.steps for r in mine)


def pace(timings: Timings, place: str, numerics: Numerics) -> Pace:
    """What earlier runs took there, for work of the same size only: a guess would cut parcels that are better whole."""
    return lambda type, flops: timings.of(work(type, flops, place, numerics))


def work_of(plan: Plan, stage: str, place: str) -> Work:
    """The kind of work that a stage does."""
    return work(plan.nodes[stage].type, plan.check.outcomes[stage][0].flops, place, plan.numerics)


def work(type: str, flops: int, place: str, numerics: Numerics) -> Work:
    """A kind of work, by a node's type and the FLOPs of an item, or of a step."""
    return Work(type, flops, f"{place}, {numerics.mode}")
