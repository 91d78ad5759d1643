"""Who works on a run: the number of workers and the dashboard's address, against Dask's own word."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.request import urlopen

import dask
import pytest
from clusters import HOST
from distributed import Client, LocalCluster, Scheduler, SpecCluster
from small import Lab
from test_crash_often import TOY

from flowgen.execute.clusters import Where, client
from flowgen.execute.clusters.quiet import QUIET
from flowgen.execute.crew import crew, dashboard
from flowgen.execute.events import Silent


class Heard(Silent):
    def __init__(self):
        self.said = []

    def workers(self, count, dashboard):
        self.said.append((count, dashboard))

    def stopping(self):
        self.said.append("stopping")


@contextmanager
def client_of(count):
    """A client of a cluster with a dashboard."""
    options = {"processes": False, "host": HOST, "protocol": "tcp://", "dashboard_address": f"{HOST}:0"}
    with LocalCluster(n_workers=count, **options) as cluster, Client(cluster) as connected:
        yield connected


def until(condition):
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_workers_that_come_and_go_and_the_dashboard():
    heard = Heard()
    with client_of(1) as connected, crew(connected, heard):
        count, link = heard.said[0]
        assert count == 1
        port = connected.scheduler_info()["services"]["dashboard"]
        assert link == f"http://127.0.0.1:{port}/status"
        with urlopen(link.replace("/status", "/health"), timeout=30) as answer:
            assert answer.read() == b"ok"
        connected.cluster.scale(2)
        assert until(lambda: heard.said[-1] == (2, link))
        connected.cluster.scale(1)
        assert until(lambda: heard.said[-1] == (1, link))


def test_a_scheduler_without_dashboard_names_none():
    options = {"host": HOST, "port": 0, "dashboard": False, "dashboard_address": f"{HOST}:0"}
    name = "distributed.scheduler.http.routes"  # Dask adds a page to this list where it has a dashboard and no bokeh
    routes = [route for route in dask.config.get(name) if "missing_bokeh" not in route]
    with dask.config.set({name: routes}), SpecCluster(scheduler={"cls": Scheduler, "options": options}) as cluster:
        assert cluster.dashboard_link  # the port of its other pages
        with Client(cluster) as connected:
            assert dashboard(connected) == ""


def test_the_wish_to_stop_is_told():
    heard = Heard()
    with client_of(0) as connected, pytest.raises(KeyboardInterrupt), crew(connected, heard):
        raise KeyboardInterrupt
    assert heard.said[-1] == "stopping"


def test_the_default_cluster_has_one_worker_and_no_dashboard(tmp_path):
    heard = Heard()
    Lab(tmp_path, tmp_path).run(TOY, options={"events": heard})
    assert heard.said == [(1, "")]


def test_the_only_worker_is_kept_however_long_it_was_silent(monkeypatch):
    """As after Ctrl-Z, or when the machine slept."""
    monkeypatch.setitem(QUIET, "distributed.scheduler.worker-ttl", "100ms")
    with client(Where()) as connected:
        ((address, worker),) = connected.cluster.workers.items()
        assert address == 0
        worker.periodic_callbacks["heartbeat"].stop()
        connected.cluster.scheduler.workers[worker.address].last_seen -= 3600
        time.sleep(0.5)
        assert list(connected.nthreads()) == [worker.address]


SLEEPER = """\
import sys
import time

from flowgen.execute.clusters import Where, client, quiet

quiet.QUIET["distributed.scheduler.worker-ttl"] = "8s"
quiet.GAP = 3
if __name__ == "__main__":
    with client(Where(workers=1)) as connected:
        there = list(connected.nthreads())
        print("there", flush=True)
        sys.stdin.readline()
        time.sleep(10)
        print("kept" if list(connected.nthreads()) == there else "lost", flush=True)
"""


@pytest.mark.slow
def test_workers_are_kept_that_were_silent_while_their_scheduler_was(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, tmp_path / "sleeper.py"], **pipes) as sleeper:
        assert sleeper.stdout.readline() == "there\n"
        os.kill(sleeper.pid, signal.SIGSTOP)
        time.sleep(9)  # between two of the scheduler's looks at who is silent, as it happens
        os.kill(sleeper.pid, signal.SIGCONT)
        assert sleeper.communicate("\n", timeout=60)[0] == "kept\n"


def test_a_worker_that_starts_in_place_of_one_that_died_is_left_alone():
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}), client(Where(workers=1)) as connected:
        (before,) = connected.nthreads()
        (nanny,) = connected.cluster.workers.values()
        os.kill(nanny.pid, signal.SIGKILL)
        assert until(lambda: connected.nthreads() and before not in connected.nthreads())
        assert list(connected.cluster.workers.values()) == [nanny]
