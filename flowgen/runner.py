"""One run, from its folder to its report: what is planned is computed, kept from collection meanwhile, and written."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowgen.errors import UserError
from flowgen.execute.clusters import Where, client
from flowgen.execute.clusters.gpus import no_gpus
from flowgen.execute.clusters.where import GPUS
from flowgen.execute.device import card, device_of
from flowgen.execute.driver import Tally, execute
from flowgen.execute.event_log import NAME, EventLog
from flowgen.execute.events import Both, Events
from flowgen.execute.memory import give_back
from flowgen.execute.task import Place
from flowgen.plan.expect import measured
from flowgen.plan.plan import Plan
from flowgen.plan.recipes import recipe
from flowgen.store import Lost, Store, briefly, uses
from flowgen.store.collect import keep_within
from flowgen.store.history import History
from flowgen.store.limits import remember
from flowgen.store.quantities import shown
from flowgen.store.timings import Timings

if TYPE_CHECKING:
    import xarray

    from flowgen.results.failures import Failure

AUTO = "--device auto is a GPU on a machine that has one"


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run."""

    folder: Path
    """holds results.zarr, images, report.html, provenance.json, events.jsonl and the graph"""
    plan: Plan
    """as it was before the run"""
    tally: Tally
    """what was computed"""

    def __repr__(self) -> str:
        failed = f", {len(self.tally.failed)} failed" if self.tally.failed else ""
        return f"<Run {self.folder}: {self.tally.computed()} items computed{failed}>"

    @property
    def failures(self) -> list[Failure]:
        """Items that have no result, with their point in the sweep and their cause; the next run tries them again."""
        from flowgen.results.failures import failures

        return failures(self.plan, self.tally)

    @property
    def results(self) -> xarray.Dataset:
        """The outputs over the axes of the sweep; arrays are read when they are used."""
        from flowgen.results.finished import results

        return results(self.folder)


def run(
    make_plan: Callable[[], Plan],
    graph: str,
    where: Where,
    place: Place,
    events: Events,
    store: Store,
    runs: Path,
    limit: int | None,
) -> Run:
    """Compute what a plan lacks and write a run's folder under ``runs``; ``limit``: bytes that the store may take then.

    Raises UserError, RunFailed.
    """
    from flowgen.results.run import new_folder, write_run  # half a second that a check doesn't need
    from flowgen.results.standing import Standing

    ready(runs)
    folder = new_folder(runs, Path(graph).stem)
    log = EventLog(folder)
    log.begin(graph=graph, store=place.store, device=place.device, processes=where.workers)
    standing = Standing(folder, store)
    events = Both(log, Both(standing, events))
    with log.until_the_end(), there(folder), within(store, limit, events), standing:
        events.begun(folder)

        def held() -> Plan:
            made = make_plan()
            standing.on(made)
            give_back()  # a plan is a small part of what making it takes
            return made

        def again(lost: list[Lost]) -> None:
            for error in lost:
                events.note(str(error))
                tally.notes.append(str(error))
            tally.forgive()
            tally.add(execute(held, partial(client, where), place, events)[1])

        first, tally = execute(held, partial(client, where), place, events)
        Timings(store.medium).learn(measured(first, tally.receipts, place_of(place.device, where)))
        remember(store.medium, tally.limits)
        (folder / NAME).stat()  # one that is gone isn't made anew
        write_run(folder, first, tally, store, again, events.writing)
        standing.settle(first, tally)
        standing.close()
        when = time.strftime("%Y-%m-%d %H:%M")
        History(store.medium).keep(recipe(first, folder.name, when, tally.failed, tally.renamed))
        uses.tell(store)
    return Run(folder, first, tally)


@contextmanager
def there(folder: Path) -> Iterator[None]:
    """Within, a folder that somebody removes is a UserError."""
    try:
        yield
    except FileNotFoundError as error:
        if (folder / NAME).exists():
            raise
        raise UserError(
            f"the run's folder {folder} is gone: somebody removed it",
            hint="what was computed is kept in the store; the same command goes on from there",
        ) from error


@contextmanager
def within(store: Store, limit: int | None, events: Events) -> Iterator[None]:
    """Keep the store within a limit when the context ends; if by an error, that is raised whatever comes of it."""
    try:
        yield
    except BaseException:
        with briefly(), suppress(Exception):
            trim(store, limit, events)
        raise
    trim(store, limit, events)


def trim(store: Store, limit: int | None, events: Events) -> None:
    """Remove what a store holds above a limit, if there is one."""
    if limit is None:
        return
    gone = keep_within(store, limit)
    if gone.going:
        events.note(f"the store's limit: {gone.items} items, {shown(gone.bytes)}, least recently used, are removed")


def ready(runs: Path) -> None:
    """Make sure that a run's folder can be made before anything is computed. Raises UserError."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        if not os.access(runs, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"can't make runs in {runs}: {error.strerror}", hint="give another place with --runs") from None


def device_for(name: str, where: Where) -> str:
    """A device of this machine, or for a cluster elsewhere the name that its workers understand. Raises UserError."""
    found = device_of(name) if where.local else name
    if where.cluster == GPUS and found != "cuda" and name == "auto":
        raise no_gpus(0)
    if where.cluster == GPUS and found != "cuda":
        raise UserError(f"'--cluster gpus' gives each process a GPU, and you ask for '{found}'", hint=AUTO)
    return found


def memory_for(device: str, where: Where) -> tuple[int, str]:
    """Bytes that a batch may take, a quarter of what a process has, and what they are a part of. Raises UserError."""
    count, found = where.side_by_side, device_for(device, where)
    if where.cluster == GPUS:
        name, total = min((card(f"cuda:{n}") for n in range(count)), key=lambda each: each[1])
        return total // 4, f"a quarter of the memory of {name}"
    shared = f", shared by {count} processes" if count > 1 else ""
    if where.local and found.startswith("cuda"):
        name, total = card(found)
        return total // (4 * count), f"a quarter of the memory of {name}{shared}"
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if where.local:
        return total // (4 * count), f"a quarter of this machine's memory{shared}"
    said = f"a quarter of this machine's memory, divided by {count}: the workers' own isn't known before they are asked"
    return total // (4 * count), said


def place_of(device: str, where: Where) -> str:
    """What decides how long a task takes beside its work."""
    cluster = f", {where.cluster.replace('|', ' ')}" if where.cluster else ""
    return device_for(device, where) + (f", {where.workers} workers" if where.workers else "") + cluster
