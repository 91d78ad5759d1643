"""``flowgen run --detach``: the run goes on in a process of its own when the command has returned."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowgen.execute.events import Silent

if TYPE_CHECKING:
    from flowgen.plan.plan import Plan

ARGUMENTS = "flowgen.arguments"
"""under which a command's own arguments are kept"""


class Detachable(click.Command):
    """A command that can be called again with the arguments it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep them."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def detach(ctx: click.Context) -> None:
    """Start the command in a session of its own, without a terminal, and wait until its run is planned.

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
    """Once the run is planned: says so to who waits for it, and prints into the run's folder from then on."""

    def __init__(self, told: int) -> None:
        self.told: int | None = told
        """a pipe"""

    def planned(self, plan: Plan) -> None:
        """The first time, let go of the terminal."""
        from flowgen.results.runs import PRINTED

        if self.told is None or self.path is None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        file = os.open(self.path / PRINTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for output in (1, 2):
            os.dup2(file, output)
        os.close(file)
        os.write(self.told, os.fsencode(self.path))
        os.close(self.told)
        self.told = None
