"""``flowgen check``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from flowgen.cli.options import configured, doing, dtype_option, graph_argument, setting, warn
from flowgen.config import Settings


@click.command()
@graph_argument
@setting
@configured(dtype_option)
def check(graph: Path, given: dict[str, Any], settings: Settings) -> None:
    """Check a graph: types, loops, axes, shapes, spaces; reads no weights."""
    from flowgen.cli.tables import check_table
    from flowgen.cli.tables import console as wide_console
    from flowgen.experiment import load

    with doing("checking the graph"):
        experiment = load(graph, **given, dtype=settings.dtype)
        found = experiment.check()
    console = wide_console()
    console.print(check_table(found))
    swept = [axis for axis in experiment.document.axes.values() if not axis.maker]
    points = math.prod(map(len, swept))
    axes = " × ".join(f"{len(a)} {a.name}" for a in swept)
    warn(found)
    count = f"{points} point{'s' * (points != 1)}"
    console.print(f"{graph} is sound: {count}" + (f" ({axes})" if axes else ""), highlight=False)
