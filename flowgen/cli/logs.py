"""``flowgen logs``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from flowgen.cli.options import configured, runs_option
from flowgen.config import Settings

PAUSE = 0.5
"""seconds between two looks at a run that goes on"""


@click.command()
@click.argument("run", default="last")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends, or Ctrl-C.")
@configured(runs_option)
def logs(run: str, follow: bool, settings: Settings) -> None:
    """Print what happened in a run, line by line, and what a detached one's process printed.

    RUN is the name of its folder, its path, or 'last'.
    """
    from flowgen.execute.course import Course
    from flowgen.execute.event_log import NAME, read_records
    from flowgen.execute.telling import told
    from flowgen.language.labels import readable
    from flowgen.results.runs import PRINTED, find_run, judged, replay

    folder = find_run(settings.runs, run)
    course, events, printed, ended = Course(), 0, 0, not follow
    while True:
        if (folder / NAME).is_file():
            records, events = read_records(folder / NAME, events)
            replay(records, course)
            for line in filter(None, map(told, records)):
                click.echo(line)
        if (folder / PRINTED).is_file():
            lines, printed = whole_lines(folder / PRINTED, printed)
            for line in lines:
                click.echo(f"| {readable(line)}")
        if ended:
            return
        ended = judged(folder, course).ended  # what it wrote until then is read once more
        time.sleep(0 if ended else PAUSE)


def whole_lines(path: Path, start: int) -> tuple[list[str], int]:
    """The whole lines of a text from a byte on, and the byte after them."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines(), start + len(whole)
