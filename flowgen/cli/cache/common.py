"""What the commands about the store share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from flowgen.cli.options import store_place
from flowgen.config import resolve
from flowgen.errors import UserError

if TYPE_CHECKING:
    from flowgen.store import Store

F = TypeVar("F", bound=Callable[..., Any])


def store_option(function: F) -> F:
    """``--store``, the environment or flowgen.toml, as ``run`` takes it; a command takes ``store``, its place."""

    @functools.wraps(function)
    def command(*args: Any, store: Path | str | None, **others: Any) -> Any:
        return function(*args, store=resolve(None, {"store": store}).store, **others)

    option = click.option("--store", type=store_place, metavar="PLACE", help="The store  [.flowgen/store]")
    return cast(F, option(command))


def changing(function: F) -> F:
    """``--yes`` and ``--dry-run``, for commands that remove something."""
    function = click.option("--dry-run", is_flag=True, help="Only say what would be done.")(function)
    return click.option("--yes", is_flag=True, help="Don't ask.")(function)


def existing(place: Path | str) -> Store:
    """The store at a place. Raises UserError if there is none: looking at one shouldn't make it."""
    from flowgen.store import Store

    if isinstance(place, Path) and not (place / "blocks").is_dir():
        raise UserError(f"there is no store at '{place}'", hint="--store names another place; 'flowgen run' makes one")
    return Store(place)


def run_folder(name: Path) -> Path:
    """The folder of a run: its path, or its name or ``last`` among this project's runs. Raises UserError."""
    from flowgen.results.runs import find_run

    return name if name.is_dir() else find_run(resolve(None, {}).runs, str(name))


def agreed(yes: bool, dry_run: bool) -> bool:
    """Whether to go on: never in a dry run, else asked unless the user said yes before."""
    if dry_run:
        click.echo("nothing was changed (--dry-run)")
        return False
    if yes or click.confirm("go on?"):
        return True
    click.echo("nothing was changed")
    return False
