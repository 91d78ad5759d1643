"""``flowgen config``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flowgen.cli.options import computing
from flowgen.cli.output import print_json
from flowgen.config import Settings


@click.command()
@click.argument("graph", type=click.Path(path_type=Path), required=False)
@computing
@click.option("--json", "as_json", is_flag=True, help="As JSON: {name: {value, source}}.")
def config(graph: Path | None, settings: Settings, as_json: bool) -> None:
    """Show the settings that a run of GRAPH would use, and where each came from."""
    if as_json:
        about = {name: {"value": s.value, "source": s.source} for name, s in settings.found.items()}
        print_json(about)
        return
    rows = [(name, shown(setting.value), setting.source) for name, setting in settings.found.items()]
    widths = [max(len(row[n]) for row in rows) for n in (0, 1)]
    for name, value, source in rows:
        click.echo(f"{name:{widths[0]}}  {value:{widths[1]}}  {source}")


def shown(value: Any) -> str:
    """A value as text; ``-`` where nothing is set."""
    if isinstance(value, float):
        return f"{value:g} s"  # settings that aren't whole are times
    return (", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)) or "-"
