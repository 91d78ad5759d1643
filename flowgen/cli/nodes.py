"""``flowgen nodes``."""

from __future__ import annotations

import click


@click.command()
@click.argument("type", required=False)
def nodes(type: str | None) -> None:
    """List the node types and the graphs that ship, those of a kind (scheduler), or show one: a type, std:NAME or
    ./FILE.yaml with its ports or inputs, parameters, outputs, documentation.
    """
    from pathlib import Path

    from flowgen.cli.tables import console as wide_console
    from flowgen.cli.tables import graph_page, graphs_table, node_page, types_table
    from flowgen.graph.inline import is_graph
    from flowgen.graph.interface import interface
    from flowgen.node import node_type, node_types, shipped_graphs

    console = wide_console()
    of_kind = {name: found for name, found in node_types().items() if name.startswith(f"{type}.")}
    if type is None:
        console.print(types_table(node_types()))
        console.print(graphs_table([interface(name, Path()) for name in shipped_graphs()]))
    elif is_graph(type):
        console.print(graph_page(interface(type, Path())))
    elif of_kind and type not in node_types():
        console.print(types_table(of_kind))
    else:
        console.print(node_page(node_type(type)))
