"""``flowgen cluster check``."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from flowgen import __version__
from flowgen.cli.options import computing, doing, insecure_option, planned, planning, reaching, setting
from flowgen.cli.output import print_json
from flowgen.config import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from flowgen.execute.clusters.survey import Survey


WIDE = 100
"""columns of a line of words"""
GOOD = {"software": "as here", "store": "yes", "weights": "yes"}
"""columns of the table, and what stands there if all is well"""


@click.command()
@click.argument("graph", type=click.Path(path_type=Path), required=False)
@setting
@computing
@insecure_option
@click.option("--json", "as_json", is_flag=True, help="As JSON; docs/clusters.md describes it.")
def check(graph: Path | None, given: dict[str, Any], settings: Settings, insecure: bool, as_json: bool) -> None:
    """Ask every worker what a run would ask: code, device, store, and the weights of GRAPH if there is one.

    Takes the options of 'flowgen run', and computes nothing. Exit code 1 if a worker couldn't do a run.
    """
    from flowgen.execute.clusters import chosen
    from flowgen.execute.clusters.preflight import lines
    from flowgen.execute.clusters.survey import survey
    from flowgen.execute.task import Place
    from flowgen.experiment import load
    from flowgen.runner import device_for

    said = planning(settings)
    where = chosen(settings, said["workers"], said["cluster"], **reaching(settings), insecure=insecure)
    plan = planned(load(graph, **given, dtype=settings.dtype), settings, quiet=as_json) if graph else None
    place = settings.store.absolute() if isinstance(settings.store, Path) else settings.store
    with doing("asking the workers", quiet=as_json):
        found = survey(where, Place(str(place), device_for(settings.device, where)), plan)
    if as_json:
        print_json(found.document())
    else:
        from flowgen.cli.tables import console as wide_console

        console = wide_console()
        console.print(workers_table(found))
        here = ", ".join(f"{name} {said}" for name, said in found.question.software)
        here = f"here: flowgen {__version__}, {here}"
        console.print(fill(here, min(console.width, WIDE), subsequent_indent="      "), highlight=False)
        for line in lines(found.findings):
            console.print(line, highlight=False, markup=False)
        console.print(f"{len(found.fit)} of {len(found.findings)} workers can do a run", highlight=False)
    if len(found.fit) < len(found.findings):
        sys.exit(1)


def workers_table(found: Survey) -> Table:
    """A row for each worker."""
    from rich.table import Table

    from flowgen.store.quantities import shown

    table = Table(box=None, pad_edge=False)
    for name in ("worker", "host", "process", "device", "free", *GOOD):
        whole = name in ("worker", "process")  # to be copied
        table.add_column(
            name, justify="right" if name in ("process", "free") else "left", overflow="fold", no_wrap=whole
        )
    for worker, finding in sorted(found.findings.items()):
        device, wrong = finding.device, finding.wrong
        said = ["?" if about not in wrong else "no" if wrong[about] else good for about, good in GOOD.items()]
        table.add_row(
            worker,
            finding.host,
            str(finding.pid or "?"),
            device.name if device else "?" if "answer" in wrong else "no such device",
            shown(device.free) if device else "",
            *(said if found.question.parts else [*said[:2], "-"]),
        )
    return table
