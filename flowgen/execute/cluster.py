"""Where tasks run: in this process without a socket, or in processes of this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster, Worker

from flowgen.execute.forking import preload, prepared
from flowgen.execute.reviving import Reviving

QUIET = {
    "distributed.scheduler.worker-saturation": float("inf"),
    "distributed.admin.log-format": "%(message)s",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.profile.enabled": False,  # looks at every thread's stack a hundred times a second
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.worker-ttl": "60s",  # a process that hangs is let go after that
}


class QuietScheduler(Scheduler):  # type: ignore[misc]
    """Dask's scheduler without its HTTP server: the default run opens no socket."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Serve nothing."""


class QuietWorker(Worker):  # type: ignore[misc]
    """Dask's worker without its HTTP server."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Serve nothing."""


def in_process() -> SpecCluster:
    """A scheduler and one worker with one thread in this process."""
    options = {"protocol": "inproc://", "nthreads": 1, "memory_limit": 0}
    return SpecCluster(
        scheduler={"cls": QuietScheduler, "options": {"protocol": "inproc://", "dashboard": False}},
        workers={0: {"cls": QuietWorker, "options": options}},
        silence_logs=logging.CRITICAL,  # what fails in a task is told by the driver
    )


def processes(count: int) -> Reviving:
    """Worker processes on this machine, reached over loopback, with the cores divided among them."""
    threads = str(threads_of(count))
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    options = {
        "host": "127.0.0.1",
        "nthreads": 1,
        "memory_limit": 0,
        "worker_class": QuietWorker,
        "env": environment,
        "silence_logs": logging.CRITICAL,
    }
    return Reviving(
        scheduler={
            "cls": QuietScheduler,
            "options": {
                "host": "127.0.0.1",
                "protocol": "tcp://",
                "port": 0,
                "dashboard": False,
                "allowed_failures": 0,  # deaths are counted, and tasks sent again, in flight.py
            },
        },
        workers={n: {"cls": Nanny, "options": options} for n in range(count)},
        silence_logs=logging.CRITICAL,
    )


def threads_of(count: int) -> int:
    """Cores for each of some processes: two thread pools on the same cores stall each other."""
    return max(1, (os.cpu_count() or 1) // count)


@contextmanager
def client(workers: int) -> Iterator[Client]:
    """A client of a cluster that lives as long as the context: in process for 0 workers."""
    with dask.config.set({**QUIET, **prepared()}):
        if workers:
            preload()
        cluster = processes(workers) if workers else in_process()
        try:
            with Client(cluster) as found:
                if workers:
                    found.wait_for_workers(workers, timeout=120)
                yield found
        finally:
            cluster.close()
