"""A cluster of jobs of a batch system, of which those that end are submitted again."""

from __future__ import annotations

import time
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Scheduler, SchedulerPlugin, Status
from tornado.ioloop import PeriodicCallback

from flowgen.execute.clusters.lasting import Lasting
from flowgen.execute.messages import NOTES

EVERY = 1000
"""milliseconds between two looks"""
BARREN = 3
"""jobs that may end in a row without having computed anything, for each that is wanted, before no more are submitted"""
PAUSE = 60.0
"""seconds until a system that took no job is asked again"""
REFUSED = (OSError, RuntimeError, ValueError)
"""what dask-jobqueue raises for a job that the system doesn't take"""


class Seen(SchedulerPlugin):  # type: ignore[misc]
    """The workers that a scheduler has seen, by name."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.came: set[str] = set()
        self.computed: set[str] = set()
        """those that finished a task"""

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Dask has a new worker."""
        self.came.add(str(scheduler.workers[worker].name))

    def transition(self, key: Any, start: str, finish: str, *arguments: Any, **about: Any) -> None:
        """Dask moves a task on."""
        if (start, finish) == ("processing", "memory"):
            self.computed.add(str(self.scheduler.workers[about["worker"]].name))


class Resubmitting(Lasting):
    """Dask's cluster of jobs, which doesn't ask what becomes of them.

    A job that ended (its time was over, the system gave its place away, its machine failed) is submitted again, under
    another name. One that ends before it has a worker isn't noticed: dask-jobqueue asks no system how its jobs are.
    """

    wanted = 0
    """how many jobs there should be"""
    barren = 0
    """how many ended in a row without having computed anything"""
    pause = 0.0
    """until when none is submitted, monotonic"""

    @property
    def given_up(self) -> bool:
        """Whether no job is left, and none will be submitted."""
        return self.barren >= BARREN * self.wanted > 0 and not self.worker_spec

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.there: dict[str, float] = {}
        """by job that had a worker, when one was there last, monotonic"""
        super().__init__(*arguments, **options)

    async def submit(self, jobs: int) -> None:
        """Submit jobs; from now on as many are kept. Raises one of REFUSED."""
        await self.grow(jobs)
        self.wanted = jobs

    async def _start(self) -> None:
        await super()._start()
        self.seen = Seen(self.scheduler)
        self.scheduler.add_plugin(self.seen)
        self.periodic_callbacks["resubmit"] = PeriodicCallback(self.resubmit, EVERY)
        self.periodic_callbacks["resubmit"].start()

    async def resubmit(self) -> None:
        """Let go of jobs that ended, and submit as many."""
        if self.status != Status.running:
            return
        for name in (ended := self.ended()):
            self.barren = 0 if self.seen.computed & self.names(name) else self.barren + 1
            del self.there[name], self.worker_spec[name]
        missing = self.wanted - len(self.worker_spec) if time.monotonic() > self.pause else 0
        if self.barren >= BARREN * self.wanted:
            missing = 0
            if ended:
                self.say(f"{self.barren} jobs in a row ended before they had computed anything; no more are submitted")
        if ended or missing:
            await self.replace(missing)

    async def replace(self, count: int) -> None:
        """Cancel what is let go, and submit as many jobs."""
        try:
            await self.grow(count)
        except REFUSED as error:
            self.forget_refused()
            self.pause = time.monotonic() + PAUSE
            self.say(f"the system takes no job, asked again in {PAUSE:.0f} s: {' '.join(lines(error))}")
        else:
            if count:
                self.say(f"jobs ended; {count} {'is' if count == 1 else 'are'} submitted in their place")

    async def grow(self, count: int) -> None:
        """Submit jobs under names that none had before. Dask's ``scale`` only asks for it, and raises nothing."""
        for _ in range(count):
            self.worker_spec |= self.new_worker_spec()
            self._i += 1
        await self._correct_state()

    def forget_refused(self) -> None:
        """Let go of jobs that the system didn't take."""
        for name, job in list(self.workers.items()):
            if job.status == Status.created:
                job.status = Status.failed
                del self.workers[name], self.worker_spec[name]

    def ended(self) -> list[str]:
        """Jobs whose workers went longer ago than a worker takes to start again."""
        now, lost = time.monotonic(), parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))
        there = {str(worker.name) for worker in self.scheduler.workers.values()}
        for job in self.worker_spec:
            if there & self.names(job):
                self.there[job] = now
            elif self.seen.came & self.names(job):
                self.there.setdefault(job, now)
        return [job for job, last in self.there.items() if now - last > lost]

    def names(self, job: str) -> set[str]:
        """The names of a job's workers."""
        return {job + end for end in self.worker_spec[job].get("group", [""])}

    def say(self, text: str) -> None:
        """Tell the user of the run."""
        self.scheduler.log_event(NOTES, text)


def lines(error: Exception) -> list[str]:
    """What the system said."""
    return [line.strip() for line in str(error).splitlines() if line.strip()]
