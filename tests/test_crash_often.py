"""The driver killed at eighty more points, on a graph of toy nodes whose results are known in closed form."""

import os
import signal
from dataclasses import dataclass
from functools import partial

import pytest
from small import Lab, to_compute
from test_crash import die_at
from torch import Tensor

from flowgen.execute.clusters import Where, client
from flowgen.execute.driver import execute
from flowgen.execute.progress import Silent
from flowgen.execute.task import Place, open_store
from flowgen.node import node
from flowgen.values import PerItem
from flowgen.values.value import Value

TOY = """\
flowgen: 1
sweep:
  n: {range: 6}
nodes:
  first: {type: crash.number, value: $n}
  second: {type: crash.add, x: $first, by: 10}
  third: {type: crash.add, x: $second, by: 100}
outputs: [third]
"""
TOTAL = 3 * 6
LONG = TOY.replace(
    "outputs: [third]",
    """\
  fourth: {type: crash.add, x: $third, by: 1000}
  fifth: {type: crash.add, x: $fourth, by: 10000}
outputs: [fifth]""",
)
PARCELS = {"batch": 2, "workers": 3}
"""cuts each node's items into three parcels: fifteen blocks of at least two syncs"""

POINTS = [
    *(
        (f"{when} {what}", n)
        for when in ("before", "after")
        for what in ("computing", "publishing")
        for n in range(1, 16)
    ),
    *(("sync", n) for n in range(1, 21)),
]


@dataclass(frozen=True)
class Count(Value):
    """One number."""

    data: Tensor


@node("crash.number", stored=True)
def number(value: PerItem[float]) -> Count:
    """A number."""
    return Count(value.tensor[:, None].double())


@node("crash.add", stored=True)
def add(x: Count, by: PerItem[float]) -> Count:
    """x plus by."""
    return Count(x.data + by.tensor[:, None])


def work(lab):
    """Run the graph without a run's folder."""
    experiment = lab.load(LONG)
    plan = partial(experiment.plan, lab.store, **PARCELS)
    return execute(plan, partial(client, Where()), Place(str(lab.store)), Silent())


def work_and_die(lab, where, count):
    """What the child process does."""
    die_at(where, count)
    work(lab)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "count"), POINTS)
def test_a_killed_run_goes_on(tmp_path, server, where, count):
    assert len(POINTS) == 80
    lab = Lab(tmp_path, tmp_path)
    child = server.Process(target=work_and_die, args=(lab, where, count))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    left = sum(to_compute(lab.load(LONG).plan(lab.store, **PARCELS)).values())
    store = open_store(str(lab.store))
    manifests = [store.manifest(name) for name in store.on_disk()]
    assert left + sum(len(m["keys"]) for m in manifests) == 5 * 6
    plan, tally = work(lab)
    assert tally.computed() == left
    keys = [key.decode() if isinstance(key, bytes) else key for key in plan.keys["fifth"].values]
    ((_, found),) = open_store(str(lab.store)).read(keys, plan.graph.outputs["fifth"].output)
    assert found.data.flatten().tolist() == [n + 11110.0 for n in range(6)]
    assert os.listdir(lab.store / "tmp") == [] or where != "after publishing"
