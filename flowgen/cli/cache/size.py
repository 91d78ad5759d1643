"""``flowgen cache size``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.cache.common import existing, store_option


@click.command()
@store_option
def size(store: Path | str) -> None:
    """Say how much the store holds and takes."""
    from flowgen.config import resolve
    from flowgen.store.medium import BLOCKS, DAMAGED, strangers
    from flowgen.store.quantities import shown

    opened = existing(store)
    found = opened.index.blocks()
    items = sum(about.items for about in found)
    click.echo(f"{len(found)} blocks with {items} items: {shown(sum(about.bytes for about in found))}")
    aside = sum(entry.size for entry in opened.medium.entries(DAMAGED))
    if aside:
        click.echo(f"set aside as damaged: {shown(aside)} in {store}/{DAMAGED}, which may be deleted")
    if others := strangers(opened.medium):
        click.echo(
            f"{others} entries of {store}/{BLOCKS} are no blocks, as the folders of an earlier version: they are not "
            f"read and may be deleted, all with a name that doesn't end with .zip"
        )
    if (limit := resolve(None, {}).store_limit) is not None:
        click.echo(f"limit: {shown(limit)}, kept after every run")
