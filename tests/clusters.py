"""A Dask cluster as users start it: `dask scheduler` and `dask worker`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

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
def dask(*arguments: object, python_path: str = "", prefix: tuple[str, ...] = ()):
    """A `dask` command that runs as long as the context."""
    environment = {**os.environ, **SETTINGS, "PYTHONPATH": f"{python_path}{os.environ.get('PYTHONPATH', '')}"}
    call = [*prefix, sys.executable, "-m", "dask", *map(str, arguments)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(call, env=environment, cwd="/", **quiet)  # -m finds modules in the current folder
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def scheduler(folder: Path, *options: str, host: str = HOST):
    """`dask scheduler` at a free port of a host, which it writes to a file in the folder."""
    file = folder / "scheduler.json"
    return dask("scheduler", "--host", host, "--port", 0, "--no-dashboard", "--scheduler-file", file, *options)


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
