"""``flowgen run --detach``: the run goes on in a process of its own when the command has returned."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
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
PLANNED, READY, ENDED = "planned", "ready", "ended"
"""how far a run came"""
LATE = "no workers after {:.0f} s; the run waits on: 'flowgen status last' and 'flowgen logs last' say how it goes"


class Detachable(click.Command):
    """A command that can be called again with the arguments it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep them."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def detach(ctx: click.Context) -> None:
    """Start the command in a session of its own, without a terminal, and wait until its run has workers.

    What is wrong until then is said here, with the command's exit code.
    """
    reading, writing = os.pipe()
    # -P: the current folder is no place for modules
    call = [sys.executable, "-P", "-c", "from flowgen.cli import main; main()", str(ctx.info_name)]
    call += ["--told", str(writing), *ctx.meta[ARGUMENTS]]
    sys.stdout.flush()
    child = subprocess.Popen(call, stdin=subprocess.DEVNULL, pass_fds=(writing,), start_new_session=True)
    os.close(writing)
    try:
        folder, end = said(reading)
        if end == ENDED:
            code = child.wait()
            if folder:
                click.echo(printed(Path(folder)).read_text(encoding="utf-8"), err=True, nl=False)
            if code < 0:
                click.echo(killed(-code, folder), err=True)
            sys.exit(code if code > 0 else 1)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    finally:
        os.close(reading)
    if end == PLANNED:
        click.echo(LATE.format(PATIENCE), err=True)
    click.echo(folder)


def killed(number: int, folder: str) -> str:
    """That a signal ended the run's process, and what it leaves."""
    name = signal.Signals(number).name if number in set(signal.Signals) else "no name"
    return f"the run's process was ended by signal {number} ({name})" + (f"; its folder is {folder}" if folder else "")


def said(pipe: int) -> tuple[str, str]:
    """A detached run's folder, empty without one, and how far it came: READY, ENDED before that, or still PLANNED when
    it has had its time to find workers.
    """
    text = ""
    while True:
        folder, *words = text.split("\n")
        if READY in words:
            return folder, READY
        if not select.select([pipe], [], [], PATIENCE if PLANNED in words else None)[0]:
            return folder, PLANNED
        if not (more := os.read(pipe, 4096)):
            return folder, ENDED
        text += os.fsdecode(more)


def printed(folder: Path) -> Path:
    """The file that a detached run prints into."""
    from flowgen.results.runs import PRINTED

    return folder / PRINTED


class Folder(Silent):
    """Remembers the run's folder."""

    path: Path | None = None
    heard: bool = True
    """whether anybody hears how the run ends, beside those who read its events"""

    def begun(self, folder: Path) -> None:
        """It is made."""
        self.path = folder


class Detaching(Folder):
    """Prints into the run's folder from its start, and says to who waits when workers are there that can do the run.

    Before anything is started: a process that inherited the terminal, or whatever is there, would keep it.
    """

    def __init__(self, told: int) -> None:
        self.told: int | None = told
        """a pipe"""

    def begun(self, folder: Path) -> None:
        """Let go of the terminal."""
        super().begun(folder)
        sys.stdout.flush()
        sys.stderr.flush()
        file = os.open(printed(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for output in (1, 2):
            os.dup2(file, output)
        os.close(file)
        self.say(str(folder))

    def planned(self, plan: Plan) -> None:
        """Whether there is work for workers."""
        self.say(PLANNED if plan.parcels else READY)

    def workers(self, count: int, dashboard: str) -> None:
        """They are there."""
        self.say(READY)

    def say(self, word: str) -> None:
        """Tell who waits, who may be gone; after the last word nobody listens."""
        if self.told is None:
            return
        with suppress(BrokenPipeError):
            os.write(self.told, os.fsencode(f"{word}\n"))
        if word == READY:
            os.close(self.told)
            self.told, self.heard = None, False
