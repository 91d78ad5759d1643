"""A cluster of local processes that stays as large as it was made."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any, Self

from distributed.core import Status
from tornado.ioloop import PeriodicCallback

from flowgen.execute.clusters.lasting import Lasting

EVERY = 500
"""milliseconds between two looks"""
FEW = 10
"""starts in a row that failed for one cause, after which the next would too"""
DIED = "Nanny failed to start worker process"
"""what Dask says of a process that ends before it can say anything"""


class Reviving(Lasting):
    """Dask's cluster, whose nannies start a worker again that died, but give up if it dies while it starts.

    Nannies that gave up, or were let go because their worker hung, are replaced.
    """

    cause = ""
    """why a worker's process couldn't be started, the last time; empty if it could"""
    failures = 0
    """how often in a row that was the cause"""

    @property
    def hopeless(self) -> str:
        """Why no worker's process can be started; empty while there is one, or hope for one."""
        return self.cause if self.failures >= FEW and not self.running else ""

    @property
    def running(self) -> bool:
        """Whether a worker's process is there."""
        return any(nanny.status == Status.running for nanny in list(self.workers.values()))

    def __await__(self) -> Generator[Any, Any, Self]:
        """Be started. Dask's own then waits for each nanny once more, in a task whose error nobody looks at, so that
        asyncio prints it where a worker died while it started.
        """
        return self.started().__await__()

    async def started(self) -> Self:
        """With all workers that could be started."""
        if self.status == Status.created:
            await self._start()
        await self.scheduler
        await self._correct_state()
        return self

    async def _start(self) -> None:
        await super()._start()
        self.periodic_callbacks["revive"] = PeriodicCallback(self.revive, EVERY)
        self.periodic_callbacks["revive"].start()

    async def _correct_state_internal(self) -> None:
        """Start what is missing; one that dies while it starts is for the next look, not an error."""
        try:
            await super()._correct_state_internal()
        except RuntimeError as error:
            why = words(error)
            self.failures = self.failures + 1 if why == self.cause else 1
            self.cause = why
            logging.getLogger(__name__).info("a worker process couldn't be started: %s", why)
        else:
            if self.running:
                self.cause, self.failures = "", 0

    async def revive(self) -> None:
        """Replace what is gone."""
        if self.status != Status.running:
            return
        for name, nanny in list(self.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del self.workers[name]
        if set(self.worker_spec) - set(self.workers):
            await self._correct_state()


def words(error: BaseException) -> str:
    """What was at the beginning of an error that led to others."""
    while first := error.__cause__ or error.__context__:
        error = first
    said = str(error).strip().partition("\n")[0]
    return "it ends while it starts" if said == DIED else said or type(error).__name__
