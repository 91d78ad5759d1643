"""Progress of a run: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from flowgen.execute.course import Course
from flowgen.execute.events import Silent
from flowgen.execute.records import EVERY, Record, Recorder, seconds_of
from flowgen.execute.view import in_hand, rate, view
from flowgen.store.quantities import duration

REDRAWN = 2.0
"""how often a second"""


class Watched(Recorder):
    """Follows a run's course and shows it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.course = Course()
        self.lock = threading.Lock()

    def take(self, found: Record) -> None:
        """Take account of a record, then show it."""
        with self.lock:
            self.course.apply(found)
        self.show(found)

    def show(self, found: Record) -> None:
        """What a record changes on the screen."""
        raise NotImplementedError


class Screen(Watched):
    """A row for each node with items to compute, a line about the whole; notes stand above."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.live = Live(console=console, get_renderable=self.drawn, refresh_per_second=REDRAWN)

    def __enter__(self) -> Self:
        self.live.start(refresh=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.lock:
            stopped = isinstance(error, KeyboardInterrupt)
            self.course.state = "stopped" if stopped else "failed" if error else "finished"
        self.live.stop()

    def drawn(self) -> RenderableType:
        """The view as it is now."""
        with self.lock:
            return view(self.course, self.console.width, self.console.height, time.time())

    def show(self, found: Record) -> None:
        """The view is drawn again anyhow."""
        if found["event"] == "note":
            self.console.print(found["message"], style="yellow", highlight=False, markup=False)


class Lines(Watched):
    """Plain lines, for logs: one now and then, and one at a node's end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.spoke: dict[str, float] = {}

    def show(self, found: Record) -> None:
        """Print it if it is worth a line now."""
        if line := self.line(found):
            self.console.print(line, highlight=False, markup=False)

    def line(self, found: Record) -> str:
        """A record in words; empty if it isn't worth a line now."""
        match found["event"]:
            case "note":
                return str(found["message"])
            case "stopping":
                return STOPPING
            case "writing" if self.due("", found):
                return f"writing {found['what']}" + (f": {found['done']}/{found['total']}" if found["done"] else "")
            case "under_way" | "parcel" | "failed_items":
                name = found["node"]
                node = self.course.nodes[name]
                begun = seconds_of(found["time"]) - found.get("seconds", 0.0)
                if self.due(name, found, begun) or not node.remaining:
                    failed = f" ({node.failed} failed)" if node.failed else ""
                    said = [f"{name}: {node.done}/{node.total}{failed}"]
                    said += [part for part in (in_hand(node), rate(node.rate)) if part]
                    return ", ".join(said + ([f"{duration(node.left())} left"] if node.remaining else []))
        return ""

    def due(self, what: str, found: Record, begun: float = 0.0) -> bool:
        """Whether nothing was said of it for a while."""
        when = seconds_of(found["time"])
        if when - self.spoke.setdefault(what, begun) < EVERY:
            return False
        self.spoke[what] = when
        return True


STOPPING = "stopping: batches in hand are finished; once more ends it at once"


def progress(console: Console) -> Screen | Lines:
    """A live view on a terminal, lines elsewhere."""
    return Screen(console) if console.is_terminal else Lines(console)


__all__ = ["Lines", "Screen", "Silent", "progress"]
