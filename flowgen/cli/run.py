"""``flowgen run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from flowgen.cli.options import computing, graph_argument, insecure_option, planned, planning, reaching, setting
from flowgen.config import Settings
from flowgen.errors import UserError

SHOWN = 10
"""failures that are printed"""


@click.command()
@graph_argument
@setting
@computing
@insecure_option
@click.option("--quiet", is_flag=True, help="No progress, only the folder's name.")
def run(graph: Path, given: dict[str, Any], settings: Settings, insecure: bool, quiet: bool) -> None:
    """Compute what isn't known yet and write a run folder; its name is the last line."""
    from flowgen.cli.plan_table import totals
    from flowgen.cli.tables import console as wide_console
    from flowgen.execute.driver import RunFailed
    from flowgen.execute.progress import Silent, progress
    from flowgen.experiment import load
    from flowgen.results.table import scalar_table

    console = wide_console(quiet=quiet)
    experiment = load(graph, **given, dtype=settings.dtype)
    console.print(totals(planned(experiment, settings, quiet)), highlight=False)
    try:
        with Silent() if quiet else progress(console) as events:
            options = {**planning(settings), **reaching(settings), "insecure": insecure}
            done = experiment.run(runs=settings.runs, **options, events=events)
    except RunFailed as stopped:
        for node, cause in stopped.failures.items():
            said = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"
            click.echo(f"'{node}' failed: {said}", err=True)
        click.echo("what was computed is in the store; the next run goes on from there", err=True)
        sys.exit(1)
    if (table := scalar_table(done.results)) is not None:
        console.print(table)
    console.print(f"computed {done.tally.computed()} items; report: {done.folder / 'report.html'}", highlight=False)
    for failure in (failed := done.failures)[:SHOWN]:
        click.echo(f"failed: {failure}", err=True)
    if failed:
        more = f" (and {len(failed) - SHOWN} more in provenance.json)" if len(failed) > SHOWN else ""
        click.echo(f"{len(failed)} items have no result{more}; the next run tries them again", err=True)
    click.echo(str(done.folder))
    if failed:
        sys.exit(1)
