"""Runs a plan: one task for each parcel, in the order of what they need; planned anew where the store lost blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from flowgen.execute.clusters.preflight import admitted
from flowgen.execute.connection import SchedulerGone, watched
from flowgen.execute.crew import crew
from flowgen.execute.event_log import cause_text
from flowgen.execute.events import Events
from flowgen.execute.flight import Flight, NoWorkers, Task
from flowgen.execute.memory import keep
from flowgen.execute.messages import NOTES
from flowgen.execute.task import Place, Receipt, open_store, published
from flowgen.execute.threads import let_go
from flowgen.plan.plan import Plan
from flowgen.store import Lost, Store

ATTEMPTS = 5
"""how often a run is planned anew for blocks that were lost, or for a scheduler that was lost without anything done"""


class RunFailed(Exception):
    """A run could not go on; what was computed is in the store. Single items that fail don't end a run."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        super().__init__("; ".join(f"'{node}' failed: {cause_text(cause)}" for node, cause in failures.items()))
        self.failures = failures
        """by node, the first cause"""


@dataclass(slots=True)
class Tally:
    """What a run did."""

    receipts: list[Receipt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    deaths: int = 0
    """worker processes that died while they had work"""
    repeated: int = 0
    """tasks that were sent again for it"""

    @property
    def failed(self) -> dict[str, str]:
        """Items that have no result, by key: the cause."""
        return {key: cause for receipt in self.receipts for key, cause in receipt.failed.items()}

    @property
    def renamed(self) -> dict[str, str]:
        """Keys of reductions that skipped failed items and of what reads them, by the key that was planned."""
        return {key: other for receipt in self.receipts for key, other in receipt.renamed.items()}

    @property
    def limits(self) -> dict[str, int]:
        """Where memory ran out: the most items of a call."""
        found: dict[str, int] = {}
        for receipt in self.receipts:
            for call, most in receipt.limits.items():
                found[call] = min(most, found.get(call, most))
        return found

    def computed(self, stage: str | None = None) -> int:
        """Items computed, of one node or of all."""
        return sum(r.items for r in self.receipts if stage in (None, r.stage))

    def add(self, other: Tally) -> None:
        """Count what a later part of the run did."""
        self.receipts += other.receipts
        self.notes += other.notes
        self.deaths += other.deaths
        self.repeated += other.repeated

    def calls(self) -> dict[str, tuple[int, int]]:
        """By node type: runs of its code, and items in them."""
        found: dict[str, tuple[int, int]] = {}
        for receipt in self.receipts:
            for name, count in receipt.calls.items():
                calls, rows = found.get(name, (0, 0))
                found[name] = (calls + count, rows + receipt.rows[name])
        return found


def execute(
    make_plan: Callable[[], Plan], client: Callable[[], Any], place: Place, events: Events
) -> tuple[Plan, Tally]:
    """Plan and run until nothing is missing. ``client`` is a context manager's maker; it isn't used when all is known.

    Raises UserError if the cluster can't be reached or its workers don't fit, before anything is sent; RunFailed, with
    everything that did succeed published.
    """
    keep()
    tally = Tally()
    first = make_plan()
    events.planned(first)
    if not first.parcels:
        return first, tally
    let_go()
    drive = Drive(first, make_plan, place, events, tally)
    fruitless = 0
    while True:
        before = len(tally.receipts)
        try:
            with watched(client) as connected:
                drive.until_known(connected)
            return first, tally
        except SchedulerGone as error:
            fruitless = 0 if len(tally.receipts) > before else fruitless + 1
            if fruitless >= ATTEMPTS:
                raise RunFailed({"cluster": error}) from None
            drive.note(f"{error}; connecting again")
            drive.plan_anew()


@dataclass(slots=True)
class Drive:
    """A run on its way."""

    plan: Plan
    """what is left to do"""
    make_plan: Callable[[], Plan]
    place: Place
    events: Events
    tally: Tally

    def until_known(self, client: Client) -> None:
        """Run the plan, and once more what was lost meanwhile, until nothing is missing.

        Raises RunFailed, SchedulerGone.
        """
        client.subscribe_topic(NOTES, lambda event: self.note(event[1]))
        with admitted(client, self.plan, self.place) as (place, workers), crew(client, self.events):
            for _ in range(ATTEMPTS):
                flight = Flight(self.plan, client, place, workers, self.note, self.events)
                lost = run_once(flight, self.events, self.tally)
                if not lost:
                    return
                for message in dict.fromkeys(str(error) for error in lost):
                    self.note(message)
                self.plan_anew()
        raise RunFailed({"store": lost[-1]})

    def plan_anew(self) -> None:
        """See what is left to do."""
        self.plan = self.make_plan()
        self.events.planned(self.plan)

    def note(self, message: str) -> None:
        """Tell the user something that the run's provenance keeps."""
        self.events.note(message)
        self.tally.notes.append(message)


def run_once(flight: Flight, events: Events, tally: Tally) -> list[Lost]:
    """Submit the parcels, some at a time, and follow them; the blocks that were found lost.

    Raises RunFailed with the first cause of each node, SchedulerGone.
    """
    store = open_store(flight.place.store)
    lost: list[Lost] = []
    failures: dict[str, BaseException] = {}
    try:
        for stage, result in flight.results():
            if isinstance(result, Lost):
                lost.append(result)
            elif isinstance(result, BaseException):
                failures.setdefault(stage, result)
            else:
                store.learn(result.told)
                tally.receipts.append(result)
                events.done(result)
    except NoWorkers as error:
        failures["cluster"] = error
    except SchedulerGone:
        store.sync()
        for task in flight.sent.values():
            if receipt := unheard(task, store, flight.place):
                tally.receipts.append(receipt)
                events.done(receipt)
        raise
    finally:
        tally.deaths += len(flight.dead)
        tally.repeated += flight.resent
    if failures:
        raise RunFailed(failures)
    return lost


def unheard(task: Task, store: Store, place: Place) -> Receipt | None:
    """What a task published by now that nobody will hear of any more; None if nothing. Its failures aren't known."""
    blocks = {key: item.block for key, item in store.find(task.parcel.keys).items()}
    stage, number = task.name
    items = published(blocks, store, place)
    return Receipt(stage, number, items, seconds=0.0, found=sorted(set(blocks.values()))) if items else None
