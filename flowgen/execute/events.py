"""Who is told how a run goes."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from flowgen.execute.task import Receipt
    from flowgen.plan.plan import Plan


class Events(Protocol):
    """What is told, in the order in which it happens. Some of it comes from another thread."""

    def begun(self, folder: Path) -> None:
        """The run's folder is made; nothing is planned yet."""

    def planned(self, plan: Plan) -> None:
        """A plan is about to be run: the first one, or another for what was lost."""

    def workers(self, count: int, dashboard: str) -> None:
        """So many workers are there; the address of Dask's dashboard, empty if it has none."""

    def under_way(self, stage: str, number: int, items: int, share: float, seconds: float) -> None:
        """Of a parcel of so many items a task has done such a share (0 to 1) of its steps, in so many seconds."""

    def done(self, receipt: Receipt) -> None:
        """A parcel is in the store."""

    def died(self, worker: str, tasks: int) -> None:
        """A worker died that was computing so many tasks."""

    def repeated(self, stage: str, items: int) -> None:
        """A task of so many items is sent again."""

    def writing(self, what: str, done: int, total: int) -> None:
        """So much of a run's folder is written: points of the results, files of an output."""

    def stopping(self) -> None:
        """The run was asked to stop; batches in hand are finished."""

    def note(self, message: str) -> None:
        """Something a user should know."""


class Silent:
    """Tells nobody."""

    def begun(self, folder: Path) -> None:
        """Nothing."""

    def planned(self, plan: Plan) -> None:
        """Nothing."""

    def workers(self, count: int, dashboard: str) -> None:
        """Nothing."""

    def under_way(self, stage: str, number: int, items: int, share: float, seconds: float) -> None:
        """Nothing."""

    def done(self, receipt: Receipt) -> None:
        """Nothing."""

    def died(self, worker: str, tasks: int) -> None:
        """Nothing."""

    def repeated(self, stage: str, items: int) -> None:
        """Nothing."""

    def writing(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing."""


class Both(Silent):
    """Tells one, then the other."""

    def __init__(self, first: Events, second: Events) -> None:
        self.each = (first, second)

    def begun(self, folder: Path) -> None:
        """To both."""
        for events in self.each:
            events.begun(folder)

    def planned(self, plan: Plan) -> None:
        """To both."""
        for events in self.each:
            events.planned(plan)

    def workers(self, count: int, dashboard: str) -> None:
        """To both."""
        for events in self.each:
            events.workers(count, dashboard)

    def under_way(self, stage: str, number: int, items: int, share: float, seconds: float) -> None:
        """To both."""
        for events in self.each:
            events.under_way(stage, number, items, share, seconds)

    def done(self, receipt: Receipt) -> None:
        """To both."""
        for events in self.each:
            events.done(receipt)

    def died(self, worker: str, tasks: int) -> None:
        """To both."""
        for events in self.each:
            events.died(worker, tasks)

    def repeated(self, stage: str, items: int) -> None:
        """To both."""
        for events in self.each:
            events.repeated(stage, items)

    def writing(self, what: str, done: int, total: int) -> None:
        """To both."""
        for events in self.each:
            events.writing(what, done, total)

    def stopping(self) -> None:
        """To both."""
        for events in self.each:
            events.stopping()

    def note(self, message: str) -> None:
        """To both."""
        for events in self.each:
            events.note(message)
