"""``flowgen cluster``: make certificates, look at job scripts, ask workers."""

from __future__ import annotations

import click

from flowgen.cli.cluster.certificates import certificates
from flowgen.cli.cluster.script import script


@click.group()
def cluster() -> None:
    """Prepare a cluster: certificates, job scripts."""


for command in (certificates, script):
    cluster.add_command(command)
