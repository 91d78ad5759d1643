"""Runs a plan: one task for each parcel, in the order of what they need; planned anew where the store lost blocks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from distributed import Client

from flowgen.errors import UserError
from flowgen.execute.clusters.preflight import admitted
from flowgen.execute.connection import SchedulerGone, watched
from flowgen.execute.crew import crew
from flowgen.execute.event_log import cause_text
from flowgen.execute.events import Events
from flowgen.execute.failures import DeviceBroken
from flowgen.execute.fitness import Unfit
from flowgen.execute.flight import Flight
from flowgen.execute.memory import keep, left_alone
from flowgen.execute.messages import NOTES
from flowgen.execute.post import NoWorkers
from flowgen.execute.sent import Task
from flowgen.execute.task import Place, Receipt, open_store, published
from flowgen.execute.threads import let_go
from flowgen.plan.plan import Plan
from flowgen.store import Lost, Store, Unwritable, briefly

ATTEMPTS = 5
"""how often a run is planned anew for items lost again and again, or for a scheduler lost without anything done"""
BARREN = 120.0
"""seconds without anything done before lost schedulers end a run: who starts one again and again may be slow at it"""
USELESS = (Unwritable, DeviceBroken, Unfit)
"""what ends a run at once, as all that is left would fail too: no worker is left of which this wasn't heard"""


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
    def instead(self) -> dict[bytes, bytes]:
        """By key that was planned, the one that a result has instead; empty for items that failed."""
        none = {key.encode(): b"" for key in self.failed}
        return none | {key.encode(): other.encode() for key, other in self.renamed.items()}

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

    def forgive(self) -> None:
        """Forget what failed, which is tried again."""
        self.receipts = [replace(receipt, failed={}, renamed={}) for receipt in self.receipts]

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
    begun, again, fruitless, since = False, False, 0, time.monotonic()
    while True:
        before = len(tally.receipts)
        try:
            if again:
                drive.plan_anew()
                again = False
            with left_alone(), watched(client) as connected:
                drive.until_known(connected)
            return first, tally
        except BaseException as error:
            begun = begun or bool(drive.sent or tally.receipts)
            drive.count_unheard()  # of workers that are gone by now
            if begun and isinstance(error, UserError):  # the scheduler doesn't come back, or the store refuses
                what = "store" if isinstance(error, Unwritable) else "plan" if again else "cluster"
                raise RunFailed({what: error}) from None
            if not isinstance(error, SchedulerGone):
                raise
            fruitless += 1
            if len(tally.receipts) > before:
                fruitless, since = 0, time.monotonic()
            if fruitless >= ATTEMPTS and time.monotonic() - since > BARREN:
                raise RunFailed({"cluster": error}) from None
            drive.note(f"{error}; connecting again")
            again = True


@dataclass(slots=True)
class Drive:
    """A run on its way."""

    plan: Plan
    """what is left to do"""
    make_plan: Callable[[], Plan]
    place: Place
    events: Events
    tally: Tally
    sent: dict[str, Task] = field(default_factory=dict)
    """tasks whose end isn't heard yet"""
    lost: Counter[str] = field(default_factory=Counter)
    """how often items were lost: a damage may come to light only when another is mended"""

    @property
    def hopeless(self) -> bool:
        """Whether what was lost is lost again and again."""
        return max(self.lost.values(), default=0) >= ATTEMPTS

    def until_known(self, client: Client) -> None:
        """Run the plan, and once more what was lost meanwhile, until nothing is missing.

        Raises RunFailed, SchedulerGone.
        """
        client.subscribe_topic(NOTES, lambda event: self.note(event[1]))
        with admitted(client, self.plan, self.place) as (place, workers), crew(client, self.events) as known:
            while not self.hopeless:
                flight = Flight(self.plan, client, place, workers, self.note, self.events, known)
                self.sent = flight.sent
                lost = run_once(flight, self.events, self.tally)
                if not lost:
                    return
                for message in dict.fromkeys(str(error) for error in lost):
                    self.note(message)
                self.lost.update({key for error in lost for key in error.keys or (error.reason,)})
                self.plan_anew()
                workers.settle(self.plan)
                place = replace(place, weights=workers.takes)
        raise RunFailed({"store": lost[-1]})

    def plan_anew(self) -> None:
        """See what is left to do, what failed included."""
        self.plan = self.make_plan()
        self.tally.forgive()
        self.events.planned(self.plan)

    def count_unheard(self) -> None:
        """Count what tasks published whose end nobody hears any more."""
        try:
            with briefly():
                store = open_store(self.place.store)
                if self.sent:
                    store.sync()
                for task in self.sent.values():
                    if receipt := unheard(task, store, self.place):
                        self.tally.receipts.append(receipt)
                        self.events.done(receipt)
        except Exception as error:  # why the run ends, or goes on, is what a user should hear of
            self.note(f"what tasks published last isn't counted: {cause_text(error)}")
        self.sent = {}

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
            elif isinstance(result, USELESS):
                raise RunFailed({**failures, stage: result})
            elif isinstance(result, BaseException):
                failures.setdefault(stage, result)
            else:
                store.learn(result.told)
                tally.receipts.append(result)
                events.done(result)
    except NoWorkers as error:
        failures["cluster"] = error
    finally:
        tally.deaths += len(flight.dead)
        tally.repeated += flight.resent
    if failures:
        raise RunFailed(failures)
    return lost


def unheard(task: Task, store: Store, place: Place) -> Receipt | None:
    """What the store has by now of a task whose end nobody will hear; None if nothing. Its failures aren't known."""
    blocks = {key: item.block for key, item in store.find(task.parcel.keys).items()}
    if not blocks:
        return None
    stage, number = task.name
    items = published(blocks, store, place)
    found = sorted(set(blocks.values()))
    return Receipt(stage, number, items, seconds=0.0, found=found, known=len(blocks) - items)
