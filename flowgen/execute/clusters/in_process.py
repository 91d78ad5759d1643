"""In this process: a scheduler and a worker that talk through memory; no socket is opened."""

from __future__ import annotations

import logging

import dask
from distributed import SpecCluster

from flowgen.execute.clusters.quiet import QuietScheduler, QuietWorker


def in_process() -> SpecCluster:
    """A scheduler and one worker with one thread in this process.

    The worker is never given up for its silence: it is silent when all of the process is, which was stopped with
    Ctrl-Z, or whose machine slept, and goes on.
    """
    options = {"protocol": "inproc://", "nthreads": 1, "memory_limit": 0}
    with dask.config.set({"distributed.scheduler.worker-ttl": None}):
        return SpecCluster(
            scheduler={"cls": QuietScheduler, "options": {"protocol": "inproc://", "dashboard": False}},
            workers={0: {"cls": QuietWorker, "options": options}},
            silence_logs=logging.CRITICAL,  # what fails in a task is told by the driver
        )
