"""``flowgen run``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowgen.cli.detach import Detachable, Detaching, Folder
from flowgen.cli.detach import detach as away
from flowgen.cli.interrupts import end, interruptible
from flowgen.cli.options import computing, graph_argument, insecure_option, planned, planning, reaching, setting
from flowgen.cli.output import go_on_unheard
from flowgen.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from flowgen.results.failures import Failure
    from flowgen.runner import Run

SHOWN = 10
"""causes of failures that are printed"""


@click.command(cls=Detachable)
@graph_argument
@setting
@computing
@insecure_option
@click.option("--detach", is_flag=True, help="Go on in the background once it is planned and has workers.")
@click.option("--told", type=int, hidden=True, help="Where a detached run says that it has workers.")
@click.option("--quiet", is_flag=True, help="No progress, only the folder's name.")
@click.pass_context
def run(
    ctx: click.Context,
    graph: Path,
    given: dict[str, Any],
    settings: Settings,
    insecure: bool,
    detach: bool,
    told: int | None,
    quiet: bool,
) -> None:
    """Compute what isn't known yet and write a run folder; its name is the last line."""
    if detach and told is None:
        away(ctx)
        return
    go_on_unheard()
    with interruptible():
        compute(graph, given, settings, insecure, told, quiet)


def compute(
    graph: Path, given: dict[str, Any], settings: Settings, insecure: bool, told: int | None, quiet: bool
) -> None:
    """Run a graph here, and say what became of it."""
    from flowgen.cli.plan_table import totals
    from flowgen.cli.tables import console as wide_console
    from flowgen.execute.driver import RunFailed
    from flowgen.execute.event_log import cause_text
    from flowgen.execute.events import Both, Silent
    from flowgen.execute.progress import progress
    from flowgen.experiment import load

    console = wide_console(quiet=quiet)
    experiment = load(graph, **given, dtype=settings.dtype)
    console.print(totals(planned(experiment, settings, quiet)), highlight=False)
    place = Folder() if told is None else Detaching(told)
    try:
        with Silent() if quiet or told is not None else progress(console) as shown:
            options = {**planning(settings), **reaching(settings), "insecure": insecure}
            done = experiment.run(runs=settings.runs, **options, events=Both(place, shown))
    except RunFailed as stopped:
        if place.heard:
            for node, cause in stopped.failures.items():
                click.echo(f"'{node}' failed: {cause_text(cause)}", err=True)
            click.echo(kept(place.path), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        if place.heard:
            click.echo(f"stopped; {kept(place.path)}", err=True)
        end()
    report(done, wide_console(quiet=quiet))


def report(done: Run, console: Console) -> None:
    """Print a finished run's table, what it computed and what failed. Ends with exit code 1 if anything did."""
    from flowgen.execute.view import retries
    from flowgen.results.table import scalar_table

    if (table := scalar_table(done.results)) is not None:
        console.print(table)
    tally = done.tally
    lost = "".join(f", {part}" for part in retries(tally.deaths, tally.repeated))
    console.print(f"computed {tally.computed()} items{lost}; report: {done.folder / 'report.html'}", highlight=False)
    if failed := done.failures:
        for line in failure_lines(failed, done.folder):
            click.echo(line, err=True)
    click.echo(str(done.folder))
    if failed:
        sys.exit(1)


def failure_lines(failed: list[Failure], folder: Path) -> Iterator[str]:
    """What failed, by node and cause, and where all of it is named."""
    from flowgen.results.failures import grouped
    from flowgen.store.quantities import counted

    for what, where in (groups := grouped(failed))[:SHOWN]:
        yield f"failed: {what}"
        if where:
            yield f"  {where}"
    if len(groups) > SHOWN:
        yield f"and {counted(len(groups) - SHOWN, 'other cause')}"
    if len(failed) == 1:
        yield "1 item has no result; the next run tries it again"
    else:
        every = folder / "provenance.json"
        yield f"{len(failed)} items have no result, each named in {every}; the next run tries them again"


def kept(folder: Path | None) -> str:
    """What a run that was stopped, or failed, leaves."""
    from flowgen.results.runs import look

    course = look(folder).course if folder else None
    if course is None or not course.planned:
        return "nothing was computed yet"
    return f"{course.keeps}; the same command goes on from there"
