"""``flowgen cache compact``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.cache.common import agreed, changing, existing, run_folder, store_option


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Rewrite below this share.")
@changing
@store_option
def compact(runs: tuple[Path, ...], share: float, yes: bool, dry_run: bool, store: Path | str) -> None:
    """Rewrite blocks of which little is wanted, and many small ones as one; says what is freed and asks.

    With RUNS (folders, names, 'last') what none of them stands on isn't wanted; without, only what another block holds
    too. What is pinned or needed by a run that is under way is wanted always.
    """
    from flowgen.store import compact as compacting
    from flowgen.store.quantities import counted, shown
    from flowgen.store.reach import keys_of

    opened = existing(store)
    found = compacting.plan(opened, keys_of(map(run_folder, runs)) if runs else None, share)
    if not found:
        click.echo("no block needs to be written anew")
        return
    out = sum(rewrite.left_out for rewrite in found)
    count = counted(sum(len(rewrite.parts) for rewrite in found), "block")
    freed = f"about {shown(sum(rewrite.freed for rewrite in found))}" if out else "what their manifests take"
    click.echo(
        f"{count} to be written anew as {sum(any(p.rows for p in r.parts) for r in found)}"
        + (f", without {counted(out, 'item')} not wanted" if out else "")
        + f", which frees {freed}"
    )
    if agreed(yes, dry_run):
        click.echo(f"freed {shown(compacting.compact(opened, found))}")
