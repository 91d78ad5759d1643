"""``flowgen nodes``."""

from __future__ import annotations

import click


@click.command()
@click.argument("type", required=False)
def nodes(type: str | None) -> None:
    """List the node types, or show one: ports, parameters, outputs, documentation."""
    from flowgen.cli.tables import console as wide_console
    from flowgen.cli.tables import node_page, types_table
    from flowgen.node import node_type, node_types

    console = wide_console()
    if type is None:
        console.print(types_table(node_types()))
    else:
        console.print(node_page(node_type(type)))
