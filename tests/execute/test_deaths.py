"""Worker processes that die: nothing is lost or answered wrong, and an item that they die of fails alone."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
from collections import Counter

import numpy as np
import psutil
import pytest
from clusters import SETTINGS, address, other_host, scheduler, worker
from s3 import S3, environment
from small import Lab

from flowgen.execute.clusters.quiet import QUIET
from flowgen.execute.event_log import read_records
from flowgen.execute.task import open_store
from flowgen.experiment import load
from flowgen.results.runs import look

CODE = '''\
"""Numbers that take their time, and deadly ones."""
import os
import signal
import time
from pathlib import Path

import psutil
import torch

from flowgen.node import node
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


def deadly() -> set[str]:
    return set(Path(__file__).with_name("deadly.txt").read_text().split())


def unlucky(value: int) -> int:
    """How often workers are still killed, the others too, while the value is computed."""
    return sum(int(word.split("~")[1]) for word in deadly() if word.startswith(f"{value}~"))


def workers() -> list[int]:
    driver = psutil.Process().parent().parent()
    return [worker.pid for child in driver.children() for worker in child.children()]


@node("number", stored=True)
def number(value: PerItem[int], seconds: float = 0.0) -> Score:
    """The number, after some time for each."""
    if not is_abstract():
        for found in value.values:
            if str(found) in deadly():
                os.kill(os.getpid(), signal.SIGKILL)
            if f"{found}?" in deadly():
                Path(__file__).with_name("deadly.txt").write_text("")
                os.kill(os.getpid(), signal.SIGKILL)
            if f"{found}..." in deadly():
                Path(__file__).with_name("deadly.txt").write_text("")
                os.kill(os.getpid(), signal.SIGSTOP)
            if f"{found}!" in deadly():
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
            if left := unlucky(found):
                Path(__file__).with_name("deadly.txt").write_text(f"{found}~{left - 1}")
                for pid in {pid for pid in workers() if pid != os.getpid()}:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(seconds)
            with open(Path(__file__).with_name("computed.txt"), "a") as file:
                file.write(f"{found}:{os.getpid()}\\n")
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))


@node("double", stored=True)
def double(x: Score) -> Score:
    """Twice."""
    return x * 2
'''
GRAPH = """\
flowgen: 1
sweep: {value: {range: 24}}
nodes:
  one: {type: ./own.py:number, value: $value, seconds: 0.02}
  two: {type: ./own.py:double, x: $one}
  all: {type: mean, of: $two, over: [value], missing: skip}
outputs: [two, all]
"""


KILLS = int(os.environ.get("KILLS", "12"))
"""of the test with random ones; `make chaos` asks for more"""


@pytest.fixture
def lab(tmp_path, zoo_folder):
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "deadly.txt").write_text("")
    (tmp_path / "g.yaml").write_text(GRAPH)
    return Lab(tmp_path, zoo_folder)


def run(lab, **options):
    experiment = load(lab.folder / "g.yaml", imports=[lab.folder / "own.py"])
    return experiment.run(lab.store, lab.runs, **{"workers": 2, "batch": 4, **options})


@pytest.mark.slow
def test_items_that_workers_die_of_fail_alone(lab):
    (lab.folder / "deadly.txt").write_text("7! 13")
    done = run(lab)
    failed = [str(failure).partition(":")[0] for failure in done.failures]
    assert failed == ["one[value=7]", "one[value=13]", "two[value=7]", "two[value=13]"]
    for failure in done.failures[:2]:  # at the least three; each other's deaths give them more tries
        assert re.search(r"\b([3-9]|10) worker processes died while they computed it", str(failure))
    found = done.results.two.values
    assert np.isnan(found[[7, 13]]).all()
    assert np.delete(found, [7, 13]).tolist() == [2.0 * n for n in range(24) if n not in (7, 13)]
    assert float(done.results["all"]) == pytest.approx(2 * (sum(range(24)) - 20) / 22)
    assert done.tally.computed("one") == 22  # also where a worker died between publishing and saying so
    assert any("can't be used by this process any more: CUDA error" in note for note in done.tally.notes)
    about = json.loads((done.folder / "provenance.json").read_text())
    told = Counter(record["event"] for record in read_records(done.folder / "events.jsonl")[0])
    assert (about["deaths"], about["sent_again"]) == (done.tally.deaths, done.tally.repeated)
    assert (told["worker_died"], told["sent_again"]) == (done.tally.deaths, done.tally.repeated)
    assert done.tally.deaths >= 6  # three for each deadly item
    assert "workers that died" in (done.folder / "report.html").read_text()
    course = look(done.folder).course
    assert (course.done, course.total, course.failed) == (24 * 2 + 1, 24 * 2 + 1, 4)
    (lab.folder / "deadly.txt").write_text("")
    again = run(lab, workers=0)
    assert again.failures == []
    assert again.tally.computed("one") == again.tally.computed("two") == 2


def worker_processes():
    """Those of this process: forked from one that it has started for it."""
    return [worker.pid for child in psutil.Process().children() for worker in child.children()]


class Killer(threading.Thread):
    """Kills workers at random, each time after some more items were computed."""

    def __init__(self, kills, computed):
        super().__init__(daemon=True)
        self.kills, self.computed = kills, computed
        self.killed, self.stop = set(), threading.Event()

    def run(self):
        dice, until = random.Random(0), 0
        while len(self.killed) < self.kills and not self.stop.wait(0.01):
            done = self.computed.read_text().count("\n") if self.computed.exists() else 0
            if done > until and (found := worker_processes()):
                until = done + dice.randrange(4, 16)
                pid = dice.choice(found)
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)


@pytest.mark.slow
def test_random_kills_change_nothing_and_cost_what_they_interrupt(lab):
    count = KILLS * 13
    text = GRAPH.replace("range: 24", f"range: {count}").replace("seconds: 0.02", "seconds: 0.05")
    (lab.folder / "g.yaml").write_text(text)
    killer = Killer(KILLS, lab.folder / "computed.txt")
    killer.start()
    done = run(lab)
    killer.stop.set()
    assert len(killer.killed) >= KILLS // 2
    assert done.failures == []
    assert done.results.two.values.tolist() == [2.0 * n for n in range(count)]
    assert done.tally.deaths <= len(killer.killed)
    assert done.tally.computed() == 2 * count + 1
    assert done.tally.repeated <= 4 * done.tally.deaths  # one task of four items was begun, the others only waited
    by_item: dict[str, list[int]] = {}
    for line in (lab.folder / "computed.txt").read_text().split():
        value, pid = line.split(":")
        by_item.setdefault(value, []).append(int(pid))
    assert len(by_item) == count
    for pids in by_item.values():  # who computed an item that had to be computed again was killed
        assert len(set(pids) - killer.killed) <= 1
        assert len(pids) - 1 <= len(set(pids) & killer.killed)


@pytest.mark.slow
def test_an_item_that_is_only_unlucky_is_no_failure(lab):
    """Workers that had nothing to do die as often as those that compute it."""
    (lab.folder / "deadly.txt").write_text("5~5")
    done = run(lab)
    assert done.failures == []
    assert done.results.two.values.tolist() == [2.0 * n for n in range(24)]


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(lab, monkeypatch):
    monkeypatch.setitem(QUIET, "distributed.scheduler.worker-ttl", "1s")
    monkeypatch.setitem(QUIET, "distributed.deploy.lost-worker-timeout", "1s")
    (lab.folder / "deadly.txt").write_text("5...")
    done = run(lab, workers=1)
    assert done.failures == []
    assert done.results.two.values.tolist() == [2.0 * n for n in range(24)]
    assert done.tally.deaths == 1
    assert not any(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in worker_processes())


@pytest.mark.slow
def test_a_death_that_dask_makes_good_is_told(lab):
    """On a cluster of one's own, whose scheduler sends the task again by itself."""
    (lab.folder / "deadly.txt").write_text("5?")
    with scheduler(lab.folder), worker(at := address(lab.folder)), worker(at):
        done = run(lab, cluster=at, device="cpu", wait=120)
    assert done.failures == [] and done.results.two.values.tolist() == [2.0 * n for n in range(24)]
    assert (done.tally.deaths, done.tally.repeated) == (1, 1)
    told = Counter(record["event"] for record in read_records(done.folder / "events.jsonl")[0])
    assert (told["worker_died"], told["sent_again"]) == (1, 1)


IMPATIENT = SETTINGS | {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "8s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "20s",
}
"""of a cluster that soon lets go of a worker which it doesn't hear"""


class Cutting(threading.Thread):
    """Cuts a host off as soon as its worker has computed something."""

    def __init__(self, host, worker, computed):
        super().__init__(daemon=True)
        self.host, self.worker, self.computed = host, f":{worker}\n", computed
        self.stop, self.done = threading.Event(), False

    def run(self):
        while not self.done and not self.stop.wait(0.01):
            if self.computed.exists() and self.worker in self.computed.read_text():
                self.host.cut_off()
                self.done = True


RENAMED = ("unshare", "--uts", "sh", "-c", 'hostname far && exec "$0" "$@"')
"""begins a command on a machine of another name: nobody here can tell whether its processes live"""


@pytest.mark.slow
def test_a_worker_that_is_cut_off_takes_nothing_along(lab, monkeypatch):
    """Its link goes down while it computes, to the scheduler and to the store: what it has is computed once more."""
    (lab.folder / "g.yaml").write_text(GRAPH.replace("seconds: 0.02", "seconds: 0.2"))
    lab.store = "s3://bucket/store"
    with other_host(1) as host:
        if not host.link:
            pytest.skip("there is no right to make network namespaces")
        objects = S3(host.here)
        for name, value in {**environment(objects.url), "XDG_CACHE_HOME": str(lab.folder / "near")}.items():
            monkeypatch.setenv(name, value)
        elsewhere = (*host.prefix, "env", f"XDG_CACHE_HOME={lab.folder / 'far'}", *RENAMED)
        with (
            scheduler(lab.folder, host=host.here, settings=IMPATIENT),
            worker(at := address(lab.folder), settings=IMPATIENT),
            worker(at, prefix=elsewhere, settings=IMPATIENT) as far,
        ):
            cutting = Cutting(host, far.pid, lab.folder / "computed.txt")
            cutting.start()
            done = run(lab, cluster=at, insecure=True, device="cpu", wait=120)
            cutting.stop.set()
        keys = published(lab.store)
        objects.close()
    assert cutting.done
    assert done.failures == [] and done.results.two.values.tolist() == [2.0 * n for n in range(24)]
    assert (done.tally.deaths, done.tally.repeated) == (1, 1)
    assert len(keys) == len(set(keys)) == 24 + 24 + 1
    by_item: dict[str, list[str]] = {}
    for line in (lab.folder / "computed.txt").read_text().split():
        by_item.setdefault(line.split(":")[0], []).append(line.split(":")[1])
    again = [pids for pids in by_item.values() if len(pids) > 1]
    assert len(by_item) == 24
    assert 1 <= len(again) <= 4  # the task of four items that it had
    assert all(len(pids) == 2 and str(far.pid) in pids for pids in again)


def published(store: str) -> list[str]:
    """The keys of what lies in a store, as often as it does."""
    kept = open_store(store)
    return [key for block in kept.on_disk() for key in kept.manifest(block)["keys"]]
