"""How a task learns that its run was stopped, and what it still does then."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from distributed import get_worker

from flowgen.execute.pythons import set_safe

GRACE = 2.5
"""seconds for which items of a loop that are on their way go on; after 4 Dask kills a process that it asked to end"""

PAUSE = 0.05
"""seconds between two looks: a step of a small network takes less"""


class Stopped(Exception):
    """Nobody waits for the task any more."""


class Stop:
    """Whether a task should end. One for each task; asked between batches and between the steps of a loop."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.looked = 0.0
        """when somebody was last asked, monotonic"""

    def asked(self) -> bool:
        """Whether it begins no more batches."""
        now = time.monotonic()
        if self.since is None and now - self.looked > PAUSE:
            self.looked = now
            self.since = None if wanted() else now
        return self.since is not None

    def over(self) -> bool:
        """Whether it goes on with no item that isn't at its end."""
        return self.asked() and time.monotonic() - (self.since or 0.0) > GRACE


def wanted() -> bool:
    """Whether anybody waits for the task of this thread: a client that goes lets its tasks go, on every worker."""
    try:
        worker = get_worker()
    except ValueError:  # called without a cluster
        return True
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state != "cancelled"


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Threads and processes that are started within never hear Ctrl-C, which a terminal sends to all of them.

    This thread hears it afterwards.
    """
    set_safe()
    resource_tracker.ensure_running()  # whoever starts it hears Ctrl-C again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
