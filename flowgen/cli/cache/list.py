"""``flowgen cache list``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from flowgen.cli.cache.common import existing, store_option


@click.command("list")
@click.option("--blocks", is_flag=True, help="Every block, least recently used first, not only sums.")
@store_option
def list_(blocks: bool, store: Path | str) -> None:
    """List what the store holds, by node type, and what is pinned."""
    from rich.table import Table

    from flowgen.cli.tables import console
    from flowgen.store.quantities import shown
    from flowgen.store.reach import pins

    opened = existing(store)
    found = sorted(opened.index.blocks(), key=lambda about: about.used)
    table = Table(box=None, pad_edge=False)
    for name in ("block" if blocks else "type", "type" if blocks else "blocks", "items", "bytes", "made", "last used"):
        table.add_column(name, justify="right" if name in ("blocks", "items", "bytes") else "left")
    if blocks:
        for b in found:
            table.add_row(b.name[:12], b.type, str(b.items), shown(b.bytes), date(b.published), date(b.used))
    else:
        for kind in sorted({b.type for b in found}):
            mine = [b for b in found if b.type == kind]
            items, size = str(sum(b.items for b in mine)), shown(sum(b.bytes for b in mine))
            made, used = date(max(b.published for b in mine)), date(max(b.used for b in mine))
            table.add_row(kind, str(len(mine)), items, size, made, used)
    console().print(table)
    for name, count in pins(opened).items():
        click.echo(f"pinned: {name} ({count} items)")


def date(seconds: float) -> str:
    """A time as people read it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
