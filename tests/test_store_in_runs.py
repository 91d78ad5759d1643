"""What runs and the store have to do with each other: limits, full disks, what a run's folder lists."""

import errno
import os
import re
import signal
import threading

import pytest
import torch
import toys
from click.testing import CliRunner
from s3 import Drop
from small import Lab, on_machine
from test_crash_often import TOTAL, TOY, Count

from flowgen import load
from flowgen.cli import flowgen as command
from flowgen.execute.driver import RunFailed
from flowgen.execute.progress import Silent
from flowgen.execute.task import open_store
from flowgen.results.runs import look, runs_in
from flowgen.store import patience
from flowgen.store.collect import choose, keep_within
from flowgen.store.reach import pin, run_keys


@pytest.fixture
def lab(tmp_path):
    toys.calls.clear()
    toys.fail_after.clear()
    return Lab(tmp_path, tmp_path)


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, message):
        self.said.append(message)


def test_a_run_stands_on_all_that_it_stored(lab):
    run = lab.run(TOY)
    store = open_store(str(lab.store))
    keys = run_keys(run.folder)
    assert len(keys) == TOTAL == len(store.find(key.hex() for key in keys))
    assert choose(store, wanted=keys).going == []
    assert store.leases.held() == set()


def test_nodes_and_outputs_may_have_any_name(lab):
    text = TOY.replace("first", "file").replace("third", "allow_pickle")
    run = lab.run(text)
    assert run_keys(run.folder) == items_of(open_store(str(lab.store)))
    assert run.results.allow_pickle.values.ravel().tolist() == [n + 110.0 for n in range(6)]


COUNT = """\
flowgen: 1
sweep: {start: [1, 2, 3], by: [0.5, 1]}
nodes:
  one: {type: toy.number, value: $start}
  sum: {type: toy.count, start: $one, change: $more, steps: 8, checkpoint: {every: 2}}
  more: {type: toy.counted, x: $sum.x, by: $by}
  last: {type: toy.count, start: $sum, change: $most, steps: 6, checkpoint: {at: [0.5]}}
  most: {type: toy.scale, x: $last.x, by: $by}
outputs: [last]
"""
UNMARKED = COUNT.replace(", checkpoint: {every: 2}", "").replace(", checkpoint: {at: [0.5]}", "")
SUMS, LASTS = 6 * (1 + 3), 6 * (1 + 1)
"""items of the two loops and their states"""


def items_of(store):
    """The items of a store."""
    return {bytes.fromhex(key) for about in store.index.blocks() for key, _ in store.index.rows(about.name)}


class Breaks(Silent):
    """Breaks off when something is done, and sees what is held of the store then."""

    def __init__(self, store):
        self.store = store

    def done(self, receipt):
        if receipt.seconds:
            self.held = self.store.leases.held()
            keep_within(self.store, 0)
            raise ValueError("no")


def test_a_run_stands_on_the_states_that_its_checkpoints_store(lab):
    run, store = lab.run(COUNT), open_store(str(lab.store))
    assert run_keys(run.folder) == items_of(store)
    assert pin(store, run.folder) == SUMS + LASTS
    assert choose(store, keep=0, wanted=set()).going == []


def test_what_a_run_that_broke_off_stored_is_held_and_pinned(lab):
    store = open_store(str(lab.store))
    breaks = Breaks(store)
    with pytest.raises(ValueError, match="no"):
        lab.run(COUNT, options={"events": breaks})
    (folder,) = lab.runs.iterdir()
    there = items_of(store)
    assert len(there) >= SUMS and there <= breaks.held == run_keys(folder)
    assert pin(store, folder) == SUMS + LASTS
    keep_within(store, 0)
    assert items_of(store) == there


def test_states_that_were_never_stored_are_not_listed_when_a_run_ends(lab):
    lab.run(UNMARKED)
    run = lab.run(COUNT)
    assert run.tally.computed() == 0
    assert len(run_keys(run.folder)) == 6 * 2


def test_states_that_another_run_marked_are_held_by_one_that_starts_from_them(lab):
    toys.fail_after[:] = [6 * 5]  # the sixth step of all items
    assert lab.run(COUNT).failures
    store = open_store(str(lab.store))
    assert len(items_of(store)) == 6 * 2
    toys.fail_after.clear()
    toys.calls.clear()
    breaks = Breaks(store)
    with pytest.raises(ValueError, match="no"):
        lab.run(UNMARKED, options={"events": breaks})
    assert sum(toys.calls) == 6 * 4 and len(breaks.held) == 6 * (2 + 1)


def test_the_limit_is_kept_after_a_run(lab, monkeypatch):
    monkeypatch.setenv("FLOWGEN_STORE_LIMIT", "4 kB")
    notes = Notes()
    run = lab.run(TOY, options={"events": notes})
    assert run.results.third.values.ravel().tolist() == [n + 110.0 for n in range(6)]
    store = open_store(str(lab.store))
    left = sum(about.bytes for about in store.index.blocks())
    assert 0 < left <= 4000
    assert any("the store's limit: " in said and "are removed" in said for said in notes.said)


def test_the_limit_is_kept_after_a_run_that_failed(lab, monkeypatch):
    monkeypatch.setenv("FLOWGEN_STORE_LIMIT", "4 kB")

    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("flowgen.results.run.write_dataset", fail)
    with pytest.raises(KeyboardInterrupt):
        lab.run(TOY)
    assert 0 < sum(about.bytes for about in open_store(str(lab.store)).index.blocks()) <= 4000


@pytest.mark.parametrize(("call", "at"), [("writev", 2), ("writev", 3), ("fsync", 5), ("replace", 2)])
def test_a_full_disk_ends_a_run_with_a_message_and_keeps_what_there_is(lab, monkeypatch, call, at):
    lab.load(TOY)
    original, seen = getattr(os, call), [0]
    arguments = ["run", str(lab.folder / "g.yaml"), "--store", str(lab.store), "--runs", str(lab.runs)]

    def full(*given, **options):
        seen[0] += call != "replace" or "/blocks/" in str(given)
        if seen[0] == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        found = CliRunner().invoke(command, arguments)
    assert found.exit_code == 1
    assert "is full" in found.output and found.output.count("failed: the disk of the store") == 1
    assert "Traceback" not in found.output
    kept = len(open_store(str(lab.store)).find(map(bytes.hex, all_keys(lab))))
    assert 0 <= kept < TOTAL
    again = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert f"computed {TOTAL - kept} items" in again.output


def test_a_disk_that_stays_full_is_not_tried_for_all_that_is_left(lab, monkeypatch):
    tried = []

    def full(*given):
        tried.append(given)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_FLOPS", 1.0)
    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(RunFailed, match=r"'first' failed: the disk of the store .* is full"):
        lab.run(TOY.replace("range: 6", "range: 500"), options={"batch": 1})
    assert len(tried) < 300


@pytest.fixture
def leaves(lab, url, endpoint, monkeypatch):
    """A store that goes away when a run of the lab has put a block there, and what is done in that moment."""
    if endpoint is None:
        pytest.skip("only this server fails when it is told to")
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    lab.store = url
    sent, then = [], []

    def away(method, path):
        sent.extend([path] if method == "PUT" and "/blocks/" in path else [])
        if len(sent) > 1:
            while then:
                then.pop()()
            raise Drop

    endpoint.before = away
    return then


@pytest.fixture
def interruptible():
    """Ctrl-C as a terminal sends it: who runs tests in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def goes_on(lab, endpoint):
    """A store that is back has what was published, and a run computes the rest."""
    endpoint.before = lambda method, path: None
    kept = len(open_store(lab.store).find(map(bytes.hex, all_keys(lab))))
    assert 0 < kept < TOTAL
    assert lab.run(TOY).tally.computed() == TOTAL - kept
    return kept


def test_a_store_that_goes_away_ends_a_run_with_what_is_kept(lab, leaves, endpoint):
    lab.load(TOY)
    arguments = ["run", str(lab.folder / "g.yaml"), "--store", lab.store, "--runs", str(lab.runs)]
    found = CliRunner().invoke(command, arguments)
    assert found.exit_code == 1, found.output
    assert re.search(r"' failed: the store s3://.* didn't answer for 0 s", found.output)
    kept = goes_on(lab, endpoint)
    assert f"{kept} of {TOTAL} items are computed and kept; the same command goes on from there" in found.output


def test_a_run_that_is_stopped_while_the_store_is_away_is_a_stopped_one(lab, leaves, endpoint, interruptible):
    leaves.append(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        lab.run(TOY)
    (course,) = (look(folder).course for folder in runs_in(lab.runs))
    assert course.state == "stopped"
    goes_on(lab, endpoint)


LIMITED = '''\
"""Numbers, by workers of which the first can't write any more."""
import resource
from pathlib import Path

import torch

from flowgen.node import node
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


@node("limited", stored=True)
def limited(value: PerItem[int]) -> Score:
    """The number."""
    if not is_abstract():
        try:
            Path(__file__).with_name("first").mkdir()
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        except FileExistsError:
            pass
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))
'''
NUMBERS = """\
flowgen: 1
sweep: {value: {range: 60}}
nodes:
  one: {type: ./limited.py:limited, value: $value}
outputs: [one]
"""


@pytest.mark.slow
def test_a_worker_that_can_not_write_is_named_and_its_tasks_go_to_others(lab):
    (lab.folder / "limited.py").write_text(LIMITED)
    (lab.folder / "g.yaml").write_text(NUMBERS)
    notes = Notes()
    experiment = load(lab.folder / "g.yaml", imports=[lab.folder / "limited.py"])
    run = experiment.run(lab.store, lab.runs, workers=2, batch=5, events=notes)
    assert not run.failures and run.results.one.values.tolist() == list(range(60))
    (said,) = [said for said in notes.said if "gets no tasks" in said]
    assert re.search(r"the worker tls://[0-9.:]+ gets no tasks: .* can't be written: File too large", said)


def all_keys(lab):
    """The keys of the graph's items."""
    plan = lab.load(TOY).plan(lab.store)
    return [bytes.fromhex(key.decode()) for keys in plan.stored_keys().values() for key in keys]


@pytest.fixture(params=["folder", "s3"])
def place(request, lab):
    """Where the store lies."""
    return lab.store if request.param == "folder" else request.getfixturevalue("url")


def test_tasks_on_another_machine_and_a_third_that_has_it_all(lab, place, monkeypatch, tmp_path):
    """A driver and its workers have their own indices; what each computed the others learn from receipts."""
    driver, worker, third = (on_machine(monkeypatch, place, name, tmp_path) for name in ("driver", "worker", "third"))
    monkeypatch.setattr("flowgen.experiment.open_store", lambda store: driver)
    monkeypatch.setattr("flowgen.execute.driver.open_store", lambda store: driver)
    monkeypatch.setattr("flowgen.execute.task.open_store", lambda store: worker)
    lab.store = place
    known, sync = [], driver.sync
    monkeypatch.setattr(driver, "sync", lambda **given: (known.append(len(driver.on_disk())), sync(**given)))
    run = lab.run(TOY)
    assert known == [0]  # planned once; nothing was looked for afterwards
    assert run.results.third.values.ravel().tolist() == [n + 110.0 for n in range(6)]
    assert run.tally.computed() == TOTAL and len(driver.index.blocks()) == len(driver.on_disk())
    monkeypatch.setattr("flowgen.experiment.open_store", lambda store: third)
    again = lab.run(TOY)
    assert again.tally.computed() == 0 and again.results.equals(run.results)
    assert third.leases.held() == set()


@pytest.mark.slow
def test_worker_processes_share_object_storage(lab, url):
    lab.store = url
    run = lab.run(TOY, options={"workers": 2})
    assert run.results.third.values.ravel().tolist() == [n + 110.0 for n in range(6)]
    assert run.tally.computed() == TOTAL and run.failures == []


def test_what_another_machine_computes_meanwhile_is_waited_for(lab, place, monkeypatch, tmp_path):
    """It publishes and lets go; this machine's index learns of it from its sign of life."""
    here, far = (on_machine(monkeypatch, place, name, tmp_path) for name in ("here", "far"))
    for module in ("experiment", "execute.driver", "execute.task"):
        monkeypatch.setattr(f"flowgen.{module}.open_store", lambda store: here)
    lab.store = place
    plan = lab.load(TOY).plan(place)
    firsts = [key.decode() for key in plan.keys["first"].values.ravel()]
    claimed, said = threading.Event(), threading.Event()

    def compute():
        with far.leases.claim(firsts):
            claimed.set()
            assert said.wait(30)
            values = torch.arange(len(firsts)).double()[:, None]
            far.write(firsts, {"value": Count(values)}, {"type": "crash.number"})

    thread = threading.Thread(target=compute)
    thread.start()
    assert claimed.wait(30)
    notes = Notes()
    notes.note = lambda message: (notes.said.append(message), said.set())
    run = lab.run(TOY, options={"events": notes})
    thread.join()
    assert any("6 items of 'first' are being computed by another run" in message for message in notes.said)
    assert run.tally.computed("first") == 0 and run.tally.computed() == TOTAL - 6
    assert run.results.third.values.ravel().tolist() == [n + 110.0 for n in range(6)]
