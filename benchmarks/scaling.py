"""How work grows with workers, and what a task costs.

    python benchmarks/scaling.py [--images 480] [--tasks 1000] [--only zoo sleep tasks] [--folder /dev/shm]

1. Pictures of zoo:digits by 1 and by 2 worker processes of one thread each: the ratio of their wall times.
2. Workers that sleep instead of computing: 16 with tasks of 500 ms, 64 with tasks of 2 s. Efficiency is the time that
   was slept over workers times wall time, from the first task that begins to the last that ends, with everything that a
   task is: its claim, its block on the disk, its receipt.
3. The time that a task takes beside its work, in process and with 2 processes: a run of tasks that do nothing over a
   plain ``Client.map`` of as many functions that do nothing on the same cluster. What the store's block takes, synced
   to the disk, is measured apart in process; with 2 processes a folder in memory leaves the disk out.

Ratios compare figures of one run on one machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import flowgen
import flowgen.execute.clusters.choosing
import flowgen.experiment
import flowgen.plan.cuts
from flowgen.execute.clusters import Where, client
from flowgen.execute.progress import Silent
from flowgen.execute.task import Receipt
from flowgen.store import Store

ZOO = """\
flowgen: 1
sweep: {{seed: {{range: {images}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  text: {{type: encoder.text, text: "a red three"}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: 25}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  image: {{type: decoder.vae, latent: $sampler.sample}}
outputs: [image]
"""
SLEEP = '''\
"""Numbers that take their time."""
import time

import torch

from flowgen.node import node
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


@node("slept", stored=True)
def slept(value: PerItem[int], seconds: float = 0.0) -> Score:
    """The number, after some time for each."""
    if not is_abstract() and seconds:
        time.sleep(seconds * len(value.values))
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))
'''
SLEEPING = """\
flowgen: 1
sweep: {{value: {{range: {tasks}}}}}
nodes:
  one: {{type: ./sleep.py:slept, value: $value, seconds: {seconds}}}
outputs: [one]
"""


class Clock(Silent):
    """When the first task began and the last ended, and what the workers say of their time."""

    def __init__(self) -> None:
        self.first, self.last, self.inside, self.tasks = float("inf"), 0.0, 0.0, 0

    def done(self, receipt: Receipt) -> None:
        """A task has ended just now."""
        self.last = time.perf_counter()
        self.first = min(self.first, self.last - receipt.seconds)
        self.inside += receipt.seconds
        self.tasks += 1


def run(folder: Path, text: str, workers: int, **options: Any) -> Clock:
    """Run a graph with an empty store; how its tasks went."""
    folder.mkdir()
    (folder / "sleep.py").write_text(SLEEP)
    (folder / "graph.yaml").write_text(text)
    clock = Clock()
    experiment = flowgen.load(folder / "graph.yaml", imports=[folder / "sleep.py"])
    experiment.run(folder / "store", folder / "runs", workers=workers, events=clock, **options)
    return clock


def zoo(folder: Path, images: int) -> None:
    """One worker and two, of one thread each."""
    flowgen.experiment.threads_of = lambda count: 1  # type: ignore[assignment]
    text = ZOO.format(images=images)
    seconds = {}
    for workers in (1, 2):
        clock = run(folder / f"zoo{workers}", text, workers, batch=8)
        seconds[workers] = clock.last - clock.first
        print(f"{images} pictures, {workers} worker(s): {seconds[workers]:.1f} s in {clock.tasks} tasks", flush=True)
    print(f"  2 workers are {seconds[1] / seconds[2]:.2f} times as fast as 1")


def sleep(folder: Path, workers: int, seconds: float, each: int) -> None:
    """Workers that sleep: ``each`` tasks for every one of them."""
    flowgen.execute.clusters.choosing.ANYWHERE = (
        workers  # they don't compute, so that more than a few for a core make sense
    )
    clock = run(folder / f"sleep{workers}", SLEEPING.format(tasks=workers * each, seconds=seconds), workers, batch=1)
    wall = clock.last - clock.first
    share = clock.tasks * seconds / (workers * wall)
    print(f"{workers} workers, {clock.tasks} tasks of {seconds} s: {wall:.1f} s, efficiency {share:.3f}", flush=True)


def tasks(folder: Path, count: int, workers: int) -> None:
    """Tasks that do nothing, over Dask's own."""
    writing = [0.0]
    write = Store.write

    def timed(store: Store, *arguments: Any) -> str:
        begun = time.perf_counter()
        name = write(store, *arguments)
        writing[0] += time.perf_counter() - begun
        return name

    Store.write = timed  # type: ignore[method-assign]
    clock = run(folder / f"tasks{workers}", SLEEPING.format(tasks=count, seconds=0), workers, batch=1)
    Store.write = write  # type: ignore[method-assign]
    mine = (clock.last - clock.first) / count
    with client(Where(workers=workers)) as connected:
        connected.gather(connected.map(nothing, range(10), pure=False))
        begun = time.perf_counter()
        connected.gather(connected.map(nothing, range(count), pure=False))
        plain = (time.perf_counter() - begun) / count
    more = f", {writing[0] / count * 1e3:.2f} of it the block" if writing[0] else ""
    print(
        f"{count} tasks, {workers} processes: {mine * 1e3:.2f} ms a task{more}; Client.map {plain * 1e3:.2f} ms",
        flush=True,
    )


def nothing(number: int) -> int:
    """What Dask's own tasks do."""
    return number


def main() -> None:
    """Print the measurements."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=480)
    options.add_argument("--tasks", type=int, default=1000)
    options.add_argument("--folder", type=Path, help="where stores lie meanwhile")
    options.add_argument("--only", nargs="*", default=["zoo", "sleep", "tasks"])
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        if "zoo" in given.only:
            zoo(folder, given.images)
        flowgen.plan.cuts.PARCEL_FLOPS = 1.0  # a task an item
        if "sleep" in given.only:
            sleep(folder, 16, 0.5, 12)
            sleep(folder, 64, 2.0, 6)
        if "tasks" in given.only:
            tasks(folder, given.tasks, 0)
            tasks(folder, given.tasks, 2)


if __name__ == "__main__":
    main()
