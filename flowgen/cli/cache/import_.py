"""``flowgen cache import``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.cache.common import store_option
from flowgen.cli.cache.export import report
from flowgen.cli.options import store_place


@click.command("import")
@click.argument("source", type=store_place)
@store_option
def import_(source: Path | str, store: Path | str) -> None:
    """Take over the blocks of an exported folder or tar file, or of another store; each is verified."""
    from flowgen.store import Store
    from flowgen.store.transfer import packed, take

    found = packed(source)  # before a store is made
    report(take(Store(store), found), f"imported from {source}")
