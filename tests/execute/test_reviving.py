"""A cluster of local processes of which one dies while it starts."""

import asyncio
import gc

import dask
from distributed import Client
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from flowgen.execute.clusters import processes
from flowgen.execute.clusters.quiet import QUIET

MADE = []


class Dying(ProcessInterface):
    """A worker's process of which the first fails whenever it is awaited, as Dask's nanny does if it is killed then."""

    def __init__(self, scheduler, **options):
        super().__init__(scheduler=scheduler, name=options["name"])
        MADE.append(self)

    async def start(self):
        if self is MADE[0]:
            raise RuntimeError("Nanny failed to start.")
        self.status = Status.running

    def __await__(self):
        async def started():
            await self.start()
            return self

        return started().__await__()


def test_one_that_dies_while_it_starts_is_started_again_and_nothing_is_printed(monkeypatch, caplog):
    gc.collect()
    caplog.clear()  # of what earlier tests left
    monkeypatch.setattr(processes, "Nanny", Dying)
    with dask.config.set(QUIET), processes.on_loopback([{}]) as cluster:
        with Client(cluster) as connected:
            MADE[0].status = Status.failed

            async def again():
                while len(MADE) < 2:
                    await asyncio.sleep(0.05)

            connected.sync(again)
        gc.collect()  # now asyncio would tell of an error that nobody looked at
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
