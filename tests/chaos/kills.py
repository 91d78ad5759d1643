"""Workers killed at random while the example graphs run: what a run answers, and how often it began what.

    python tests/chaos/kills.py [--kills 200] [--every 0.7] [--seed 0]

Each graph runs in strict numerics, first undisturbed in one process, then with two worker processes of which one is
killed (SIGKILL) now and then. The results must be the same to the bit, no item may have been published twice, and no
more may be computed again than the killed workers had in hand, a task each. Ends with exit code 1 if one of these
doesn't hold. tests/execute/test_deaths.py counts attempts item by item, in a graph of its own.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import xarray

from flowgen.execute.driver import RunFailed
from flowgen.execute.event_log import NAME, read_records
from flowgen.execute.task import open_store
from flowgen.experiment import Run, load

GRAPHS = Path(__file__).parents[2] / "graphs"
SHARE = 0.05
"""time between two kills over that of an undisturbed run, on average, at least: ten deaths over one item are its own"""
NAMES = {
    "01_text_to_image": {"digit": ["one", "two"], "seed": ["0", "1"]},
    "02_guidance_interval": {"digit": ["one", "two"], "seed": ["0"]},
    "03_ddim_eta_steps": {"seed": ["0"]},
    "07_image_to_image": {},
    "09_late_scheduler_change": {},
    "15_cfgpp": {"seed": ["0", "1"]},
}
"""and the part of each sweep that is run"""


@dataclass
class Killer(threading.Thread):
    """Kills a random worker process of this one now and then."""

    every: float
    """seconds between two kills, on average"""
    seed: int
    done: threading.Event = field(default_factory=threading.Event)
    killed: list[set[int]] = field(default_factory=list)
    """the ports at which each killed worker listened"""
    items: int = 0
    """computed in the runs that it disturbed"""
    again: int = 0
    """of tasks that were sent again for it"""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        dice = random.Random(self.seed)
        while not self.done.wait(dice.expovariate(1 / self.every)):
            if found := workers():
                worker = dice.choice(found)
                with suppress(psutil.NoSuchProcess):
                    worker.suspend()  # or one that starts might listen only after this look
                    ports = {at.laddr.port for at in worker.net_connections() if at.status == psutil.CONN_LISTEN}
                    worker.kill()
                    self.killed.append(ports)


def workers() -> list[psutil.Process]:
    """The worker processes: forked from one that this process has started for it."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            found += child.children()
    return found


def run(name: str, folder: Path, **where: Any) -> Run:
    """Run a part of an example in strict numerics."""
    text = (GRAPHS / f"{name}.yaml").read_text()
    file = folder / f"{name}.yaml"
    file.write_text(text.replace("flowgen: 1", "flowgen: 1\nnumerics: strict", 1))
    for helper in GRAPHS.iterdir():
        if helper.is_dir() and not (folder / helper.name).exists():
            (folder / helper.name).symlink_to(helper)
    return load(file, where=NAMES[name]).run(folder / "store", folder / "runs", batch=4, **where)


def published_twice(store: Path) -> int:
    """Items that lie in more than one block."""
    kept = open_store(str(store))
    keys = [key for name in kept.on_disk() for key in kept.manifest(name)["keys"]]
    return len(keys) - len(set(keys))


def repeated(done: Run) -> int:
    """Items of tasks that were sent again since a worker had begun them and died."""
    return sum(found["items"] for found in read_records(done.folder / NAME)[0] if found["event"] == "sent_again")


def too_often(done: Run, killed: list[set[int]]) -> list[str]:
    """What a run says of items that were computed more often than the killed workers explain."""
    wrong = []
    events = read_records(done.folder / NAME)[0]
    died = {found["worker"]: found["time"] for found in events if found["event"] == "worker_died"}
    others = [f"{worker} at {when}" for worker, when in died.items() if port(worker) not in set().union(*killed)]
    if others:
        wrong.append(f"workers died that weren't killed: {', '.join(others)}")
    if (computed := sum(found["items"] for found in events if found["event"] == "parcel")) != done.plan.compute:
        wrong.append(f"{computed} items computed, {done.plan.compute} planned")
    if (again := repeated(done)) > (most := len(killed) * max(map(len, done.plan.parcels))):
        wrong.append(f"{again} items sent again, where {len(killed)} killed workers had at most {most} in hand")
    return wrong


def port(worker: str) -> int:
    """That at which a worker listens, by its address."""
    return int(worker.rpartition(":")[2])


def disturbed(name: str, folder: Path, killer: Killer, reference: xarray.Dataset) -> list[str]:
    """Run a graph while workers are killed; what is wrong with it."""
    before = len(killer.killed)
    try:
        done = run(name, folder, workers=2)
    except RunFailed as stopped:
        return [f"{name}: '{node}' stopped the run: {cause!r}" for node, cause in stopped.failures.items()]
    wrong = [str(failure) for failure in done.failures]
    if not done.results.load().drop_attrs().identical(reference):
        wrong.append("other results than undisturbed")
    if twice := published_twice(folder / "store"):
        wrong.append(f"{twice} items published twice")
    wrong += too_often(done, killer.killed[before:])
    killer.items += done.plan.compute
    killer.again += repeated(done)
    return [f"{name}: {problem}" for problem in wrong]


def chaos(kills: int, every: float, seed: int, names: list[str]) -> list[str]:
    """Run graph after graph until so many workers were killed; what went wrong."""
    wrong: list[str] = []
    killer = Killer(every, seed)
    calm: dict[str, tuple[float, xarray.Dataset]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            started = time.perf_counter()
            folder = Path(place) / "calm" / name
            folder.mkdir(parents=True)
            found = run(name, folder, workers=2).results.load().drop_attrs()
            calm[name] = time.perf_counter() - started, found
        killer.start()
        spent: dict[str, list[float]] = {}
        for number, name in enumerate(itertools.cycle(names)):
            if len(killer.killed) >= kills:
                break
            folder = Path(place) / str(number)
            folder.mkdir()
            killer.every = max(every, SHARE * calm[name][0])
            before, started = len(killer.killed), time.perf_counter()
            wrong += disturbed(name, folder, killer, calm[name][1])
            spent.setdefault(name, []).append(time.perf_counter() - started)
            print(f"{name}: {len(killer.killed) - before} kills, {spent[name][-1]:.1f} s", *wrong[-1:], flush=True)
        killer.done.set()
    ratio = sum(map(sum, spent.values())) / sum(calm[name][0] * len(times) for name, times in spent.items())
    runs = sum(map(len, spent.values()))
    print(f"{len(killer.killed)} kills in {runs} runs; {ratio:.2f} of the undisturbed time; {len(wrong)} problems")
    print(f"{killer.items} items computed, {killer.again} of them sent again after a worker had begun them")
    return wrong


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--every", type=float, default=0.7, help="seconds between two kills, on average, at least")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    problems = chaos(given.kills, given.every, given.seed, list(NAMES))
    print("\n".join(problems))
    sys.exit(bool(problems))
