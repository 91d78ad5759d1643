"""Runs a plan: one task for each parcel, in the order of what they need; planned anew where the store lost blocks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from distributed import Client, as_completed

from flowgen.execute.task import NOTES, Place, Receipt, run_parcel
from flowgen.execute.threads import let_go
from flowgen.plan.parcels import Cut
from flowgen.plan.plan import Plan
from flowgen.store import Lost

Name = tuple[str, int]
"""a parcel's stage and number"""
IN_FLIGHT = 128
"""parcels that are sent and not done, at least; four for each thread where that is more"""
ATTEMPTS = 5
"""how often a run is planned anew for blocks that were lost"""


class RunFailed(Exception):
    """A run could not go on; what was computed is in the store. Single items that fail don't end a run."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        super().__init__(f"failed: {', '.join(failures)}")
        self.failures = failures
        """by node, the first cause"""


class Events(Protocol):
    """Who is told how a run goes."""

    def planned(self, plan: Plan) -> None:
        """A plan is about to be run."""

    def done(self, receipt: Receipt) -> None:
        """A parcel is in the store."""

    def writing(self, what: str, done: int, total: int) -> None:
        """So much of a run's folder is written: points of the results, files of an output."""

    def note(self, message: str) -> None:
        """Something a user should know."""


@dataclass(slots=True)
class Tally:
    """What a run did."""

    receipts: list[Receipt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> dict[str, str]:
        """Items that have no result, by key: the cause."""
        return {key: cause for receipt in self.receipts for key, cause in receipt.failed.items()}

    @property
    def renamed(self) -> dict[str, str]:
        """Keys of reductions that skipped failed items, by the key that was planned."""
        return {key: other for receipt in self.receipts for key, other in receipt.renamed.items()}

    def computed(self, stage: str | None = None) -> int:
        """Items computed, of one node or of all."""
        return sum(r.items for r in self.receipts if stage in (None, r.stage))

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

    Raises RunFailed, with everything that did succeed published.
    """
    tally = Tally()
    first = current = make_plan()
    events.planned(current)
    if not current.parcels:
        return first, tally
    let_go()
    with client() as connected:
        connected.subscribe_topic(NOTES, lambda event: events.note(event[1]))
        for _ in range(ATTEMPTS):
            lost = run_once(current, connected, place, events, tally)
            if not lost:
                return first, tally
            for message in dict.fromkeys(str(error) for error in lost):
                events.note(message)
                tally.notes.append(message)
            current = make_plan()
            events.planned(current)
    raise RunFailed({"store": lost[-1]})


def run_once(plan: Plan, client: Client, place: Place, events: Events, tally: Tally) -> list[Lost]:
    """Submit the parcels, some at a time, and follow them; the blocks that were found lost.

    Raises RunFailed with the first cause of each node.
    """
    flight = Flight(plan, client, place)
    lost: list[Lost] = []
    failures: dict[str, BaseException] = {}
    for stage, result in flight.results():
        if isinstance(result, Lost):
            lost.append(result)
        elif isinstance(result, BaseException):
            failures.setdefault(stage, result)
        else:
            tally.receipts.append(result)
            events.done(result)
    if failures:
        raise RunFailed(failures)
    return lost


class Flight:
    """The parcels of a plan on their way: made just before they are sent, so that few exist at once."""

    def __init__(self, plan: Plan, client: Client, place: Place) -> None:
        self.plan = plan
        self.client = client
        self.place = place
        self.run = uuid.uuid4().hex[:8]
        self.most = max(IN_FLIGHT, 4 * sum(client.nthreads().values()))
        self.following = as_completed()
        self.sent: dict[Name, Any] = {}
        """futures of the parcels that aren't done"""
        self.names: dict[str, Name] = {}
        """of these futures, by key"""
        self.partial: dict[Name, Receipt] = {}
        """done, with items that failed"""
        self.broken: set[Name] = set()
        """without a result: what reads them is not sent"""

    def results(self) -> Iterator[tuple[str, Receipt | BaseException]]:
        """Stage and receipt of each parcel that is done, or the exception that ended it."""
        waiting = iter(self.plan.parcels)
        self.refill(waiting)
        while self.sent:
            future = next(self.following)
            me = self.names.pop(future.key)
            del self.sent[me]
            result = future.result() if future.status == "finished" else future.exception()
            if not isinstance(result, BaseException):
                if result.failed:
                    self.partial[me] = result
                yield me[0], result
            elif me not in self.broken:
                self.broken.add(me)
                yield me[0], result
            self.refill(waiting)

    def refill(self, waiting: Iterator[Cut]) -> None:
        """Send parcels while there are places, in the order of the plan: what they read is done or sent before."""
        while len(self.sent) < self.most and (cut := next(waiting, None)) is not None:
            me, parents = (cut.stage, cut.number), self.plan.depends(cut)
            if self.broken.intersection(parents):
                self.broken.add(me)
                continue
            self.sent[me] = future = self.client.submit(
                run_parcel,
                self.plan.programs[cut.stage],
                self.plan.parcel(cut),
                self.place,
                *(known for p in parents if (known := self.sent.get(p, self.partial.get(p))) is not None),
                key=f"{self.run}-{cut.stage}-{cut.number}",
                pure=False,
                retries=0,
            )
            self.names[future.key] = me
            self.following.add(future)
