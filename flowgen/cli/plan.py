"""``flowgen plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flowgen.cli.options import computing, graph_argument, planned, setting
from flowgen.cli.output import print_json
from flowgen.config import Settings


@click.command()
@graph_argument
@setting
@computing
@click.option("--explain-batches", is_flag=True, help="Say what keeps items out of one batch.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON; docs/plan.md describes it.")
def plan(graph: Path, given: dict[str, Any], settings: Settings, explain_batches: bool, as_json: bool) -> None:
    """Show what a run would compute, and why; computes nothing."""
    from flowgen.cli.plan_table import plan_table, totals
    from flowgen.cli.tables import console as wide_console
    from flowgen.experiment import load
    from flowgen.plan.batches import explain_batches as explained
    from flowgen.plan.document import plan_document

    made = planned(load(graph, **given, dtype=settings.dtype), settings)
    if as_json:
        print_json(plan_document(made))
        return
    console = wide_console()
    console.print(plan_table(made, console.width))
    console.print(totals(made), highlight=False)
    for name, reasons in (explained(made) if explain_batches else {}).items():
        for n, reason in enumerate(reasons):
            console.print(f"{name if n == 0 else ' ' * len(name)}  {reason}", highlight=False, markup=False)
