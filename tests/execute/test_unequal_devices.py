"""Clusters of workers whose devices differ: what has no room on one runs on another, and fails where none has it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from clusters import address, scheduler, worker
from small import Lab
from test_mixed_clusters import Notes, computed, run, until

from flowgen.execute import ahead, post
from flowgen.execute.clusters import choosing

CODE = '''\
"""Numbers that take their time, with a model's weights and without."""
import os
import time
from pathlib import Path
from typing import Annotated

import torch

from flowgen.node import Uses, node
from flowgen.values import Model, PerItem, Score
from flowgen.values.random import is_abstract


def told(name: str, value: PerItem[int]) -> Score:
    if not is_abstract():
        time.sleep(0.1)
        while Path(__file__).with_name(f"hold{os.getpid()}").exists():
            time.sleep(0.01)
        for found in value.values:
            Path(__file__).with_name("computed").joinpath(f"{name}:{found}:{os.getpid()}").mkdir(exist_ok=True)
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))


@node("heavy", stored=True)
def heavy(value: PerItem[int], model: Annotated[Model, Uses("features")]) -> Score:
    """The number, once the model is loaded."""
    model["features"]
    return told("heavy", value)


@node("light", stored=True)
def light(value: PerItem[int]) -> Score:
    """The number."""
    return told("light", value)
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
DEVICE = """\
from flowgen.execute import fitness, pool
from flowgen.execute.device import memory_of, Memory
from flowgen.values.model import no_room


def full(part, device, size):
    raise no_room(part, device, size)


whole = memory_of("cpu").total
fitness.memory_of = lambda device: Memory("made up", {total}, {total})
if {full}:
    pool.loaded = full
"""
"""makes a worker's device another"""


@pytest.fixture
def lab(tmp_path, zoo_folder, monkeypatch):
    monkeypatch.setattr(post, "LOOK", 1.0)
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "g.yaml").write_text(GRAPH)
    (tmp_path / "computed").mkdir()
    return Lab(tmp_path, zoo_folder)


def device(lab, total: str, full: bool = False) -> tuple[str, Path]:
    """The option for a worker whose device has so many bytes, and perhaps no room for any weights."""
    file = lab.folder / f"device_{len(list(lab.folder.glob('device_*')))}.py"
    file.write_text(DEVICE.format(total=total, full=full))
    return "--preload", file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("total", "full", "said"),
    [("1000", False, []), ("whole - 1", True, ["the weights of 'features'.* don't fit into the memory of cpu"])],
)
def test_what_has_no_room_on_one_worker_runs_on_the_other(lab, total, full, said):
    notes = Notes()
    with scheduler(lab.folder), ExitStack() as started:
        at = address(lab.folder)
        large = started.enter_context(worker(at))
        little = started.enter_context(worker(at, *device(lab, total, full)))
        done = run(lab, at, notes, lambda: None)
    assert not done.failures
    assert set(computed(lab, "heavy")) == {large.pid}
    assert set(computed(lab, "light")) == {large.pid, little.pid}
    check(notes, said)


@pytest.mark.slow
def test_a_worker_that_joins_later_and_is_too_small_for_a_stage_says_so(lab, monkeypatch):
    monkeypatch.setattr(choosing, "at_once", lambda workers, cluster: 12)  # parcels for more workers than there are yet
    monkeypatch.setattr(ahead, "AHEAD", 1)  # of which most are sent when the other one is there
    notes = Notes()
    with scheduler(lab.folder), worker(at := address(lab.folder)) as large, ExitStack() as later:

        def story():
            until(lambda: computed(lab))
            (lab.folder / f"hold{large.pid}").touch()
            try:
                story.little = later.enter_context(worker(at, *device(lab, "1000")))
                until(lambda: any("gets no tasks of 'one'" in said for said in notes.said))
            finally:
                (lab.folder / f"hold{large.pid}").unlink()

        done = run(lab, at, notes, story, workers=1)
    assert not done.failures
    assert set(computed(lab, "heavy")) == {large.pid}
    assert story.little.pid in computed(lab, "light")
    check(notes, ["the weights take .*, and its device has 1 kB"])


@pytest.mark.slow
def test_items_whose_weights_fit_on_no_worker_fail(lab):
    notes = Notes()
    with scheduler(lab.folder), ExitStack() as started:
        at = address(lab.folder)
        for total in ("whole", "whole - 1"):
            started.enter_context(worker(at, *device(lab, total, full=True)))
        done = run(lab, at, notes, lambda: None)
    assert len(done.failures) == 24
    assert all("don't fit into the memory of cpu" in str(failure) for failure in done.failures)
    assert not computed(lab, "heavy")
    assert len(computed(lab, "light")) == 24
    check(notes, ["the weights of 'features'.* don't fit"])


def check(notes: Notes, said: list[str]) -> None:
    """Exactly these refusals of the stage with weights were told."""
    assert len(notes.said) == len(said)
    for text, wanted in zip(notes.said, said, strict=True):
        assert re.match(f"the worker tcp://[0-9.:]+ gets no tasks of 'one': {wanted}", text)
