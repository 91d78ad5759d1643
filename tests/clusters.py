"""A Dask cluster as users start it: `dask scheduler` and `dask worker`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from flowgen.cli import flowgen as command

HOST = "127.0.0.1"
SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",  # tasks stay where they are placed
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1h",  # a busy machine isn't taken for a dead worker
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "300s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "300s",
}
"""of Dask, for the processes that are started"""


def flowgen(*arguments) -> str:
    """What a command prints that ends well."""
    done = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def certificates(folder: Path) -> list[str]:
    """A set of certificates, and the options that `dask` takes them by."""
    said = flowgen("cluster", "certificates", folder)
    lines = [line for line in said.splitlines() if "--tls-ca-file" in line]
    assert len(set(lines)) == 1
    return lines[0].split()


@contextmanager
def dask(
    *arguments: object, python_path: str = "", prefix: tuple[str, ...] = (), settings: Mapping[str, str] = SETTINGS
):
    """A `dask` command that runs as long as the context."""
    environment = {**os.environ, **settings, "PYTHONPATH": f"{python_path}{os.environ.get('PYTHONPATH', '')}"}
    call = [*prefix, sys.executable, "-m", "dask", *map(str, arguments)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(call, env=environment, cwd="/", **quiet)  # -m finds modules in the current folder
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def scheduler(folder: Path, *options: str, host: str = HOST, **about):
    """`dask scheduler` at a free port of a host, which it writes to a file in the folder."""
    file = folder / "scheduler.json"
    return dask("scheduler", "--host", host, "--port", 0, "--no-dashboard", "--scheduler-file", file, *options, **about)


def address(folder: Path) -> str:
    """Where the scheduler listens."""
    file = folder / "scheduler.json"
    for _ in range(600):
        if file.is_file() and (text := file.read_text()):
            return json.loads(text)["address"]
        time.sleep(0.1)
    raise AssertionError("no scheduler")


def worker(at: str, *options: str, **about):
    """`dask worker` of a scheduler, as docs/clusters.md starts it."""
    fixed = ("--nthreads", 1, "--memory-limit", 0, "--no-dashboard", "--no-nanny")
    return dask("worker", at, *fixed, *options, **about)


class Elsewhere(NamedTuple):
    """Another host as this machine can have one: a network namespace."""

    here: str
    """this machine's address for it"""
    prefix: tuple[str, ...] = ()
    """of commands that run there"""
    link: str = ""
    """what connects the two, at this end; empty where there is no right to make namespaces, so that all is here"""

    def cut_off(self) -> None:
        """Break the connection."""
        ip("link", "set", self.link, "down")


def ip(*arguments: str) -> None:
    """A command of iproute2. Raises OSError or CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def other_host(number: int = 0) -> Iterator[Elsewhere]:
    """One of the hosts that a process of tests may have beside this machine."""
    mine = os.getpid()
    name, link, other = f"fg-other-{number}-{mine}", f"fga{number}-{mine}", f"fgb{number}-{mine}"
    net = f"10.{(mine // 250 + 100 * number) % 250}.{mine % 250}"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        yield Elsewhere(HOST)
        return
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", other, "netns", name)
        ip("address", "add", f"{net}.1/24", "dev", link)
        ip("link", "set", link, "up")
        for words in (f"address add {net}.2/24 dev {other}", f"link set {other} up", "link set lo up"):
            ip("-n", name, *words.split())
        yield Elsewhere(f"{net}.1", ("ip", "netns", "exec", name), link)
    finally:
        ip("netns", "delete", name)
