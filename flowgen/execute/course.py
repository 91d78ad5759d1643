"""The course of a run, from its records: how far each node is, how fast it goes, how long the rest takes.

Live view and ``flowgen status`` read the same records, so they say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flowgen.execute.records import Record, seconds_of

TELLING = 0.05
"""work done, as a share of what is left, from which its speed tells how long other work takes; the first of it loads
models"""
ENDS = ("finished", "stopped", "failed")


@dataclass(slots=True)
class Spans:
    """Time that was covered by spans which may overlap, in seconds."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    """apart from each other, in order"""
    total: float = 0.0

    def add(self, start: float, end: float) -> None:
        """One more; they come in about the order of their ends."""
        while self.spans and self.spans[-1][1] >= start:
            first, last = self.spans.pop()
            self.total -= last - first
            start, end = min(start, first), max(end, last)
        self.spans.append((start, end))
        self.total += end - start


@dataclass(slots=True)
class NodeCourse:
    """How far a node is."""

    items: int = 0
    known: int = 0
    """items that the store had when the run was planned"""
    total: int = 0
    """items to compute; grows if some are lost on the way"""
    done: int = 0
    """items computed, failed, or published by another run meanwhile"""
    others: int = 0
    """of these, those that another run published"""
    untimed: int = 0
    """of these, those of tasks that were cut short: nobody knows how long they took"""
    failed: int = 0
    flops: float = 0.0
    """of an item"""
    expected: float | None = None
    """seconds an item, from earlier runs"""
    hand: dict[int, tuple[int, float]] = field(default_factory=dict)
    """by number, parcels of which is known how far they are: their items, and what the steps done are worth in items"""
    spans: Spans = field(default_factory=Spans)
    """in which it was computed"""

    @property
    def remaining(self) -> int:
        """Items that are neither computed nor failed."""
        return max(0, self.total - self.done)

    @property
    def in_hand(self) -> int:
        """Items of parcels of which is known how far they are."""
        return sum(items for items, _ in self.hand.values())

    @property
    def begun(self) -> float:
        """What the steps of these that are done are worth, in items."""
        return min(float(self.remaining), sum(worth for _, worth in self.hand.values()))

    @property
    def rest(self) -> float:
        """What is left to do, in items."""
        return self.remaining - self.begun

    @property
    def rate(self) -> float | None:
        """Items a second while it was computed; None before the first word of one."""
        return self.timed / self.spans.total if self.timed and self.spans.total > 0 else None

    @property
    def timed(self) -> float:
        """Work that gave results and of which one knows how long it took, in items."""
        return self.done - self.failed - self.untimed + self.begun

    def left(self, speed: float | None = None) -> float | None:
        """Seconds for the rest: at its own rate, else as earlier runs tell, else at ``speed`` FLOPs a second."""
        if not self.remaining:
            return 0.0
        if self.rate:
            return self.rest / self.rate
        if self.expected is not None:
            return self.rest * self.expected
        return self.rest * self.flops / speed if speed else None


@dataclass(slots=True)
class Course:
    """A run so far."""

    about: Record = field(default_factory=dict)
    """its first record: who runs what"""
    state: str = "planning"
    """planning, running, writing, stopping, or how it ended: finished, stopped, failed"""
    ended: bool = False
    """whether its last record is there"""
    planned: bool = False
    nodes: dict[str, NodeCourse] = field(default_factory=dict)
    workers: int = 0
    dashboard: str | None = None
    deaths: int = 0
    """workers that died while they computed"""
    repeated: int = 0
    """tasks that were sent again for it"""
    notes: list[str] = field(default_factory=list)
    wrote: dict[str, tuple[int, int]] = field(default_factory=dict)
    """parts of the run's folder: how much is written, of how much"""
    causes: dict[str, str] = field(default_factory=dict)
    """why it failed"""
    first: float = 0.0
    """seconds since 1970"""
    last: float = 0.0
    busy: Spans = field(default_factory=Spans)
    """in which anything was computed"""

    def apply(self, found: Record) -> None:
        """One more record; those that this version doesn't know change nothing."""
        when = seconds_of(found["time"])
        self.first, self.last = self.first or when, when
        if apply := APPLY.get(found["event"]):
            apply(self, found, when)

    @property
    def done(self) -> int:
        """Items computed, failed, or published by another run meanwhile."""
        return sum(node.done for node in self.nodes.values())

    @property
    def total(self) -> int:
        """Items to compute."""
        return sum(node.total for node in self.nodes.values())

    @property
    def known(self) -> int:
        """Items that were in the store."""
        return sum(node.known for node in self.nodes.values())

    @property
    def failed(self) -> int:
        """Items without a result."""
        return sum(node.failed for node in self.nodes.values())

    @property
    def rate(self) -> float | None:
        """Items of all nodes a second."""
        timed = sum(node.timed for node in self.nodes.values())
        return timed / self.busy.total if timed and self.busy.total > 0 else None

    def left(self) -> float | None:
        """Seconds until all is computed, about; None if nothing tells."""
        seen = [node for node in self.nodes.values() if node.rate and node.flops]
        work, spent = sum(n.flops * n.timed for n in seen), sum(n.spans.total for n in seen)
        rest = sum(node.flops * node.rest for node in self.nodes.values())
        speed = work / spent if spent and work >= TELLING * rest else None
        each = [node.left(speed) for node in self.nodes.values()]
        if not self.planned or None in each:
            return None
        beside = sum(n.spans.total for n in self.nodes.values()) / self.busy.total if self.busy.total > 0 else 1.0
        return sum(seconds for seconds in each if seconds is not None) / beside

    @property
    def kept(self) -> int:
        """Items of those to compute that the store has."""
        return self.done - self.failed

    @property
    def keeps(self) -> str:
        """How much of the work the store has, in words; a run that ended without a word may have published more."""
        least = "" if self.ended else "at least "
        return f"{least}{self.kept} of {self.total} items are computed and kept"

    def totals(self) -> dict[str, Any]:
        """What a run's last record says of it."""
        return {
            "computed": sum(node.done - node.failed - node.others for node in self.nodes.values()),
            "compute": self.total,
            "failed": self.failed,
            "deaths": self.deaths,
            "sent_again": self.repeated,
        }


def started(course: Course, found: Record, when: float) -> None:
    """Who runs what."""
    course.about = found


def planned(course: Course, found: Record, when: float) -> None:
    """A plan: the first says what was known, a later one what is still to be computed, what failed included."""
    for name, about in found["nodes"].items():
        node = course.nodes.setdefault(name, NodeCourse(items=about["items"], known=about["known"]))
        node.done, node.failed = node.done - node.failed, 0
        compute = about["compute"]
        node.total = node.done + compute
        node.hand.clear()
        if compute:
            node.flops = about["flops"] / compute
            node.expected = None if about["seconds"] is None else about["seconds"] / compute
    course.planned, course.state = True, "running"


def workers(course: Course, found: Record, when: float) -> None:
    """Who is there. If somebody left, nobody knows what was in hand before those that stay have said it again."""
    if found["count"] < course.workers:
        for node in course.nodes.values():
            node.hand.clear()
    course.workers, course.dashboard = found["count"], found["dashboard"]


def under_way(course: Course, found: Record, when: float) -> None:
    """How far a task is."""
    node = course.nodes.setdefault(found["node"], NodeCourse())
    node.hand[found["parcel"]] = found["items"], found["items"] * found["share"]
    node.spans.add(when - found["seconds"], when)
    course.busy.add(when - found["seconds"], when)


def parcel(course: Course, found: Record, when: float) -> None:
    """Items that were computed."""
    node = course.nodes.setdefault(found["node"], NodeCourse())
    node.hand.pop(found["parcel"], None)
    node.done += found["items"] + found["known"]
    node.others += found["known"]
    if not found["seconds"]:
        node.untimed += found["items"] + found["known"]
        return
    node.spans.add(when - found["seconds"], when)
    course.busy.add(when - found["seconds"], when)


def failed_items(course: Course, found: Record, when: float) -> None:
    """Items that have no result."""
    node = course.nodes.setdefault(found["node"], NodeCourse())
    node.done += found["items"]
    node.failed += found["items"]


def worker_died(course: Course, found: Record, when: float) -> None:
    """One more."""
    course.deaths += 1


def sent_again(course: Course, found: Record, when: float) -> None:
    """One more; what tasks of that node are on says its next word."""
    course.repeated += 1
    course.nodes.setdefault(found["node"], NodeCourse()).hand.clear()


def writing(course: Course, found: Record, when: float) -> None:
    """Results are computed, their folder is written."""
    course.state = "writing"
    course.wrote[found["what"]] = found["done"], found["total"]


def stopping(course: Course, found: Record, when: float) -> None:
    """Asked to end."""
    course.state = "stopping"


def note(course: Course, found: Record, when: float) -> None:
    """A message."""
    course.notes.append(found["message"])


def ended(course: Course, found: Record, when: float) -> None:
    """No more comes."""
    course.state, course.ended = found["event"], True
    for node in course.nodes.values():
        node.hand.clear()
    course.causes = found.get("causes", {})


APPLY: dict[str, Callable[[Course, Record, float], None]] = {
    "started": started,
    "planned": planned,
    "workers": workers,
    "under_way": under_way,
    "parcel": parcel,
    "failed_items": failed_items,
    "worker_died": worker_died,
    "sent_again": sent_again,
    "writing": writing,
    "stopping": stopping,
    "note": note,
    **dict.fromkeys(ENDS, ended),
}
"""what each event changes"""
