"""Clusters where some workers declare a GPU and some don't, while something fails."""

from __future__ import annotations

import os
import re
import resource
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from clusters import SETTINGS, address, scheduler, worker
from small import Lab

from flowgen.execute import post
from flowgen.execute.clusters import Where, client
from flowgen.execute.clusters.preflight import admitted
from flowgen.execute.crew import crew
from flowgen.execute.driver import Flight, RunFailed, Tally, run_once
from flowgen.execute.placement import GPU
from flowgen.execute.progress import Silent
from flowgen.execute.task import Place
from flowgen.experiment import load

ROOT = Path(__file__).parents[2]
CODE = '''\
"""Numbers that take their time, with a model and without."""
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import torch

from flowgen.node import Uses, node
from flowgen.values import Model, PerItem, Score
from flowgen.values.random import is_abstract


def told(name: str, value: PerItem[int], seconds: float) -> Score:
    if not is_abstract():
        time.sleep(seconds)
        Path(__file__).with_name("begun").joinpath(str(os.getpid())).mkdir(exist_ok=True)
        while Path(__file__).with_name("hold").exists():
            time.sleep(0.01)
        for found in value.values:  # an empty folder can be made where nothing can be written
            Path(__file__).with_name("computed").joinpath(f"{name}:{found}:{os.getpid()}").mkdir(exist_ok=True)
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))


@node("heavy", stored=True)
def heavy(value: PerItem[int], model: Annotated[Model, Uses("features")], seconds: float = 0.1) -> Score:
    """The number, on a GPU where there is one."""
    return told("heavy", value, seconds)


@node("light", stored=True)
def light(value: PerItem[int], seconds: float = 0.1) -> Score:
    """The number, anywhere."""
    return told("light", value, seconds)
'''
GRAPH = """\
flowgen: 1
sweep: {value: {range: 24}}
nodes:
  eye: {type: model, from: ZOO/digits-classifier}
  one: {type: ./own.py:heavy, value: $value, model: $eye}
  two: {type: ./own.py:light, value: $value}
outputs: [one, two]
"""
CARD = ("--resources", f"{GPU}=1")


class Notes(Silent):
    """What the user is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.there = 0

    def note(self, message: str) -> None:
        self.said.append(message)

    def workers(self, count: int, dashboard: str) -> None:
        self.there = count


@pytest.fixture
def lab(tmp_path, zoo_folder, monkeypatch):
    monkeypatch.setattr(post, "LOOK", 1.0)
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "g.yaml").write_text(GRAPH)
    (tmp_path / "begun").mkdir()
    (tmp_path / "computed").mkdir()
    return Lab(tmp_path, zoo_folder)


def run(lab, at, notes, story, **options):
    """Run the graph, and beside it what happens meanwhile."""
    experiment = load(lab.folder / "g.yaml", imports=[lab.folder / "own.py"])
    options = {"workers": 2, "batch": 1, "device": "cpu", "wait": 120, "events": notes, **options}
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(story)
        try:
            return experiment.run(lab.store, lab.runs, cluster=at, **options)
        finally:
            told.result()


def until(seen: Callable[[], object]) -> None:
    """Wait until something is seen."""
    end = time.monotonic() + 300
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


def computed(lab, name: str = "") -> list[int]:
    """The process that computed it, for each item, of one node or of all."""
    found = [path.name.split(":") for path in (lab.folder / "computed").iterdir()]
    return [int(process) for node, _, process in found if name in ("", node)]


def refuse_to_write(process, most: int = 0) -> None:
    """From now on a worker can write no file of more bytes."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_the_only_worker_with_a_gpu_refuses(lab):
    notes = Notes()
    with scheduler(lab.folder), worker(at := address(lab.folder), *CARD) as card, worker(at):

        def story():
            until(lambda: computed(lab, "heavy"))
            refuse_to_write(card)

        with pytest.raises(RunFailed) as caught:
            run(lab, at, notes, story)
    assert re.search(r"the worker tcp://[0-9.:]+ gets no tasks: .* can't be written: File too large", str(caught.value))
    assert not notes.said


@pytest.mark.slow
def test_the_last_worker_with_a_gpu_dies(lab, monkeypatch):
    monkeypatch.setattr(post, "DESERTED", 6.0)
    notes = Notes()
    with scheduler(lab.folder), worker(at := address(lab.folder), *CARD) as card, worker(at):

        def story():
            until(lambda: computed(lab, "heavy"))
            card.kill()

        with pytest.raises(RunFailed, match="the cluster has had no worker that declares a GPU for 10 s"):
            run(lab, at, notes, story, wait=10)
    died, waits = notes.said
    assert re.fullmatch(r"worker tcp://[0-9.:]+ died; what it had is computed again", died)
    assert waits == "the cluster has no worker that declares a GPU; the run waits 10 s for one"
    assert set(computed(lab, "heavy")) == {card.pid}


@pytest.mark.slow
def test_a_worker_with_a_gpu_comes_back(lab):
    with scheduler(lab.folder), worker(at := address(lab.folder), *CARD) as card, worker(at), ExitStack() as later:

        def story():
            until(lambda: computed(lab, "heavy"))
            card.kill()
            story.card = later.enter_context(worker(at, *CARD))

        done = run(lab, at, Notes(), story)
    assert not done.failures
    assert done.tally.deaths == 1
    assert set(computed(lab, "heavy")) == {card.pid, story.card.pid}


@pytest.mark.slow
def test_what_only_one_worker_has_the_models_for_goes_to_others_with_a_gpu_when_it_dies(lab):
    experiment, notes, tally = load(lab.folder / "g.yaml", imports=[lab.folder / "own.py"]), Notes(), Tally()
    with scheduler(lab.folder), ExitStack() as started:
        where = Where(cluster=address(lab.folder), workers=3, wait=120)
        cards = [started.enter_context(worker(where.cluster, *options)) for options in (CARD, CARD, ())][:2]
        plan, place = experiment.plan(lab.store, workers=3, batch=1), Place(str(lab.store), "cpu")
        connected = started.enter_context(client(where))
        asking, workers = started.enter_context(admitted(connected, plan, place))
        workers.homes["one"] = [at for at, process in connected.run(os.getpid).items() if process == cards[0].pid]
        known = started.enter_context(crew(connected, notes))

        def story():
            until(lambda: computed(lab, "heavy"))
            cards[0].kill()

        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(story)
            assert run_once(Flight(plan, connected, asking, workers, notes.note, notes, known), notes, tally) == []
            told.result()
    assert tally.computed() == plan.compute
    assert set(computed(lab, "heavy")) == {card.pid for card in cards}


@pytest.mark.slow
def test_a_run_waits_for_a_good_worker_where_one_that_does_not_fit_is_left(lab):
    code = lab.folder / "code"
    shutil.copytree(ROOT / "flowgen", code / "flowgen", ignore=shutil.ignore_patterns("__pycache__"))
    with (code / "flowgen" / "errors.py").open("a") as file:
        file.write("# another\n")
    notes = Notes()
    with scheduler(lab.folder), worker(at := address(lab.folder)) as good, ExitStack() as later:

        def story(good=good):
            until(lambda: computed(lab))
            (lab.folder / "hold").touch()
            later.enter_context(worker(at, python_path=f"{code}:"))
            until(lambda: notes.there == 2)
            good.kill()
            until(lambda: any(said.startswith("the cluster has no worker that fits; ") for said in notes.said))
            for again in (True, False):
                good = later.enter_context(worker(at))
                until((lab.folder / "begun" / str(good.pid)).exists)
                if again:
                    good.kill()
            (lab.folder / "hold").unlink()

        done = run(lab, at, notes, story, workers=1)
    assert not done.failures
    assert sum("the code of flowgen is" in said for said in notes.said) == 1


@pytest.mark.slow
def test_a_worker_that_refuses_steals_no_tasks(lab):
    notes = Notes()
    stealing = SETTINGS | {"DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "True"}
    with scheduler(lab.folder, settings=stealing), ExitStack() as workers:
        bad, _ = (workers.enter_context(worker(address(lab.folder))) for _ in range(2))

        def story():
            until(lambda: bad.pid in computed(lab))
            refuse_to_write(bad, most=1500)  # it can claim items, but not publish them
            until(lambda: notes.said)
            story.before = computed(lab).count(bad.pid)

        done = run(lab, address(lab.folder), notes, story)
    assert not done.failures
    assert ["gets no tasks" in said for said in notes.said] == [True]
    assert computed(lab).count(bad.pid) < story.before + 8  # of 48: what it begins until it is told otherwise
