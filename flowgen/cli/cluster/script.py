"""``flowgen cluster script``."""

from __future__ import annotations

from pathlib import Path

import click

from flowgen.cli.options import configured, insecure_option
from flowgen.config import Settings


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@configured(click.option("--tls", type=click.Path(path_type=Path), help="Folder of certificates."))
@insecure_option
def script(file: Path, settings: Settings, insecure: bool) -> None:
    """Show the job script that FILE, as slurm.toml, describes; nothing is submitted."""
    from flowgen.execute.clusters.jobs import job_script
    from flowgen.execute.clusters.where import Where

    click.echo(job_script(Where(cluster=str(file), tls=settings.tls, insecure=insecure)), nl=False)
