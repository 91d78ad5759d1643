"""``flowgen run --detach``: the run goes on in a process of its own when the command has returned."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowgen.execute.events import Silent

if TYPE_CHECKING:
    from flowgen.plan.plan import Plan

ARGUMENTS = "flowgen.arguments"
"""under which a command's own arguments are kept"""
PATIENCE = 10.0
"""seconds that a command waits for the workers of the run that it leaves"""
LATE = "no workers after {:.0f} s; the run waits on: 'flowgen status last' and 'flowgen logs last' say how it goes"


class Detachable(click.Command):
    """A command that can be called again with the arguments it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep them."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def detach(ctx: click.Context) -> None:
    """Start the command in a session of its own, without a terminal, and wait until its run has workers.

    Until then it writes where this process does, and a mistake ends both with its exit code.
    """
    reading, writing = os.pipe()
    # -P: the current folder is no place for modules
    call = [sys.executable, "-P", "-c", "from flowgen.cli import main; main()", str(ctx.info_name)]
    call += ["--told", str(writing), *ctx.meta[ARGUMENTS]]
    sys.stdout.flush()
    child = subprocess.Popen(call, stdin=subprocess.DEVNULL, pass_fds=(writing,), start_new_session=True)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            folder = pipe.read().strip()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    if not folder:
        code = child.wait()
        sys.exit(code if code > 0 else 1)
    click.echo(folder)


class Folder(Silent):
    """Remembers the run's folder."""

    path: Path | None = None

    def begun(self, folder: Path) -> None:
        """It is made."""
        self.path = folder


class Detaching(Folder):
    """Once workers are there that can do the run: says so to who waits for it, and prints into the run's folder from
    then on. Who waits is let go after some seconds anyway.
    """

    def __init__(self, told: int, patience: float = PATIENCE) -> None:
        self.told: int | None = told
        """a pipe"""
        self.late = threading.Timer(patience, self.let_go, [LATE.format(patience)])
        self.late.daemon = True
        self.lock = threading.Lock()

    def planned(self, plan: Plan) -> None:
        """The first time, wait for workers, if there is work for them."""
        if not plan.parcels:
            self.let_go()
        elif self.told is not None and not self.late.is_alive():
            self.late.start()

    def workers(self, count: int, dashboard: str) -> None:
        """They are there."""
        self.late.cancel()
        self.let_go()

    def let_go(self, saying: str = "") -> None:
        """Let go of the terminal, once."""
        from flowgen.results.runs import PRINTED

        with self.lock:
            if self.told is None or self.path is None:
                return
            if saying:
                click.echo(saying, err=True)
            sys.stdout.flush()
            sys.stderr.flush()
            file = os.open(self.path / PRINTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for output in (1, 2):
                os.dup2(file, output)
            os.close(file)
            os.write(self.told, os.fsencode(self.path))
            os.close(self.told)
            self.told = None
