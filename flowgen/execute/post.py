"""What tasks say, as it comes, and what Dask knows of those that say nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, cast

import dask
from distributed import Client, Future, KilledWorker

from flowgen.execute.connection import WAIT, SchedulerGone, identity
from flowgen.execute.events import Events
from flowgen.execute.messages import BEGUN, ENDED, STRIDES, listening, opened
from flowgen.execute.sent import Task
from flowgen.execute.task import Receipt

GATHER, LONGEST = 0.0005, 0.05
"""seconds in which more tasks may end before the next is looked at, for each that is on its way, and in all: each time,
the driver takes turns with what runs beside it in its process, a worker perhaps
"""
ASK = 0.1
"""seconds after which Dask is asked what became of tasks: cheaper than to have it say so of each, as most say it"""
ENDS = ("finished", "error", "cancelled")
"""what Dask calls a task that goes on no more"""
LOOK = 5.0
"""seconds without news after which the cluster is looked at"""
DESERTED = 120.0
"""seconds without any worker that may have what is left after which a run stops, at least"""


class NoWorkers(Exception):
    """Nobody is left to compute."""


class Post:
    """News of the tasks that are sent, while it is ``open``."""

    def __init__(self, client: Client, sent: Mapping[str, Task], events: Events) -> None:
        self.client = client
        self.sent = sent
        """by Dask's key, the tasks of which it hears"""
        self.events = events
        self.scheduler = identity(client)
        self.news: SimpleQueue[str | tuple[Task, int, float]] = SimpleQueue()
        """keys of tasks that have ended, perhaps more than once; how many steps one has done, in how many seconds"""
        self.said = False
        """whether the user knows that the scheduler didn't answer"""
        self.asked = 0.0
        """when Dask was last asked which have ended, monotonic"""
        self.since: float | None = None
        """when it was seen that no worker may have what is left, monotonic; None while there are some"""
        self.begun: dict[str, list[str]] = {}
        """by key of a task that isn't done, the addresses of the workers that began it"""
        self.told: dict[str, bytes] = {}
        """by key of a task that isn't done, the receipt that its worker sent"""

    @contextmanager
    def open(self) -> Iterator[None]:
        """Listen, as long as the context lasts."""
        with listening(self.client, {BEGUN: self.began, ENDED: self.heard, STRIDES: self.went}):
            yield

    def began(self, key: str, address: str) -> None:
        """A worker has begun a task."""
        if key in self.sent:
            self.begun.setdefault(key, []).append(address)

    def heard(self, key: str, receipt: bytes) -> None:
        """A worker has ended a task."""
        if key in self.sent:
            self.told[key] = receipt
            self.news.put(key)

    def went(self, key: str, steps: int, seconds: float) -> None:
        """A task says how far it is."""
        if task := self.sent.get(key):
            self.news.put((task, steps, seconds))

    def next(self) -> list[str]:
        """The keys of tasks that have ended, some perhaps again, none if there is no news for a while; tells how far
        others are meanwhile.

        Raises SchedulerGone.
        """
        end = time.monotonic() + LOOK
        while time.monotonic() < end:
            self.ask()
            time.sleep(min(LONGEST, GATHER * len(self.sent)))
            with suppress(Empty):
                if keys := self.ends(
                    [self.news.get(timeout=ASK), *(self.news.get() for _ in range(self.news.qsize()))]
                ):
                    self.since = None
                    return keys
        self.look()
        return []

    def look(self) -> None:
        """See whether the scheduler is still there, however long it takes to answer. Raises SchedulerGone."""
        if identity(self.client, self.silent) != self.scheduler:
            raise SchedulerGone from None

    def silent(self) -> None:
        """Say once that the scheduler doesn't answer."""
        if not self.said:
            self.said = True
            self.events.note("the cluster's scheduler doesn't answer; the run waits for it")

    def deserted(self, worker: str) -> None:
        """Count the time without any worker that may have what is left, and say it once. Raises NoWorkers, at once
        where none can be started."""
        if cause := getattr(self.client.cluster, "hopeless", ""):
            raise NoWorkers(f"no worker process can be started any more: {cause}")
        now, patience = time.monotonic(), self.patience()
        if self.since is None:
            self.since = now
            self.events.note(f"the cluster has no {worker}; the run waits {patience:.0f} s for one")
        if now - self.since > patience:
            raise NoWorkers(f"the cluster has had no {worker} for {patience:.0f} s")

    def patience(self) -> float:
        """How many seconds without any worker are borne: as many as for the first one, where others may come."""
        if getattr(self.client.cluster, "given_up", False):
            return DESERTED
        return max(DESERTED, float(dask.config.get(WAIT, 0.0)))

    def ends(self, news: Sequence[str | tuple[Task, int, float]]) -> list[str]:
        """The keys of tasks that ended; of others it is told how far they are."""
        for said in news:
            if isinstance(said, tuple):
                task, steps, seconds = said
                self.events.under_way(*task.name, len(task.parcel), task.share(steps), seconds)
        return [said for said in news if isinstance(said, str) and said in self.sent]

    def ask(self) -> None:
        """Now and then, see which tasks ended without saying so: they failed, or what they said was lost."""
        if (now := time.monotonic()) - self.asked > ASK:
            self.asked = now
            for key, task in self.sent.items():
                if task.future and task.future.status in ENDS and key not in self.told:
                    self.news.put(key)

    def pending(self) -> list[Task]:
        """The tasks whose end isn't known."""
        return [
            task
            for key, task in self.sent.items()
            if task.future and task.future.status not in ENDS and key not in self.told
        ]

    def at_work(self) -> set[str]:
        """The addresses of workers that began tasks whose end isn't known."""
        return {worker for task in self.pending() for worker in self.begun.get(task.key, ())}

    def idle(self, there: Set[str]) -> list[Task]:
        """The tasks whose end isn't known and that none of some workers has begun."""
        return [task for task in self.pending() if there.isdisjoint(self.begun.get(task.key, ()))]

    def outcome(self, task: Task) -> Receipt | BaseException:
        """What became of a task. Raises SchedulerGone."""
        if said := self.told.pop(task.key, None):
            return opened(said)
        future = cast(Future, task.future)
        try:
            found: Any = future.exception() if future.status == "error" else future.result()
        except (KilledWorker, CancelledError) as error:  # the receipt was lost, and perhaps all else
            self.look()
            found = error
        return cast(Receipt | BaseException, found)
