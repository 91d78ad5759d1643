"""Parcels on their way: sent some at a time, sent again when a worker dies, in pieces if that happens twice."""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import groupby
from typing import Any

from dask.task_spec import TaskRef
from distributed import Client, KilledWorker

from flowgen.execute.ahead import ahead_of
from flowgen.execute.crew import Crew
from flowgen.execute.device import device_of, room_for_weights
from flowgen.execute.events import Events
from flowgen.execute.fitness import Unfit
from flowgen.execute.memory import cycles
from flowgen.execute.placement import Workers
from flowgen.execute.post import Post
from flowgen.execute.sent import Name, Task, given_up
from flowgen.execute.stopping import Stopped
from flowgen.execute.task import Place, Receipt, run_parcel
from flowgen.plan.cuts import Cut
from flowgen.plan.order import Ordered, by_stage, depth_first
from flowgen.plan.plan import Plan

FRESH = 1.0
"""seconds in which it isn't asked again which workers are there"""
DEADLY, MOST = 3, 10
"""workers that die at a single item before it counts as failed: so many if no others die meanwhile, one more for each
other one, up to the second number: where workers die of anything, an item may only be unlucky"""


class Flight:
    """The parcels of a plan on their way: made just before they are sent, so that few exist at once."""

    def __init__(
        self,
        plan: Plan,
        client: Client,
        place: Place,
        workers: Workers,
        note: Callable[[str], None],
        events: Events,
        crew: Crew | None = None,
    ) -> None:
        self.plan = plan
        self.client = client
        self.place = place
        self.workers = workers
        self.note = note
        self.events = events
        self.run = uuid.uuid4().hex[:8]
        self.sent: dict[str, Task] = {}
        """by Dask's key"""
        self.items = 0
        """of all that are sent"""
        self.post = Post(client, self.sent, events)
        self.open: dict[Name, list[Task]] = {}
        """of each parcel that was begun, the tasks that aren't done"""
        self.again: list[tuple[int, int, Task]] = []
        """a heap of what is to be sent once more, in the order of the plan"""
        self.partial: dict[Name, list[Receipt]] = {}
        """receipts with items that failed, or that changed for it"""
        self.blocks: dict[Name, list[str]] = {}
        """of parcels that are done, what holds their items"""
        self.broken: set[Name] = set()
        """without a result: what reads them is not sent"""
        self.dead: dict[str, set[str]] = {}
        """by address of a worker that died, the keys of what it was computing"""
        self.crew = crew or Crew()
        self.missed = self.crew.changes
        """how many of them were looked after"""
        self.ahead = ahead_of(sum(client.nthreads().values()))
        self.refusals: list[Unfit] = []
        """those that nobody was told of yet"""
        self.count = 0
        """tasks sent, and to be sent again"""
        self.resent = 0
        """tasks that were sent again since a worker had begun them and died"""

    def results(self) -> Iterator[tuple[str, Receipt | BaseException]]:
        """Stage and receipt of each task that is done, or the exception that ended it.

        Raises SchedulerGone, NoWorkers.
        """
        with self.post.open():
            waiting = iter(self.ordered())
            self.refill(waiting)
            while self.sent:
                keys = self.post.next()
                for key in keys:
                    if task := self.sent.pop(key, None):
                        self.items -= len(task.parcel)
                        yield from self.ended(task, self.post.outcome(task))
                if not keys or self.refusals or self.crew.changes > self.missed:
                    yield from self.look_after(quiet=not keys)
                self.refill(waiting)

    def ordered(self) -> Ordered:
        """The parcels in the order in which they are sent, each after those that it reads."""
        room = room_for_weights(device_of(self.place.device)) if not self.workers.findings else 0
        order = depth_first if self.workers.side_by_side(self.plan, room) else by_stage
        return order(self.plan)

    def refill(self, waiting: Iterator[tuple[Cut, list[Name]]]) -> None:
        """Send tasks while there are places, in their order: what they read is done, or sent before or with them."""
        while self.again and len(self.sent) < self.ahead.most:
            task = heapq.heappop(self.again)[-1]
            self.send([task], self.options(task))
            if task.lost:
                self.resent += 1
                self.events.repeated(task.cut.stage, len(task.parcel))
        if len(self.sent) > self.ahead.most - self.ahead.together:
            return  # the next time there is room for several
        new = self.new(waiting)
        while tasks := list(self.several(new)):
            for options, alike in groupby(tasks, self.options):
                self.send(list(alike), options)

    def several(self, new: Iterator[Task]) -> Iterator[Task]:
        """Tasks to be sent at once, until those that are on their way are many; by their items many for the cluster's
        threads are enough.
        """
        count, items, ahead = len(self.sent), self.items, self.ahead
        for most in range(count, min(count + ahead.together, ahead.most)):
            if (items >= ahead.items and most >= ahead.least) or (task := next(new, None)) is None:
                return
            items += len(task.parcel)
            yield task

    def new(self, waiting: Iterator[tuple[Cut, list[Name]]]) -> Iterator[Task]:
        """Tasks for the next parcels, made as they are asked for."""
        for cut, parents in waiting:
            if self.broken.intersection(parents):
                self.broken.add((cut.stage, cut.number))
                continue
            self.count += 1
            task = Task(self.count, cut, parents, self.plan.parcel(cut), since=self.deaths())
            cycles.passed(len(task.parcel))
            self.open[task.name] = [task]
            yield task

    def options(self, task: Task) -> dict[str, Any]:
        """What Dask is told of the workers that may have a task."""
        found = self.workers.options(self.plan, task.cut.stage)
        if "workers" in found and self.workers.see(self.client, FRESH):
            self.workers.share_out(self.plan)
            found = self.workers.options(self.plan, task.cut.stage)
        return found

    def look_after(self, quiet: bool) -> Iterator[tuple[str, Receipt | BaseException]]:
        """Where workers came, went or refuse: name who died, send anew what waits for others than may have it now.

        Gives stage and refusal if all refuse that might have what is next; raises NoWorkers if nobody has come for it
        in time.
        """
        if self.crew.changes > self.missed:
            self.missed = self.crew.changes
            self.ahead = ahead_of(sum(self.client.nthreads().values()))
        if self.workers.see(self.client) or self.refusals:
            self.workers.share_out(self.plan)
        for worker in self.post.at_work() & self.crew.gone:
            self.died(worker)
        ready = [t for ts in self.open.values() for t in ts if self.open.keys().isdisjoint(t.parents)]
        stages = list(dict.fromkeys(task.cut.stage for task in ready))
        if self.refusals:
            for stage in stages:
                if refusal := self.workers.refusal(self.plan, stage):
                    yield stage, refusal
            for refusal in self.refusals:
                self.note(str(refusal))
            self.refusals.clear()
        yield from self.take_back()
        if any(self.workers.able(self.plan, stage) for stage in stages):
            self.post.since = None
        elif quiet:
            self.post.deserted(self.workers.lacking(self.plan, stages[0]))

    def take_back(self) -> Iterator[tuple[str, Receipt | BaseException]]:
        """End tasks that nobody has in work and of which Dask would be told something else now: they are sent anew."""
        idle = self.post.idle(self.workers.there.keys())
        if found := [task for task in idle if task.options != self.options(task)]:
            self.client.cancel([task.future for task in found])  # and what waits for them
        for task in found:
            del self.sent[task.key]
            self.items -= len(task.parcel)
            task.deaths += sum(worker in self.crew.gone for worker in self.post.begun.get(task.key, ()))
            yield from self.ended(task, CancelledError())

    def send(self, tasks: Sequence[Task], options: dict[str, Any]) -> None:
        """Give tasks of the same options to the cluster as one graph."""
        for task in tasks:
            task.options = options
            self.count += 1
            task.key = f"{self.run}-{task.cut.stage}-{task.cut.number}-{self.count}"
            self.sent[task.key] = task
            self.items += len(task.parcel)
        futures = self.client.map(
            run_parcel,
            [self.plan.programs[task.cut.stage] for task in tasks],
            [task.parcel for task in tasks],
            [self.place] * len(tasks),
            [task.suspect for task in tasks],
            [[name for parent in task.parents for name in self.blocks.get(parent, ())] for task in tasks],
            [self.before(task) for task in tasks],
            key=[task.key for task in tasks],
            pure=False,
            retries=0,
            priority=-tasks[0].order,
            **options,
        )
        for task, future in zip(tasks, futures, strict=True):
            task.future = future

    def before(self, task: Task) -> list[Any]:
        """What a task waits for, and the receipts of what is done that name failed items."""
        sent = [TaskRef(other.key) for name in task.parents for other in self.open.get(name, ()) if other.key]
        return sent + [receipt for name in task.parents for receipt in self.partial.get(name, ())]

    def ended(self, task: Task, result: Receipt | BaseException) -> Iterator[tuple[str, Receipt | BaseException]]:
        """What a task's end means: a receipt, a failure, or that it is sent again."""
        self.sent_by_dask(task)
        self.open[task.name].remove(task)
        if isinstance(result, Unfit):
            if self.workers.refuse(result):
                self.refusals.append(result)
            self.repeat(task, lost=False)
            return
        if isinstance(result, KilledWorker | CancelledError | Stopped):  # nobody should hear of the last
            known = task.suspect
            if isinstance(result, KilledWorker) and result.task == task.key:
                self.blame(task, result.last_worker.address)
            others = self.deaths() - task.since - task.deaths
            if not (known and len(task.parcel) == 1 and task.deaths >= min(MOST, DEADLY + others)):
                self.repeat(task, lost=task.key in self.post.begun)
                return
            result = given_up(task)
        self.post.begun.pop(task.key, None)
        if not self.open[task.name]:
            del self.open[task.name]
        if isinstance(result, Receipt):
            self.blocks.setdefault(task.name, []).extend(result.told)
            if result.failed or result.renamed:
                self.partial.setdefault(task.name, []).append(result)
            yield task.cut.stage, result
        elif task.name not in self.broken:
            self.broken.add(task.name)
            if not self.broken.intersection(task.parents):  # else it's a parent's
                yield task.cut.stage, result

    def blame(self, task: Task, worker: str) -> None:
        """Note the death of a task's worker: against the task if it was running there, or if nobody knows what was."""
        self.died(worker)
        if not self.dead[worker]:
            task.doubts += 1
        task.deaths += len(self.post.begun.get(task.key, ()))

    def died(self, worker: str) -> None:
        """Note that a worker died, once."""
        if worker not in self.dead:
            self.dead[worker] = {key for key, addresses in list(self.post.begun.items()) if worker in addresses}
            self.events.died(worker, len(self.dead[worker]))
            self.note(f"worker {worker} died; what it had is computed again")

    def deaths(self) -> int:
        """How many workers died until now, as far as one knows."""
        return len(self.crew.gone | self.dead.keys())

    def sent_by_dask(self, task: Task) -> None:
        """Note the workers that died after they had begun a task which Dask then sent again by itself: the scheduler of
        somebody else's cluster does.
        """
        for worker in self.post.begun.get(task.key, ())[:-1]:
            self.died(worker)
            self.resent += 1
            self.events.repeated(task.cut.stage, len(task.parcel))

    def repeat(self, task: Task, lost: bool) -> None:
        """Arrange that a task is sent once more: as it is, or in pieces if one of its items may be to blame.

        lost: whether a worker had begun it.
        """
        for piece in task.again(self.deaths(), lost):
            self.open[task.name].append(piece)
            self.count += 1
            heapq.heappush(self.again, (task.order, self.count, piece))
        self.post.begun.pop(task.key, None)
