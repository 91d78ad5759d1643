"""``flowgen plan``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.options import computing, graph_argument, read_settings, setting


@click.command()
@graph_argument
@setting
@computing
def plan(graph: Path, settings: tuple[str, ...], store: Path, workers: int, batch: int | None, device: str) -> None:
    """Show what a run would compute, and why; computes nothing."""
    from rich.console import Console

    from flowgen.cli.tables import plan_table, totals
    from flowgen.experiment import load

    made = load(graph, read_settings(settings)).plan(store, batch=batch, device=device, workers=workers)
    console = Console()
    console.print(plan_table(made))
    console.print(totals(made), highlight=False)
