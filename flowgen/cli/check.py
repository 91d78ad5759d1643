"""``flowgen check``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.options import graph_argument, read_settings, setting


@click.command()
@graph_argument
@setting
def check(graph: Path, settings: tuple[str, ...]) -> None:
    """Check a graph: types, loops, axes, shapes, spaces; reads no weights."""
    from rich.console import Console

    from flowgen.cli.tables import check_table
    from flowgen.experiment import load

    experiment = load(graph, read_settings(settings))
    found = experiment.check()
    console = Console()
    console.print(check_table(found))
    points = 1
    for axis in experiment.document.axes.values():
        points *= len(axis)
    axes = " × ".join(f"{len(a)} {a.name}" for a in experiment.document.axes.values())
    console.print(f"{graph} is sound: {points} points" + (f" ({axes})" if axes else ""), highlight=False)
