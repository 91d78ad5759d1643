"""What happens in a run as records that JSON can hold; docs/long_runs.md describes each field."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flowgen.execute.events import Silent

if TYPE_CHECKING:
    from flowgen.execute.task import Receipt
    from flowgen.plan.plan import Plan

VERSION = 1
"""raised when a field changes its meaning or goes; new fields and events may come"""
CAUSES = 5
"""causes of failed items that a record names"""
EVERY = 10.0
"""seconds between two records of the same thing being written"""

Record = dict[str, Any]


def record(event: str, **fields: Any) -> Record:
    """Something that happens now."""
    return {"v": VERSION, "time": now(), "event": event, **fields}


def now() -> str:
    """The time, UTC, in milliseconds: ``2026-03-01T12:00:00.000Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(stamp: str) -> float:
    """A record's time in seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()


class Recorder(Silent):
    """Makes a record of whatever it is told; ``take`` says what becomes of it."""

    def __init__(self) -> None:
        self.said: dict[str, float] = {}
        """when something was last said to be written"""

    def take(self, found: Record) -> None:
        """A record."""
        raise NotImplementedError

    def planned(self, plan: Plan) -> None:
        """Per stored node: its items, those that are known and those to compute, and what is expected of these."""
        nodes = {
            name: {
                "items": node.items,
                "known": node.known,
                "compute": node.compute,
                "parcels": node.parcels,
                "flops": node.flops,
                "seconds": None if node.seconds is None else round(node.seconds, 3),
            }
            for name, node in plan.nodes.items()
            if node.stored
        }
        self.take(record("planned", compute=plan.compute, parcels=len(plan.parcels), seconds=plan.seconds, nodes=nodes))

    def workers(self, count: int, dashboard: str) -> None:
        """How many there are."""
        self.take(record("workers", count=count, dashboard=dashboard or None))

    def under_way(self, stage: str, number: int, items: int, share: float, seconds: float) -> None:
        """How far a task is."""
        how = {"share": round(share, 4), "seconds": round(seconds, 4)}
        self.take(record("under_way", node=stage, parcel=number, items=items, **how))

    def done(self, receipt: Receipt) -> None:
        """A parcel, and what failed of it."""
        about = {"node": receipt.stage, "parcel": receipt.number}
        how = {"seconds": round(receipt.seconds, 4), "worker": receipt.worker}
        self.take(record("parcel", **about, items=receipt.items, known=receipt.known, **how))
        if receipt.failed:
            causes = dict(Counter(receipt.failed.values()).most_common(CAUSES))
            self.take(record("failed_items", **about, items=len(receipt.failed), causes=causes))

    def died(self, worker: str, tasks: int) -> None:
        """A worker's death."""
        self.take(record("worker_died", worker=worker, tasks=tasks))

    def repeated(self, stage: str, items: int) -> None:
        """A task that is sent again."""
        self.take(record("sent_again", node=stage, items=items))

    def writing(self, what: str, done: int, total: int) -> None:
        """The beginning, the end, and now and then."""
        last, when = self.said.get(what), time.monotonic()
        if last is None or done >= total or when - last >= EVERY:
            self.said[what] = when
            self.take(record("writing", what=what, done=done, total=total))

    def stopping(self) -> None:
        """Asked to stop."""
        self.take(record("stopping"))

    def note(self, message: str) -> None:
        """A message."""
        self.take(record("note", message=message))
