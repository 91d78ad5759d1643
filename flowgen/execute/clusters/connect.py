"""A Dask client of whatever the user named, with workers that are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import dask
from distributed import Client, SpecCluster
from distributed.utils import silence_logging_cmgr

from flowgen.errors import UserError
from flowgen.execute.clusters.forking import forsake, preload, prepared
from flowgen.execute.clusters.gpus import gpus
from flowgen.execute.clusters.in_process import in_process
from flowgen.execute.clusters.processes import processes
from flowgen.execute.clusters.quiet import QUIET
from flowgen.execute.clusters.running import running
from flowgen.execute.clusters.where import GPUS, Where
from flowgen.execute.connection import WAIT
from flowgen.execute.stopping import uninterrupted

STARTING = 120.0
"""seconds that processes of this machine may take to start: they import a lot, and the machine may be busy"""
LEAST, LOOK = 0.1, 1.0
"""seconds between two looks whether they can be started at all: at least, as 0 is for ever to Dask, and at most"""
ALONE = "a run without --workers and --cluster starts none"


@contextmanager
def client(where: Where) -> Iterator[Client]:
    """A client, for as long as the context; what was started for it ends with it, a running cluster stays.

    Raises UserError if no worker comes in time, or the cluster can't be reached or started.
    """
    forked = bool(where.workers) and where.local and not where.cluster  # a GPU's process starts from nothing
    settings = {**QUIET, **(prepared() if forked else {}), **({} if where.local else {WAIT: where.wait})}
    with dask.config.set(settings), ExitStack() as started:
        # what Dask says of a lost connection in tracebacks, the driver says in words
        started.enter_context(silence_logging_cmgr(logging.CRITICAL))
        if where.running:
            found = started.enter_context(running(where))
        else:
            if not where.local:
                from flowgen.execute.clusters.jobs import kind_of

                # dask-jobqueue is imported here: it takes Ctrl-C over for a moment, which another thread can't
                kind_of(where)
            cluster = start_apart(where)
            started.callback(cluster.close)
            found = started.enter_context(Client(cluster))
        await_workers(found, where)
        yield found


def start_apart(where: Where) -> SpecCluster:
    """What ``start`` makes, in a thread that never hears Ctrl-C. This one hears it and leaves nothing behind."""
    with ThreadPoolExecutor(1) as pool:
        with uninterrupted():
            made = pool.submit(start, where)
        try:
            return made.result()
        except KeyboardInterrupt:
            forsake()
            with suppress(Exception):  # by now it may fail
                made.result().close()
            raise


def start(where: Where) -> SpecCluster:
    """A cluster of the run's own. Raises UserError."""
    if where.cluster == GPUS:
        return gpus(where.workers)
    if where.cluster:
        from flowgen.execute.clusters.jobs import jobs

        return jobs(where)
    if not where.workers:
        return in_process()
    preload()
    return processes(where.workers)


def await_workers(client: Client, where: Where) -> None:
    """Wait until as many workers are there as the run counts on. Raises UserError if they don't come."""
    wanted = len(client.cluster.worker_spec) if where.local else max(1, where.workers)
    patience = max(STARTING, where.wait) if where.local else where.wait
    end = time.monotonic() + patience
    while True:
        left = end - time.monotonic()
        try:
            client.wait_for_workers(wanted, timeout=max(LEAST, min(LOOK, left)))
            return
        except TimeoutError:
            if cause := getattr(client.cluster, "hopeless", ""):
                raise UserError(f"no worker process can be started: {cause}", hint=ALONE) from None
            if left <= LOOK:
                raise late(client, wanted, patience, where) from None


def late(client: Client, wanted: int, patience: float, where: Where) -> UserError:
    """Too few workers came in time."""
    there = len(client.scheduler_info(n_workers=-1)["workers"])
    said = f"{there} of {wanted} workers are there after {patience:.0f} s of waiting"
    if not where.local:
        hint = "--wait TIME waits longer; a worker's own output says why it doesn't come"
        return UserError(f"{said} for {client.scheduler.address}", hint=hint)
    cause = getattr(client.cluster, "cause", "")
    return UserError(f"{said} for processes of this machine" + (f": {cause}" if cause else ""), hint=ALONE)
