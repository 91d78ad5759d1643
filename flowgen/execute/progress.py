"""Progress of a run: a bar for each node on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from flowgen.execute.task import Receipt
from flowgen.plan.plan import Plan

EVERY = 10.0
"""seconds between two plain lines of one node"""


class Silent:
    """Tells nobody."""

    def planned(self, plan: Plan) -> None:
        """Nothing."""

    def done(self, receipt: Receipt) -> None:
        """Nothing."""

    def writing(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing."""


class Bars(Silent):
    """A bar for each node with items to compute: done of all, rate, time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self.planning = self.progress.add_task("planning", total=None, rate="")
        self.tasks: dict[str, TaskID] = {}
        self.started: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def planned(self, plan: Plan) -> None:
        """Bars for the nodes to compute."""
        self.progress.update(self.planning, visible=False)
        for node in plan.nodes.values():
            if node.compute:
                self.tasks[node.name] = self.progress.add_task(node.name, total=node.compute, rate="")

    def done(self, receipt: Receipt) -> None:
        """Move a bar."""
        begun = self.started.setdefault(receipt.stage, time.monotonic() - receipt.seconds)
        task = self.tasks[receipt.stage]
        self.progress.advance(task, receipt.items)
        completed = self.progress.tasks[task].completed
        self.progress.update(task, rate=rate(completed, time.monotonic() - begun))

    def writing(self, what: str, done: int, total: int) -> None:
        """A bar for what is written."""
        said = f"writing {what}"
        if said not in self.tasks:
            self.tasks[said] = self.progress.add_task(said, rate="")
        self.progress.update(self.tasks[said], completed=done, total=total)

    def note(self, message: str) -> None:
        """A line above the bars."""
        self.console.print(f"[yellow]{message}")


class Lines(Silent):
    """Plain lines, for logs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total: dict[str, int] = {}
        self.completed: dict[str, int] = {}
        self.started: dict[str, float] = {}
        self.said: dict[str, float] = {}

    def planned(self, plan: Plan) -> None:
        """Totals of the nodes to compute."""
        self.total = {node.name: node.compute for node in plan.nodes.values() if node.compute}
        self.completed = dict.fromkeys(self.total, 0)

    def done(self, receipt: Receipt) -> None:
        """A line now and then, and one at a node's end."""
        name, now = receipt.stage, time.monotonic()
        begun = self.started.setdefault(name, now - receipt.seconds)
        self.completed[name] += receipt.items
        done, total = self.completed[name], self.total[name]
        if done < total and now - self.said.get(name, begun) < EVERY:
            return
        self.said[name] = now
        left = (now - begun) / max(1, done) * (total - done)
        rest = f", {left:.0f} s left" if done < total else ""
        self.console.print(f"{name}: {done}/{total}, {rate(done, now - begun)}{rest}", highlight=False)

    def writing(self, what: str, done: int, total: int) -> None:
        """A line at the beginning, and one now and then."""
        last, now = self.said.get("writing"), time.monotonic()
        if last is None or (done < total and now - last >= EVERY):
            self.said["writing"] = now
            self.console.print(f"writing {what}" + (f": {done}/{total}" if done else ""), highlight=False)

    def note(self, message: str) -> None:
        """A line."""
        self.console.print(message, highlight=False)


def rate(items: float, seconds: float) -> str:
    """Items a second, or seconds an item, three digits."""
    if items <= 0 or seconds <= 0:
        return ""
    each = items / seconds
    return f"{each:.3g} items/s" if each >= 1 else f"{1 / each:.3g} s/item"


def progress(console: Console) -> Bars | Lines:
    """Bars on a terminal, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)
