"""``flowgen show``."""

from __future__ import annotations

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
    from flowgen.language.labels import readable
    from flowgen.results.finished import reading, results, told
    from flowgen.results.runs import FINISHED, find_run, look
    from flowgen.results.table import scalar_table
    from flowgen.store.quantities import counted

    folder = find_run(settings.runs, run) if run else latest(settings.runs)
    if (state := look(folder).state) != "finished":
        hint = f"'flowgen status {folder.name}' shows how far it is; 'flowgen show' shows the latest finished one"
        raise UserError(f"'{folder.name}' has no results: it is {state}", hint=hint)
    with reading(folder):
        about, found = told(folder), results(folder)
        table = scalar_table(found)
    if table is not None:
        wide_console().print(table)

    def say(line: str) -> None:
        click.echo(readable(line))  # a folder may come from elsewhere: nothing in it speaks to the terminal

    for name, variable in found.data_vars.items():
        sizes = " × ".join(f"{size} {dim}" for dim, size in variable.sizes.items()) or "one value"
        say(f"{name}: {sizes}")
    say(f"finished {about.finished}, computed {sum(node.computed for node in about.nodes.values())} items")
    if about.failures:
        for line in failure_lines(about.failures, folder):
            say(line)
    for name, paths in about.files.items():
        say(f"{name}: {counted(len(paths), 'file')}")
        for path in paths[:FILES]:
            say(f"  {folder / path}")
        if len(paths) > FILES:
            say(f"  and {len(paths) - FILES} more, named in {folder / FINISHED}")
    click.echo(str(folder))


def latest(runs: Path) -> Path:
    """The newest finished run's folder. Raises UserError if there is none."""
    from flowgen.results.runs import FINISHED, runs_in

    for folder in runs_in(runs):
        if (folder / FINISHED).is_file():
            return folder
    raise UserError(f"there are no finished runs in '{runs}'", hint="'flowgen run GRAPH' makes one")
