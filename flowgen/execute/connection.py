"""The connection to Dask's scheduler: which one it is, and that it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from threading import Timer
from typing import Any

from distributed import Client
from distributed.client import ClosedClientError

LOST = (OSError, CancelledError, ClosedClientError)
"""what a lost connection looks like, among other things"""
ANSWERS = 30.0
"""seconds in which a scheduler mostly answers"""
WAIT = "flowgen.wait"
"""a setting of Dask's while a run has workers that it doesn't start itself: the seconds that it waits for them"""


class SchedulerGone(Exception):
    """The connection to Dask's scheduler is lost, and with it all that was sent."""

    def __str__(self) -> str:
        return "the connection to the cluster's scheduler is lost"


@contextmanager
def watched(client: Callable[[], Any]) -> Iterator[Client]:
    """A client; what fails because its scheduler is gone, here or in the context, is raised as SchedulerGone."""
    entered = False
    try:
        with client() as connected:
            scheduler, entered = identity(connected), True
            try:
                yield connected
            except LOST as error:
                if identity(connected) == scheduler:
                    raise
                raise SchedulerGone from error
    except LOST as error:
        if entered:
            raise
        raise SchedulerGone from error


def identity(client: Client, silent: Callable[[], None] = lambda: None) -> str | None:
    """Which scheduler a client is connected to; None if to none. ``silent`` is called if it takes long to answer."""
    said = Timer(ANSWERS, silent)
    said.start()
    try:
        return str(client.sync(client.scheduler.identity, n_workers=0)["id"])
    except (OSError, AttributeError, ClosedClientError):
        return None
    finally:
        said.cancel()
