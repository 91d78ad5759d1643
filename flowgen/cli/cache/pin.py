"""``flowgen cache pin`` and ``unpin``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from flowgen.cli.cache.common import existing, run_folder, store_option
from flowgen.errors import UserError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@store_option
def pin(run: Path, store: Path | str) -> None:
    """Keep what a run stands on, whatever is collected. RUN is its folder, its name, or 'last'."""
    from flowgen.store import reach

    run = run_folder(run)
    click.echo(f"pinned {reach.pin(existing(store), run)} items of {run}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@store_option
def unpin(run: Path, store: Path | str) -> None:
    """Let what a run stands on go when something is collected; RUN is as 'pin' takes it, or as 'list' shows it."""
    from flowgen.store import reach

    with suppress(UserError):  # the folder may be gone
        run = run_folder(run)
    reach.unpin(existing(store), run)
    click.echo(f"{run} is pinned no longer")
