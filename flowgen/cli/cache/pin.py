"""``flowgen cache pin`` and ``unpin``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.cache.common import existing, store_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@store_option
def pin(run: Path, store: Path | str) -> None:
    """Keep what a run (its folder) stands on, whatever is collected."""
    from flowgen.store import reach

    click.echo(f"pinned {reach.pin(existing(store), run)} items of {run}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@store_option
def unpin(run: Path, store: Path | str) -> None:
    """Let what a run stands on go when something is collected; RUN is its folder, or the name that 'list' shows."""
    from flowgen.store import reach

    reach.unpin(existing(store), run)
    click.echo(f"{run} is pinned no longer")
