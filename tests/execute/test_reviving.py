"""A cluster of local processes of which some, or all, can't be started."""

import asyncio
import gc
import re
from multiprocessing import process, util
from multiprocessing.connection import Listener

import dask
import pytest
from distributed import Client
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from flowgen.errors import UserError
from flowgen.execute.clusters import processes, reviving
from flowgen.execute.clusters.connect import await_workers
from flowgen.execute.clusters.quiet import QUIET
from flowgen.execute.clusters.sockets import make_room
from flowgen.execute.clusters.where import Where
from flowgen.execute.events import Silent
from flowgen.execute.post import NoWorkers, Post

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


class Refused(Dying):
    """One of which only the first ever starts, if it is said that one does."""

    lucky = 0

    async def start(self):
        self.status = Status.running if MADE.index(self) < self.lucky else Status.failed
        if self.status == Status.failed:
            try:
                try:
                    raise OSError("no room for that")
                finally:
                    assert self.status == Status.running, "as Dask has it"
            except AssertionError as error:
                raise RuntimeError("Nanny failed to start.") from error


@pytest.mark.parametrize("lucky", [0, 1])
def test_where_none_can_be_started_the_cause_is_said_at_once(monkeypatch, lucky):
    MADE.clear()
    monkeypatch.setattr(Refused, "lucky", lucky)
    monkeypatch.setattr(processes, "Nanny", Refused)
    monkeypatch.setattr(reviving, "EVERY", 10)
    monkeypatch.setattr(reviving, "FEW", 3)
    with dask.config.set(QUIET), processes.on_loopback([{}] * (1 + lucky)) as cluster, Client(cluster) as connected:

        async def tried():
            while cluster.failures < 5:
                await asyncio.sleep(0.01)

        connected.sync(tried)
        assert cluster.cause == "no room for that"
        if lucky:
            assert cluster.hopeless == ""
            return
        with pytest.raises(UserError, match=r"^no worker process can be started: no room for that"):
            await_workers(connected, Where(workers=1))
        with pytest.raises(NoWorkers, match="no worker process can be started any more: no room for that"):
            Post(connected, {}, Silent()).deserted("worker")


def test_workers_that_do_not_come_are_told_with_what_is_known(monkeypatch):
    MADE.clear()
    monkeypatch.setattr(processes, "Nanny", Refused)
    monkeypatch.setattr("flowgen.execute.clusters.connect.STARTING", 0.1)
    with dask.config.set(QUIET), processes.on_loopback([{}]) as cluster, Client(cluster) as connected:
        said = "0 of 1 workers are there after 0 s of waiting for processes of this machine: no room for that"
        with pytest.raises(UserError, match=re.escape(said)) as caught:
            await_workers(connected, Where(workers=1, wait=0.1))
        assert "--wait" not in caught.value.hint


def test_a_deep_folder_for_temporary_files_leaves_room_for_sockets(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 60) / ("d" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setitem(process.current_process()._config, "tempdir", str(deep))
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        Listener(family="AF_UNIX")
    make_room(("/nowhere", str(deep)))
    make_room((str(tmp_path / "gone"), "/tmp"))
    Listener(family="AF_UNIX").close()
    short = util.get_temp_dir()
    make_room(())
    assert util.get_temp_dir() == short
