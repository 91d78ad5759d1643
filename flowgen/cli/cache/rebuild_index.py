"""``flowgen cache rebuild-index``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.cache.common import existing, store_option


@click.command("rebuild-index")
@store_option
def rebuild_index(store: Path | str) -> None:
    """Make the index anew from what the blocks say of themselves."""
    opened = existing(store)
    count = opened.rebuild_index()
    click.echo(f"the index holds {count} blocks with {sum(about.items for about in opened.index.blocks())} items")
