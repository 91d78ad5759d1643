"""A run that is stopped ends after the batch in hand, and keeps what it has by then."""

import os
import signal
import time

import pytest
import toys
from small import Lab

from flowgen.execute import stopping, strides
from flowgen.execute.clusters import quiet
from flowgen.execute.events import Silent
from flowgen.execute.task import open_store
from flowgen.node import node
from flowgen.results.runs import look, runs_in
from flowgen.values.random import is_abstract

LATER = 0.05
"""seconds that a call takes where it is stopped"""
seen: list[int] = []
"""items of each call"""
stop_at: list[int] = []
"""the number of calls after which Ctrl-C is pressed"""


@node("stopping.slow", stored=True)
def slow(x: toys.Number) -> toys.Number:
    """x, after a while."""
    if not is_abstract():
        seen.append(len(x.data))
        if len(seen) in stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(LATER if stop_at else 0)
    return x * 1


@pytest.fixture
def lab(tmp_path):
    seen.clear()
    stop_at.clear()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs tests in the background ignores it
    yield Lab(tmp_path, tmp_path)
    signal.signal(signal.SIGINT, before)


def stopped(lab, text, calls, batch):
    """Run until so many calls; how many items of the node 'out' the store has by then."""
    stop_at.append(calls)
    with pytest.raises(KeyboardInterrupt):
        lab.run(text, options={"batch": batch})
    stop_at.clear()
    plan, store = lab.load(text).plan(lab.store), open_store(str(lab.store))
    (course,) = (look(folder).course for folder in runs_in(lab.runs))
    assert course.state == "stopped"
    assert course.nodes["out"].done == plan.nodes["out"].known
    assert course.kept == sum(node.known for node in plan.nodes.values())
    assert store.leases.claimed([key.decode() for key in plan.keys["out"].values.ravel()]) == set()
    return plan.nodes["out"].known


FUNCTION = """\
flowgen: 1
sweep: {value: {range: 400}}
nodes:
  one: {type: toy.number, value: $value}
  out: {type: stopping.slow, x: $one}
outputs: [out]
"""


def test_a_parcel_ends_after_the_batch_in_hand(lab):
    assert max(map(len, lab.load(FUNCTION).plan(lab.store, batch=2).parcels)) == 400  # 10 s
    kept = stopped(lab, FUNCTION, 5, 2)
    assert kept == sum(seen)  # what was computed is published
    assert 10 <= kept < 100
    seen.clear()
    assert lab.run(FUNCTION).results.out.values.ravel().tolist() == list(range(400))
    assert sum(seen) == 400 - kept


LOOP = """\
flowgen: 1
sweep: {value: {range: 40}}
nodes:
  one: {type: toy.number, value: $value}
  out: {type: toy.count, start: $one, change: $same, steps: 10}
  same: {type: stopping.slow, x: $out.x}
outputs: [out]
"""


class Watching(Silent):
    """Remembers how far tasks said they were."""

    def __init__(self):
        self.shares = []

    def under_way(self, stage, number, items, share, seconds):
        assert (stage, number, seconds > 0) == ("out", 0, True)
        self.shares.append((items, share))


@pytest.mark.parametrize(("text", "items", "steps"), [("FUNCTION", 400, 400), ("LOOP", 40, 40 * 10)])
def test_a_task_says_how_far_it_is(lab, monkeypatch, text, items, steps):
    monkeypatch.setattr(strides, "EVERY", 0.0)
    monkeypatch.setattr(strides, "SHARE", 0.0)
    monkeypatch.setattr(quiet, "GATHER", 0.0)  # what comes after the task's end is told to nobody
    events = Watching()
    lab.run(globals()[text], options={"batch": 8, "events": events})
    assert events.shares == [(items, done / steps) for done in range(8, steps + 1, 8)]


def test_items_of_a_loop_come_to_their_end_if_it_is_near(lab):
    kept = stopped(lab, LOOP, 3, 4)  # of ten steps
    assert kept == 4
    assert len(seen) == 10
    seen.clear()
    assert lab.run(LOOP).results.out.values.ravel().tolist() == [v * 2.0**10 for v in range(40)]
    assert sum(seen) == 36 * 10


def test_a_loop_whose_end_is_far_ends_at_its_step_and_keeps_its_checkpoints(lab, monkeypatch):
    monkeypatch.setattr(stopping, "GRACE", 4 * LATER)
    text = LOOP.replace("steps: 10", "steps: 40, checkpoint: {every: 2}")
    kept = stopped(lab, text, 5, 4)
    assert kept == 0
    calls = len(seen)
    assert 5 <= calls < 30
    seen.clear()
    assert lab.run(text).results.out.values.ravel().tolist() == [v * 2.0**40 for v in range(40)]
    assert sum(seen) == 40 * 40 - 4 * (calls - calls % 2)
