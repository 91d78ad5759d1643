"""``flowgen stop``."""

from __future__ import annotations

import sys

import click

from flowgen.cli.options import configured, runs_option, time
from flowgen.config import Settings


@click.command()
@click.argument("run")
@click.option(
    "--wait",
    "patience",
    default="60s",
    show_default=True,
    type=time,
    metavar="TIME",
    help="How long to wait for its end.",
)
@configured(runs_option)
def stop(run: str, patience: float, settings: Settings) -> None:
    """End a run as Ctrl-C does: batches in hand are finished, and what was computed is kept.

    RUN is the name of its folder, its path, or 'last'.
    """
    from flowgen.execute.course import ENDS
    from flowgen.results.runs import DAMAGED, find_run, look
    from flowgen.results.runs import stop as end

    seen = look(find_run(settings.runs, run))
    if seen.state in (*ENDS, DAMAGED):
        click.echo(f"{seen.folder.name}: {seen.state} already")
        return
    if not end(seen, patience):
        pid = seen.course.about["pid"]
        click.echo(f"{seen.folder.name} is still finishing its batches; 'kill -9 {pid}' ends it at once", err=True)
        click.echo("what was published is kept in any case", err=True)
        sys.exit(1)
    now = look(seen.folder)
    course = now.course
    kept = "before that" if now.state == "finished" else f"{course.keeps}; the same 'flowgen run' goes on from there"
    click.echo(f"{now.folder.name}: {now.state}; {kept}")
