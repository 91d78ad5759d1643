"""Runs a plan: one task for each parcel, in the order of what they need; planned anew where the store lost blocks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from distributed import Client, as_completed

from flowgen.execute.task import NOTES, Place, Receipt, run_parcel
from flowgen.plan.plan import Plan
from flowgen.store import Lost

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

    Raises RunFailed, with everything that did succeed published.
    """
    tally = Tally()
    first = current = make_plan()
    events.planned(current)
    if not current.parcels:
        return first, tally
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
    """Submit every parcel and follow them; the blocks that were found lost."""
    run = uuid.uuid4().hex[:8]
    parents = plan.depends()
    futures: dict[tuple[str, int], Any] = {}
    for parcel in plan.parcels:
        me = (parcel.stage, parcel.number)
        futures[me] = client.submit(
            run_parcel,
            plan.programs[parcel.stage],
            parcel,
            place,
            *(futures[p] for p in sorted(parents[me])),
            key=f"{run}-{parcel.stage}-{parcel.number}",
            pure=False,
            retries=0,
        )
    names = {future.key: me for me, future in futures.items()}
    lost: list[Lost] = []
    failures: dict[str, BaseException] = {}
    for future in as_completed(list(futures.values())):
        error = future.exception() if future.status != "finished" else None
        if error is None:
            receipt = future.result()
            tally.receipts.append(receipt)
            events.done(receipt)
        elif isinstance(error, Lost):
            lost.append(error)
        else:
            failures.setdefault(names[future.key][0], error)
    if failures:
        raise RunFailed(failures)
    return lost
