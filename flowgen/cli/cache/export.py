"""``flowgen cache export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowgen.cli.cache.common import existing, run_folder, store_option
from flowgen.cli.options import store_place

if TYPE_CHECKING:
    from flowgen.store.transfer import Moved


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to", "target", required=True, type=store_place, metavar="PLACE", help="A folder, a URL, or a file NAME.tar."
)
@store_option
def export(runs: tuple[Path, ...], target: Path | str, store: Path | str) -> None:
    """Copy what RUNS (folders, names, 'last') stand on to a folder, a URL or a tar file, in whole blocks."""
    from flowgen.store.reach import keys_of
    from flowgen.store.transfer import export as copy

    report(copy(existing(store), keys_of(map(run_folder, runs)), target), f"exported to {target}")


def report(done: Moved, what: str) -> None:
    """Say what was moved; exit code 1 if something was damaged."""
    from flowgen.store.quantities import shown

    there = f"; {done.there} blocks were there already" if done.there else ""
    click.echo(f"{what}: {done.blocks} blocks with {done.items} items, {shown(done.bytes)}{there}")
    if done.missing:
        click.echo(f"{done.missing} items of the runs aren't in the store any more", err=True)
    for name, problem in done.bad.items():
        click.echo(f"block {name[:12]} is damaged and was left out: {problem}", err=True)
    if done.bad:
        sys.exit(1)
