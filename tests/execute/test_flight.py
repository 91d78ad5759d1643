"""How much is sent ahead of the workers, which come and go."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from clusters import HOST
from distributed import Client, LocalCluster
from small import Lab

from flowgen.execute import ahead, post
from flowgen.execute.ahead import ahead_of
from flowgen.execute.clusters.preflight import admitted
from flowgen.execute.crew import crew
from flowgen.execute.driver import Flight, Tally, run_once
from flowgen.execute.progress import Silent
from flowgen.execute.task import Place
from flowgen.experiment import load

CODE = '''\
"""Numbers that can be held up."""
import time
from pathlib import Path

import torch

from flowgen.node import node
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


@node("number", stored=True)
def number(value: PerItem[int]) -> Score:
    """The number, as soon as nothing holds it up."""
    while not is_abstract() and Path(__file__).with_name("hold").exists():
        time.sleep(0.01)
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))
'''
GRAPH = """\
flowgen: 1
sweep: {value: {range: 40}}
nodes:
  one: {type: ./own.py:number, value: $value}
outputs: [one]
"""


def until(condition):
    for _ in range(1200):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("threads", "least", "most", "together"), [(0, 0, 128, 16), (1, 4, 128, 16), (64, 256, 256, 1)]
)
def test_bounds_of_what_is_sent(threads, least, most, together):
    assert ahead_of(threads) == (ahead.AHEAD, least, most, together)


def test_workers_that_come_later_are_sent_tasks_for_their_threads(tmp_path, zoo_folder, monkeypatch):
    monkeypatch.setattr(post, "LOOK", 0.5)
    monkeypatch.setattr(ahead, "AHEAD", 1)
    lab, tally = Lab(tmp_path, zoo_folder), Tally()
    for name, text in (("own.py", CODE), ("g.yaml", GRAPH), ("hold", "")):
        (tmp_path / name).write_text(text)
    plan = load(tmp_path / "g.yaml", imports=[tmp_path / "own.py"]).plan(lab.store, workers=10, batch=1)
    options = {"processes": False, "host": HOST, "protocol": "tcp://", "dashboard_address": None}
    with ExitStack() as started:
        cluster = started.enter_context(LocalCluster(n_workers=1, threads_per_worker=1, **options))
        connected = started.enter_context(Client(cluster))
        asking, workers = started.enter_context(admitted(connected, plan, Place(str(lab.store), "cpu")))
        known = started.enter_context(crew(connected, Silent()))
        flight = Flight(plan, connected, asking, workers, print, Silent(), known)
        pool = started.enter_context(ThreadPoolExecutor(1))
        running = pool.submit(run_once, flight, Silent(), tally)
        try:
            assert until(lambda: len(flight.sent) == 4)
            cluster.scale(3)
            assert until(lambda: len(flight.sent) == 12)
        finally:
            (tmp_path / "hold").unlink()
            assert running.result() == []
    assert tally.computed() == 40
