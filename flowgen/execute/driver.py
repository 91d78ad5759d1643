"""Runs a plan: one task for each parcel, in the order of what they need; planned anew where the store lost blocks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from distributed import Client, as_completed

from flowgen.execute.clusters.preflight import admitted
from flowgen.execute.device import device_of, room_for_weights
from flowgen.execute.fitness import Unfit
from flowgen.execute.placement import Workers
from flowgen.execute.task import NOTES, Place, Receipt, run_parcel
from flowgen.execute.threads import let_go
from flowgen.plan.order import by_stage, depth_first
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

    Raises UserError if the cluster can't be reached or its workers don't fit, before anything is sent; RunFailed, with
    everything that did succeed published.
    """
    tally = Tally()
    first = current = make_plan()
    events.planned(current)
    if not current.parcels:
        return first, tally
    let_go()
    with client() as connected, admitted(connected, current, place) as (place, workers):
        connected.subscribe_topic(NOTES, lambda event: events.note(event[1]))
        for _ in range(ATTEMPTS):
            lost = run_once(Flight(current, connected, place, workers), events, tally)
            if not lost:
                return first, tally
            for message in dict.fromkeys(str(error) for error in lost):
                events.note(message)
                tally.notes.append(message)
            current = make_plan()
            events.planned(current)
    raise RunFailed({"store": lost[-1]})


def run_once(flight: Flight, events: Events, tally: Tally) -> list[Lost]:
    """Submit the parcels, some at a time, and follow them; the blocks that were found lost.

    Raises RunFailed with the first cause of each node.
    """
    lost: list[Lost] = []
    failures: dict[str, BaseException] = {}
    for stage, result in flight.results():
        if isinstance(result, Lost):
            lost.append(result)
        elif isinstance(result, Unfit):
            events.note(str(result))
        elif isinstance(result, BaseException):
            failures.setdefault(stage, result)
        else:
            tally.receipts.append(result)
            events.done(result)
    if failures:
        raise RunFailed(failures)
    return lost


@dataclass(frozen=True, slots=True)
class Sent:
    """A parcel to send."""

    cut: Cut
    parents: list[Name]
    """parcels that it reads"""


class Flight:
    """The parcels of a plan on their way: made just before they are sent, so that few exist at once."""

    def __init__(self, plan: Plan, client: Client, place: Place, workers: Workers) -> None:
        self.plan = plan
        self.client = client
        self.place = place
        self.workers = workers
        self.run = uuid.uuid4().hex[:8]
        self.most = max(IN_FLIGHT, 4 * sum(client.nthreads().values()))
        self.following = as_completed()
        self.sent: dict[Name, Any] = {}
        """futures of the parcels that aren't done"""
        self.parcels: dict[str, Sent] = {}
        """of these futures, by key"""
        self.partial: dict[Name, Receipt] = {}
        """done, with items that failed"""
        self.broken: set[Name] = set()
        """without a result: what reads them is not sent"""
        self.count = 0
        """parcels that were sent"""

    def results(self) -> Iterator[tuple[str, Receipt | BaseException]]:
        """Stage and receipt of each parcel that is done, or the exception that ended it.

        One that a worker refused is sent to others, after what is yielded of that worker's first refusal.
        """
        waiting = iter(self.ordered())
        self.refill(waiting)
        while self.sent:
            future = next(self.following)
            sent = self.parcels.pop(future.key)
            me = sent.cut.stage, sent.cut.number
            del self.sent[me]
            result = future.result() if future.status == "finished" else future.exception()
            if isinstance(result, Unfit) and self.others(result.worker):
                if result.worker not in self.workers.avoided:
                    self.workers.avoided.add(result.worker)
                    yield me[0], result
                self.send(sent)
            elif not isinstance(result, BaseException):
                if result.failed:
                    self.partial[me] = result
                yield me[0], result
            elif me not in self.broken:
                self.broken.add(me)
                yield me[0], result
            self.refill(waiting)

    def ordered(self) -> list[Sent]:
        """The parcels in the order in which they are sent, each after those that it reads."""
        room = room_for_weights(device_of(self.place.device)) if not self.workers.findings else 0
        order = depth_first if self.workers.side_by_side(self.plan, room) else by_stage
        return [Sent(cut, parents) for cut, parents in order(self.plan)]

    def others(self, worker: str) -> list[str]:
        """Workers that are there beside one, and didn't refuse."""
        return [name for name in self.client.nthreads() if name != worker and name not in self.workers.avoided]

    def refill(self, waiting: Iterator[Sent]) -> None:
        """Send parcels while there are places."""
        while len(self.sent) < self.most and (sent := next(waiting, None)) is not None:
            if self.broken.intersection(sent.parents):
                self.broken.add((sent.cut.stage, sent.cut.number))
            else:
                self.send(sent)

    def send(self, sent: Sent) -> None:
        """Submit a parcel; what was sent earlier comes first."""
        cut, known = sent.cut, [self.sent.get(p, self.partial.get(p)) for p in sent.parents]
        there = self.client.nthreads() if self.workers.avoided else ()
        future = self.client.submit(
            run_parcel,
            self.plan.programs[cut.stage],
            self.plan.parcel(cut),
            self.place,
            *(parent for parent in known if parent is not None),
            key=f"{self.run}-{cut.stage}-{cut.number}-{self.count}",
            pure=False,
            retries=0,
            priority=-self.count,
            **self.workers.options(self.plan, cut.stage, there),
        )
        self.count += 1
        self.sent[cut.stage, cut.number] = future
        self.parcels[future.key] = sent
        self.following.add(future)
