"""``flowgen cluster certificates``."""

from __future__ import annotations

from pathlib import Path

import click

COMMANDS = """\
The same folder goes to every machine of the cluster, readable by you alone. Then:

  DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=60s dask scheduler --protocol tls --host HOST --port 8786 --no-dashboard \\
    --tls-ca-file {ca} --tls-cert {certificate} --tls-key {key}
  dask worker tls://HOST:8786 --nthreads 1 --memory-limit 0 --no-dashboard \\
    --tls-ca-file {ca} --tls-cert {certificate} --tls-key {key}
  flowgen run GRAPH --cluster tls://HOST:8786 --tls {folder}"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is valid  [365]")
def certificates(folder: Path, days: int | None) -> None:
    """Make a TLS set in FOLDER for scheduler, workers and clients; whoever has its key belongs to the cluster."""
    from flowgen.execute.clusters.certificates import CA, CERTIFICATE, DAYS, KEY, make

    make(folder, days or DAYS)
    names = {"ca": folder / CA, "certificate": folder / CERTIFICATE, "key": folder / KEY}
    click.echo(COMMANDS.format(folder=folder, **names))
