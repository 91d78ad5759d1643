"""In this process: a scheduler and a worker that talk through memory; no socket is opened."""

from __future__ import annotations

import logging

from distributed import SpecCluster

from flowgen.execute.clusters.quiet import QuietScheduler, QuietWorker


def in_process() -> SpecCluster:
    """A scheduler and one worker with one thread in this process."""
    options = {"protocol": "inproc://", "nthreads": 1, "memory_limit": 0}
    return SpecCluster(
        scheduler={"cls": QuietScheduler, "options": {"protocol": "inproc://", "dashboard": False}},
        workers={0: {"cls": QuietWorker, "options": options}},
        silence_logs=logging.CRITICAL,  # what fails in a task is told by the driver
    )
