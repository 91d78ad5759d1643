"""``flowgen cache collect``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.cache.common import agreed, changing, existing, run_folder, store_option
from flowgen.errors import UserError


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--older", metavar="AGE", help="What wasn't used for so long: 30d, 12h.")
@click.option("--keep", metavar="SIZE", help="The least recently used, until the store takes so much: 50GB.")
@click.option("--unreachable", is_flag=True, help="What none of the RUNS (folders, names, 'last') stands on.")
@changing
@store_option
def collect(
    runs: tuple[Path, ...],
    older: str | None,
    keep: str | None,
    unreachable: bool,
    yes: bool,
    dry_run: bool,
    store: Path | str,
) -> None:
    """Remove what the options name, each adding to the other; says what goes and asks.

    A block goes as a whole and stays while any of its items is wanted. What is pinned ('flowgen cache pin RUN') or
    needed by a run that is under way stays.
    """
    from flowgen.store import collect as collecting
    from flowgen.store.quantities import age, shown, size
    from flowgen.store.reach import keys_of

    if unreachable != bool(runs):
        raise UserError("--unreachable and RUNS go together", hint="collect --unreachable runs/*")
    if older is None and keep is None and not unreachable:
        raise UserError("collect what?", hint="--older 30d, --keep 50GB or --unreachable RUNS")
    seconds, limit = None if older is None else age(older), None if keep is None else size(keep)
    opened = existing(store)
    found = collecting.choose(opened, seconds, limit, keys_of(map(run_folder, runs)) if runs else None)
    total = opened.index.blocks()
    left = sum(about.bytes for about in total) - found.bytes
    for kind in sorted({about.type for about in found.going}):
        mine = [about for about in found.going if about.type == kind]
        size_of = shown(sum(about.bytes for about in mine))
        click.echo(f"{kind}: {sum(about.items for about in mine)} items in {len(mine)} blocks, {size_of}")
    click.echo(f"{len(found.going)} of {len(total)} blocks go, {shown(found.bytes)}; {shown(left)} stay")
    if found.guarded:
        size_of = shown(sum(about.bytes for about in found.guarded))
        click.echo(f"{len(found.guarded)} more, {size_of}, stay: pinned, or needed by a run that is under way")
    if found.waste:
        click.echo(f"{shown(found.waste)} of what stays isn't wanted: 'flowgen cache compact' rewrites such blocks")
    if found.going and agreed(yes, dry_run):
        done = collecting.collect(opened, found.going)
        click.echo(f"removed {done.items} items, {shown(done.bytes)}")
