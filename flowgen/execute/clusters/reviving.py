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


class Reviving(Lasting):
    """Dask's cluster, whose nannies start a worker again that died, but give up if it dies while it starts.

    Nannies that gave up, or were let go because their worker hung, are replaced.
    """

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
            logging.getLogger(__name__).info("a worker process couldn't be started: %s", error)

    async def revive(self) -> None:
        """Replace what is gone."""
        if self.status != Status.running:
            return
        for name, nanny in list(self.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del self.workers[name]
        if set(self.worker_spec) - set(self.workers):
            await self._correct_state()
