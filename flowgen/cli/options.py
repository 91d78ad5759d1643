"""Options that several commands share."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from flowgen.config import Settings, resolve
from flowgen.config.kinds import DTYPES, KINDS, seconds, understood
from flowgen.errors import UserError

if TYPE_CHECKING:
    from flowgen.experiment import Experiment
    from flowgen.graph import Check
    from flowgen.plan.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])

graph_argument = click.argument("graph", type=click.Path(path_type=Path))


def setting(function: F) -> F:
    """``--set``, ``--sweep``, ``--where`` and ``--import``, as often as needed, and ``--allow-pickle``; a command takes
    ``given``, arguments of ``load``.
    """

    @functools.wraps(function)
    def command(
        *args: Any,
        set_: tuple[str, ...],
        sweep: tuple[str, ...],
        where: tuple[str, ...],
        import_: tuple[str, ...],
        allow_pickle: bool,
        **others: Any,
    ) -> Any:
        given = {"set": read_settings(set_), "sweep": read_sweep(sweep), "where": read_where(where), "imports": import_}
        return function(*args, given={**given, "allow_pickle": allow_pickle}, **others)

    text = "Read weights in pickles (.bin, .pt, .ckpt), without running the code in them."
    command = click.option("--allow-pickle", is_flag=True, help=text)(command)
    for name, metavar, text in (
        ("import", "FILE.py", "Allow the graph to run the code of this file."),
        ("where", "AXIS=POINTS", "Keep only these points: guidance=4,seed=0..7; a|b for several labels."),
        ("sweep", "NAME=VALUES", "Add or replace an axis: seed=1,2,4 or 'seed={range: 64}'."),
        ("set", "NAME=VALUE", "Give an input another value; a swept one is fixed."),
    ):
        variable = f"{name}_" if name in ("set", "import") else name
        command = click.option(f"--{name}", variable, multiple=True, metavar=metavar, help=text)(command)
    return cast(F, command)


def configured(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Options that flowgen.toml and the environment may give too; a command takes ``settings``, all resolved."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(*args: Any, **others: Any) -> Any:
            given = {name: others.pop(name) for name in list(others) if name in KINDS}
            graph: Path | None = others.get("graph")
            return function(*args, settings=resolve(graph.parent if graph else None, given), **others)

        for option in reversed(options):
            command = option(command)
        return cast(F, command)

    return decorate


def store_place(text: str) -> Path | str:
    """What ``--store`` names: a folder, or the URL of object storage. Raises UserError."""
    found: Path | str = understood(KINDS["store"], text, Path())
    return found


def time(text: str) -> float:
    """Seconds, as a setting takes them."""
    try:
        return seconds(text, Path())
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


insecure_option = click.option(
    "--insecure", is_flag=True, help="Accept a cluster on a network without TLS: others there can run code as you."
)
runs_option = click.option("--runs", type=click.Path(path_type=Path), help="Where runs' folders are made  [runs]")
dtype_option = click.option("--dtype", type=click.Choice(DTYPES), help="Precision of models that don't say one.")
computing = configured(
    click.option("--store", type=store_place, metavar="PLACE", help="Where results are cached  [.flowgen/store]"),
    runs_option,
    click.option("--workers", type=click.IntRange(0), help="Worker processes, 0 uses this one; of a cluster.  [0]"),
    click.option("--batch", type=click.IntRange(1), help="Items at once; in strict numerics, the padded size."),
    click.option("--device", help="cpu, cuda, cuda:1, mps or auto  [auto]"),
    dtype_option,
    click.option("--cluster", help="A running Dask cluster, tls://HOST:PORT; gpus; or a file of jobs, as slurm.toml."),
    click.option("--tls", type=click.Path(path_type=Path), help="Folder of certificates, for a cluster."),
    click.option("--wait", type=time, metavar="TIME", help="How long to wait for a cluster's workers  [60s]"),
)
"""Where and how to compute."""


def planning(settings: Settings) -> dict[str, Any]:
    """What ``Experiment.plan`` and ``Experiment.run`` both take."""
    return {name: settings.found[name].value for name in ("store", "batch", "device", "workers", "cluster")}


def reaching(settings: Settings) -> dict[str, Any]:
    """What ``Experiment.run`` takes beside: how a cluster is reached. What a flag doesn't say it takes from where this
    did.
    """
    said = {name: settings.found[name] for name in ("tls", "wait")}
    return {name: found.value if found.source == f"--{name}" else None for name, found in said.items()}


def read_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` pairs; values are read as YAML reads them. Raises UserError."""
    found: dict[str, Any] = {}
    for name, text in pairs(settings, "--set", "VALUE"):
        check_once(name, found, "--set", f"several values are an axis: --sweep {name}=1,2")
        found[name] = read_yaml(text, "--set") if text else ""
        if isinstance(found[name], dict) and not text.lstrip().startswith("{"):
            hint = f"a text with ': ' in it takes quotes of its own: --set '{name}=\"{text}\"'"
            raise UserError(f"--set: '{text}' reads as a mapping", hint=hint)
    return found


def read_sweep(settings: tuple[str, ...]) -> dict[str, Any]:
    """``name=1,2,4`` is a list, ``name={range: 64}`` an axis as a file writes it. Raises UserError."""
    from flowgen.language.draw import SPAN

    found: dict[str, Any] = {}
    for name, value in pairs(settings, "--sweep", "VALUES"):
        check_once(name, found, "--sweep", f"write all its values in one: --sweep {name}=1,2")
        if span := SPAN.fullmatch(value):
            last = int(span[2])
            hint = f"--sweep '{name}={{range: [{span[1]}, {last + 1}]}}', the end excluded; in quotes it is a text"
            raise UserError(f"--sweep: '{value}' is no list of values", hint=hint)
        found[name] = read_yaml(value if value.lstrip().startswith(("{", "[")) else f"[{value}]", "--sweep")
    return found


def check_once(name: str, found: dict[str, Any], option: str, hint: str) -> None:
    """An option says once what a name is."""
    if name in found:
        raise UserError(f"{option} gives '{name}' twice", hint=hint)


def read_where(settings: tuple[str, ...]) -> dict[str, list[str]]:
    """``axis=points,axis=points``: what follows a comma without ``AXIS=`` belongs to the label. Raises UserError."""
    found: dict[str, list[str]] = {}
    parts = [part for text in settings for part in re.split(r",\s*(?=[A-Za-z_]\w*=)", text)]
    for name, value in pairs(tuple(parts), "--where", "POINTS"):
        found.setdefault(name, []).append(value)
    return found


@contextmanager
def doing(what: str, quiet: bool = False) -> Iterator[None]:
    """Say on a terminal what takes its time, while it does; nothing in a pipe."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def planned(experiment: Experiment, settings: Settings, quiet: bool = False) -> Plan:
    """The plan of a graph, its check's warnings printed."""
    with doing("checking the graph", quiet):
        found = experiment.check()
    warn(found)
    if not quiet and (said := new_store(settings.store, Path(experiment.document.file))):
        click.echo(said, err=True)
    points = math.prod(len(axis) for axis in experiment.document.axes.values() if not axis.maker)
    with doing(f"planning {points:,} points", quiet):
        return experiment.plan(**planning(settings))


def new_store(place: Path | str, graph: Path) -> str:
    """What to say of a store on a disk that holds nothing, where one that does lies beside the graph; or nothing."""
    beside = graph.parent / KINDS["store"].default
    if not isinstance(place, Path) or filled(place) or not filled(beside):
        return ""
    return f"note: the store at {place.absolute()} is empty; --store {beside} takes the one beside the graph"


def filled(place: Path) -> bool:
    """Whether a store's folder holds blocks."""
    blocks = place / "blocks"
    return blocks.is_dir() and any(blocks.iterdir())


def warn(found: Check) -> None:
    """Print what a check warns of, apart from the output."""
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)


def pairs(settings: tuple[str, ...], option: str, what: str) -> list[tuple[str, str]]:
    """The names and texts of ``name=text``."""
    found = []
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{option} takes NAME={what}, not '{text}'")
        found.append((name.strip(), value))
    return found


def read_yaml(text: str, option: str) -> Any:
    """A value as YAML reads it; what is wrong with it stands at its place in the option."""
    from flowgen.language.tree import read_tree

    return read_tree(text, option).data
