"""``flowgen status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowgen.cli.options import configured, runs_option
from flowgen.cli.output import print_json
from flowgen.config import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from flowgen.results.runs import Seen

ROOM = 110
"""columns of a terminal that shows all of the table"""
NOTES = 10
"""notes that are printed"""
COLUMNS = ("run", "state", "done", "rate", "left", "failed", "started", "took")
SPARED = ("rate", "started")
"""columns that a narrow terminal doesn't show"""


@click.command()
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; docs/long_runs.md describes it.")
@configured(runs_option)
def status(run: str | None, as_json: bool, settings: Settings) -> None:
    """Show how far runs are: all of them, the newest first, or RUN with its nodes.

    RUN is the name of its folder, its path, or 'last'.
    """
    from flowgen.cli.tables import console as wide_console
    from flowgen.results.runs import VERSION, document, find_run, look, runs_in

    if run is not None:
        seen = look(find_run(settings.runs, run))
        if as_json:
            print_json({"version": VERSION, **document(seen)})
        else:
            detail(seen)
        return
    found = [look(folder) for folder in runs_in(settings.runs)]
    if as_json:
        told = {"version": VERSION, "runs": [document(seen) for seen in found]}
        print_json(told)
    elif not found:
        click.echo(f"there are no runs in '{settings.runs}'; 'flowgen run GRAPH' makes one")
    else:
        console = wide_console()
        console.print(listed(found, console.width))


def listed(found: list[Seen], width: int) -> Table:
    """A line for each run."""
    from rich.table import Table
    from rich.text import Text

    from flowgen.execute.view import ABOUT, rate
    from flowgen.language.labels import readable
    from flowgen.store.quantities import duration

    table = Table(box=None, pad_edge=False)
    kept = [name for name in COLUMNS if width >= ROOM or name not in SPARED]
    for name in kept:
        words = name in ("run", "state", "started")
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for seen in found:
        course = seen.course
        left = course.left() if seen.state == "running" else None
        cells = {
            "run": readable(seen.folder.name),
            "state": seen.state,
            "done": f"{course.done}/{course.total}" if course.total else "all known" if course.planned else "",
            "rate": rate(course.rate),
            "left": "" if left is None else duration(left, ABOUT),
            "failed": str(course.failed or ""),
            "started": local(course.first) if course.first else "",
            "took": duration(seen.seconds) if course.first else "",
        }
        table.add_row(*(Text(cells[name]) for name in kept))
    return table


def detail(seen: Seen) -> None:
    """One run: where, its nodes, its workers, what it had to say."""
    from flowgen.cli.tables import ENDLESS
    from flowgen.cli.tables import console as wide_console
    from flowgen.execute.event_log import NAME
    from flowgen.execute.view import view
    from flowgen.language.labels import readable
    from flowgen.results.runs import DAMAGED, FINISHED, SUSPENDED, UNREADABLE

    console, course = wide_console(), seen.course

    def say(text: str, style: str = "") -> None:
        lines = "\n".join(map(readable, text.splitlines()))
        console.print(lines, style=style, highlight=False, markup=False, soft_wrap=True)

    said = f"{seen.folder.name}: {seen.state}"
    if seen.gone:
        said += ": its process is gone"
    elif seen.state == UNREADABLE:
        said += f": {NAME} doesn't say whose run it is"
    elif seen.state == DAMAGED:
        said += f": it finished, and its {FINISHED} is gone; the same 'flowgen run' writes another folder"
    elif seen.state == SUSPENDED:
        said += f" (Ctrl-Z): 'fg' in its terminal, or 'kill -CONT {course.about['pid']}', goes on"
    say(said)
    if about := course.about:
        say(f"{about['graph']}, process {about['pid']} on {about['host']}, store {about['store']}")
    if course.planned:
        course.state = seen.state
        width, now = min(console.width, ROOM), course.first + seen.seconds
        console.print(view(course, width, ENDLESS, now, bars=console.is_terminal))
    for note in course.notes[-NOTES:]:
        say(note, "yellow")
    for node, cause in course.causes.items():
        say(f"'{node}' failed: {cause}", "red")
    if seen.abroad:
        say(f"it runs on {seen.host}: from here one can't see whether it lives")
    elif seen.state in ("stopped", "failed"):
        say(f"{course.keeps}; the same 'flowgen run' goes on from there")
    click.echo(str(seen.folder))


def local(seconds: float) -> str:
    """A time of day here: ``11-27 17:13``."""
    import time

    return time.strftime("%m-%d %H:%M", time.localtime(seconds))
