"""Schedulers killed at random while an example graph runs on a cluster that somebody else keeps alive.

    python tests/chaos/schedulers.py [--kills 50] [--every 6] [--seed 0]

`dask scheduler` and two `dask worker` are started by their own commands and again whenever they end, as a job system or
systemd would. Each run must end with the undisturbed results, to the bit in strict numerics, whether it went on by
itself or was started again; no item may be published twice. Ends with exit code 1 if one of these doesn't hold.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from distributed import Client
from kills import NAMES, published_twice, run

from flowgen.execute.driver import RunFailed

GRAPH = "02_guidance_interval"
WORKERS = 2


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Kept(threading.Thread):
    """A command that is started again whenever it ends."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(daemon=True)
        self.call = [sys.executable, "-m", "dask", *map(str, arguments)]
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.is_set():
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(self.call, cwd="/", **quiet)  # type: ignore[call-overload]
            self.process.wait()

    def kill(self) -> None:
        """End it now; it is started again unless it has ended for good."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)


class Killer(threading.Thread):
    """Kills a scheduler some time after its workers are there: on a slow machine they take long to come."""

    def __init__(self, scheduler: Kept, address: str, kills: int, every: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.scheduler, self.address, self.kills = scheduler, address, kills
        self.every, self.dice = every, random.Random(seed)
        self.killed, self.done = 0, threading.Event()

    def run(self) -> None:
        while self.killed < self.kills and not self.done.wait(0.5):
            if self.is_up() and not self.done.wait(self.dice.uniform(0.0, 2.0) * self.every):
                self.scheduler.kill()
                self.killed += 1

    def is_up(self) -> bool:
        """Whether the scheduler answers, and has its workers."""
        try:
            with Client(self.address, timeout=2) as connected:
                return len(connected.nthreads()) == WORKERS
        except (OSError, TimeoutError):
            return False


def chaos(kills: int, every: float, seed: int) -> list[str]:
    """Run a graph again and again until so many schedulers were killed; what went wrong."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        (calm := Path(place) / "calm").mkdir()
        reference = run(GRAPH, calm).results.load().drop_attrs()
        port = free_port()
        at = f"tcp://127.0.0.1:{port}"
        scheduler = Kept("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        fixed = ("--nthreads", 1, "--memory-limit", 0, "--no-dashboard", "--no-nanny", "--death-timeout", 30)
        workers = [Kept("worker", at, *fixed) for _ in range(WORKERS)]
        killer = Killer(scheduler, at, kills, every, seed)
        number = again = 0
        started = time.perf_counter()
        while killer.killed < kills:
            number += 1
            (folder := Path(place) / str(number)).mkdir()
            if number == 1:
                run(GRAPH, folder, cluster=at, workers=WORKERS, device="cpu")  # everything is up
                killer.start()
                continue
            while True:
                before = killer.killed
                try:
                    done = run(GRAPH, folder, cluster=at, workers=WORKERS, device="cpu")
                    break
                except RunFailed as stopped:
                    again += 1
                    print(f"  started again: {stopped}", flush=True)
            if not done.results.load().drop_attrs().identical(reference) or done.failures:
                wrong.append(f"run {number}: other results than undisturbed")
            if twice := published_twice(folder / "store"):
                wrong.append(f"run {number}: {twice} items published twice")
            print(f"run {number}: {killer.killed - before} kills; {killer.killed} in all", flush=True)
        killer.done.set()
        killer.join()
        print(
            f"{killer.killed} schedulers killed in {number - 1} runs, {again} of them started again by hand, "
            f"{time.perf_counter() - started:.0f} s; {len(wrong)} problems"
        )
        for kept in (scheduler, *workers):
            kept.ended.set()
            kept.kill()
    return wrong


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--every", type=float, default=6.0, help="seconds of a scheduler with workers, about")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    assert GRAPH in NAMES
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    problems = chaos(given.kills, given.every, given.seed)
    print("\n".join(problems))
    sys.exit(bool(problems))
