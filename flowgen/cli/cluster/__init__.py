"""``flowgen cluster``: make certificates, look at job scripts, ask workers."""

from __future__ import annotations

import click

from flowgen.cli.cluster.certificates import certificates
from flowgen.cli.cluster.check import check
from flowgen.cli.cluster.script import script


@click.group()
def cluster() -> None:
    """Prepare a cluster, and ask its workers: certificates, job scripts, a check."""


for command in (certificates, script, check):
    cluster.add_command(command)
