"""The command line: ``flowgen check | plan | why | run | status | logs | stop | show | nodes | cache | cluster |
config``.

Exit codes: 0 done, 1 a run failed, 2 the user's input is wrong or the output can't be written, 130 it was stopped,
141 nobody reads the output any more. Commands import what they need when they are called.
"""

from __future__ import annotations

import os
import sys

import click

from flowgen import __version__
from flowgen.cli.cache import cache
from flowgen.cli.check import check
from flowgen.cli.cluster import cluster
from flowgen.cli.config import config
from flowgen.cli.interrupts import STOPPED
from flowgen.cli.logs import logs
from flowgen.cli.nodes import nodes
from flowgen.cli.output import output
from flowgen.cli.plan import plan
from flowgen.cli.run import run
from flowgen.cli.show import show
from flowgen.cli.status import status
from flowgen.cli.stop import stop
from flowgen.cli.why import why
from flowgen.errors import UserError
from flowgen.execute.pythons import set_safe


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flowgen")
def flowgen() -> None:
    """Generation graphs: wire encoders, schedulers, denoisers, guidance, decoders and metrics in YAML, and sweep.

    Start with 'flowgen check GRAPH', then 'flowgen run GRAPH'.
    """
    try:
        os.getcwd()
    except FileNotFoundError:  # libraries' imports ask for it too
        raise UserError("the current folder is gone: somebody removed it", hint="'cd' into one that there is") from None


for command in (check, plan, why, run, status, logs, stop, show, nodes, cache, cluster, config):
    flowgen.add_command(command)


def main() -> None:
    """The entry point: a mistake of the user's ends in a message, never in a traceback."""
    set_safe()
    with output():
        try:
            flowgen(standalone_mode=False)
        except UserError as error:
            from rich.console import Console

            Console(stderr=True).print("error: ", style="bold red", end="")
            click.echo(explain(error), err=True)
            sys.exit(2)
        except click.ClickException as error:
            error.show()
            sys.exit(2)
        except (click.Abort, KeyboardInterrupt):
            click.echo("stopped; what was computed is kept", err=True)
            sys.exit(STOPPED)


SHOWN = 160
"""characters of a line that an error shows, around its place"""


def explain(error: UserError) -> str:
    """The message, the line it is about with a mark under it, and the hint."""
    if error.at is None:
        return str(error)
    lines = [f"{error.at}: {error.message}"]
    try:
        with open(error.at.file, encoding="utf-8") as file:
            text = file.read().splitlines()[error.at.line - 1]
        number, first = f"{error.at.line:5d} | ", max(0, error.at.column - SHOWN // 2) if len(text) > SHOWN else 0
        lines += [number + text[first : first + SHOWN], " " * (len(number) + error.at.column - 1 - first) + "^"]
    except (OSError, IndexError, UnicodeDecodeError):
        pass
    return "\n".join([*lines, *([f"  {error.hint}"] if error.hint else [])])
