"""``flowgen cache verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flowgen.cli.cache.common import existing, store_option
from flowgen.store.quantities import counted


@click.command()
@store_option
def verify(store: Path | str) -> None:
    """Read every block and compare every byte; damaged ones are set aside. Exit code 1 if there are any."""
    opened = existing(store)
    seen = 0

    def note(name: str, problem: str) -> None:
        nonlocal seen
        seen += 1
        if problem:
            click.echo(f"block {name[:12]} is damaged: {problem}", err=True)

    bad = opened.verify(note)
    if bad:
        click.echo(f"{len(bad)} of {counted(seen, 'block')} damaged and set aside in {store}/damaged;", err=True)
        click.echo("their items are computed again by the next run that needs them", err=True)
        sys.exit(1)
    click.echo(f"{counted(seen, 'block')} read, and all is as it was written")
