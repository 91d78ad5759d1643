"""Dask's scheduler and worker without what listens beside their own port, and the settings that flowgen runs with."""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, Worker
from distributed.metrics import time

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

LATE = 1.5
"""of the time after which a worker counts as silent: a scheduler that looks so late was silent itself"""


class QuietScheduler(Scheduler):  # type: ignore[misc]
    """Dask's scheduler without its HTTP server: the default run opens no socket.

    It gives no worker up for a silence in which it was silent itself: its process was stopped with Ctrl-Z, or its
    machine slept, and what the workers said meanwhile is still to be read.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.awake = time()
        """when it last looked who is silent"""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Serve nothing."""

    async def check_worker_ttl(self) -> None:
        """Give silent workers up, as Dask does."""
        slept = time() - self.awake > LATE * self.worker_ttl
        self.awake = time()
        if not slept:
            await super().check_worker_ttl()


class QuietWorker(Worker):  # type: ignore[misc]
    """Dask's worker without its HTTP server, which says less often what it has done."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.batched_stream.interval = GATHER  # Dask's 2 ms are a message for each task

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Serve nothing."""
