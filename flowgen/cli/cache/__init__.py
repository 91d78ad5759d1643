"""``flowgen cache``: look at the store, clean it up, move it."""

from __future__ import annotations

import click

from flowgen.cli.cache.collect import collect
from flowgen.cli.cache.compact import compact
from flowgen.cli.cache.export import export
from flowgen.cli.cache.import_ import import_
from flowgen.cli.cache.list import list_
from flowgen.cli.cache.pin import pin, unpin
from flowgen.cli.cache.rebuild_index import rebuild_index
from flowgen.cli.cache.size import size
from flowgen.cli.cache.verify import verify


@click.group()
def cache() -> None:
    """Look at the store, clean it up, move what it holds."""


for command in (list_, size, verify, rebuild_index, collect, compact, export, import_, pin, unpin):
    cache.add_command(command)
