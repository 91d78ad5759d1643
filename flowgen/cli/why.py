"""``flowgen why``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flowgen.cli.options import computing, doing, graph_argument, planning, setting
from flowgen.cli.output import print_json
from flowgen.config import Settings


@click.command()
@graph_argument
@click.argument("question", metavar="NODE[AXIS=LABEL,...]")
@setting
@computing
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON; docs/plan.md describes it.")
def why(graph: Path, question: str, given: dict[str, Any], settings: Settings, as_json: bool) -> None:
    """Say why a node's items are in the store or have to be computed; computes nothing."""
    from dataclasses import asdict

    from flowgen.experiment import load
    from flowgen.plan.document import VERSION

    experiment = load(graph, **given, dtype=settings.dtype)
    with doing("planning"):
        answer = experiment.why(question, runs=settings.runs, **planning(settings))
    if as_json:
        print_json({"version": VERSION, **asdict(answer)})
        return
    click.echo(str(answer))
