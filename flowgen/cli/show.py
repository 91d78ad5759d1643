"""``flowgen show``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flowgen.cli.options import configured, runs_option
from flowgen.config import Settings
from flowgen.errors import UserError

FILES = 12
"""files of an output that are listed"""


@click.command()
@click.argument("run", required=False)
@configured(runs_option)
def show(run: str | None, settings: Settings) -> None:
    """Show a finished run: its results' table, what it computed, where its files are.

    RUN is the name of its folder, its path, or 'last'; the latest that is finished if none is named.
    """
    from flowgen.cli.run import failure_lines
    from flowgen.cli.tables import console as wide_console
    from flowgen.results.failures import Failure
    from flowgen.results.run import open_results
    from flowgen.results.runs import find_run, look
    from flowgen.results.table import scalar_table
    from flowgen.store.quantities import counted

    folder = find_run(settings.runs, run) if run else latest(settings.runs)
    if (state := look(folder).state) != "finished":
        hint = f"'flowgen status {folder.name}' shows how far it is; 'flowgen show' shows the latest finished one"
        raise UserError(f"'{folder.name}' has no results: it is {state}", hint=hint)
    about = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    console = wide_console()
    results = open_results(folder)
    if (table := scalar_table(results)) is not None:
        console.print(table)
    for name, variable in results.data_vars.items():
        sizes = " × ".join(f"{size} {dim}" for dim, size in variable.sizes.items()) or "one value"
        console.print(f"{name}: {sizes}", highlight=False)
    computed = sum(node["computed"] for node in about["nodes"].values())
    console.print(f"finished {about['finished']}, computed {computed} items", highlight=False)
    if about["failures"]:
        for line in failure_lines([Failure(**failure) for failure in about["failures"]], folder):
            click.echo(line)
    for name, paths in about.get("files", {}).items():
        console.print(f"{name}: {counted(len(paths), 'file')}", highlight=False)
        for path in paths[:FILES]:
            console.print(f"  {folder / path}", highlight=False, soft_wrap=True, markup=False)
        if len(paths) > FILES:
            console.print(f"  and {len(paths) - FILES} more, named in {folder / 'provenance.json'}", highlight=False)
    click.echo(str(folder))


def latest(runs: Path) -> Path:
    """The newest finished run's folder. Raises UserError if there is none."""
    from flowgen.results.runs import FINISHED, runs_in

    for folder in runs_in(runs):
        if (folder / FINISHED).is_file():
            return folder
    raise UserError(f"there are no finished runs in '{runs}'", hint="'flowgen run GRAPH' makes one")
