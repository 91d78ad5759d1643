"""``flowgen plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flowgen.cli.options import computing, graph_argument, planning, setting
from flowgen.config import Settings


@click.command()
@graph_argument
@setting
@computing
def plan(graph: Path, given: dict[str, Any], settings: Settings) -> None:
    """Show what a run would compute, and why; computes nothing."""
    from flowgen.cli.tables import console as wide_console
    from flowgen.cli.tables import plan_table, totals
    from flowgen.experiment import load

    made = load(graph, **given, dtype=settings.dtype).plan(**planning(settings))
    console = wide_console()
    console.print(plan_table(made, console.width))
    console.print(totals(made), highlight=False)
