"""Dask's scheduler and worker without what listens beside their own port, and the settings that flowgen runs with."""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, Worker
from distributed.metrics import time
from tornado.ioloop import PeriodicCallback

QUIET = {
    "distributed.scheduler.worker-saturation": float("inf"),
    "distributed.scheduler.rootish-taskgroup": 0,  # else several in a row go to one worker while others are idle
    "distributed.admin.log-format": "%(message)s",
    "distributed.admin.large-graph-warning-threshold": "1 GB",  # several parcels go at once, and nobody can help it
    "distributed.admin.low-level-log-length": 1,  # a thousand messages of tasks would hold as many parcels
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.profile.enabled": False,  # looks at every thread's stack a hundred times a second
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",  # each worker, and each nanny in the driver, reads /proc for it
    "distributed.admin.system-monitor.disk": False,
    "distributed.scheduler.worker-ttl": "60s",  # a process that hangs is let go after that
}

GATHER = 0.02
"""seconds in which what a worker says goes together if it has just said something; what comes alone goes at once"""

GAP = 10.0
"""seconds without a look at the time after which a scheduler was silent itself"""


class QuietScheduler(Scheduler):  # type: ignore[misc]
    """Dask's scheduler without its HTTP server: the default run opens no socket.

    A silence in which it was silent itself counts against no worker: its process was stopped with Ctrl-Z, or its
    machine slept, and what the workers said meanwhile is still to be read.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.awake = time()
        """when it last looked"""
        self.periodic_callbacks["awake"] = PeriodicCallback(self.look, 1000)

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Serve nothing."""

    def look(self) -> None:
        """Look at the time; after a silence all workers count as heard now."""
        now = time()
        if now - self.awake > GAP:
            for worker in self.workers.values():
                worker.last_seen = now
        self.awake = now

    async def check_worker_ttl(self) -> None:
        """Give silent workers up, as Dask does."""
        self.look()
        await super().check_worker_ttl()


class QuietWorker(Worker):  # type: ignore[misc]
    """Dask's worker without its HTTP server, which says less often what it has done."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.batched_stream.interval = GATHER  # Dask's 2 ms are a message for each task

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Serve nothing."""
