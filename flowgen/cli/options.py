"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flowgen.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])

graph_argument = click.argument("graph", type=click.Path(path_type=Path))


def setting(function: F) -> F:
    """``--set name=value``, as often as needed."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Give an input another value; a swept one is fixed.",
    )(function)


def computing(function: F) -> F:
    """Where and how to compute."""
    for option in reversed(
        (
            click.option(
                "--store",
                type=click.Path(path_type=Path),
                default=Path(".flowgen/store"),
                show_default=True,
                envvar="FLOWGEN_STORE",
                help="Where results are cached.",
            ),
            click.option("--workers", type=click.IntRange(0), default=0, help="Worker processes; 0 uses this one."),
            click.option(
                "--batch",
                type=click.IntRange(1),
                default=None,
                help="Items at once; in strict numerics, the padded size.",
            ),
            click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps."),
        )
    ):
        function = option(function)
    return function


def read_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` pairs; values are read as YAML reads them. Raises UserError."""
    from flowgen.language.tree import read_tree

    found: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"--set takes NAME=VALUE, not '{text}'")
        found[name] = read_tree(value, "--set").data if value else ""
    return found
