"""Where a call's tasks run: what it says, completed by the settings, and refused where it makes no sense."""

from __future__ import annotations

import os
import re
from pathlib import Path

from flowgen.config import Settings
from flowgen.errors import UserError
from flowgen.execute.clusters.gpus import visible
from flowgen.execute.clusters.where import GPUS, TAKES, Where, address

PER_CORE, ANYWHERE = 4, 16
"""worker processes for each core of this machine, and on any machine, that are started: more of them compute no faster,
and each holds the weights that it uses"""
ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}")
"""a scheduler's, without how it is spoken to"""


def chosen(
    settings: Settings,
    workers: int | None = None,
    cluster: str | None = None,
    tls: str | Path | None = None,
    insecure: bool = False,
    wait: float | None = None,
) -> Where:
    """Where tasks run. Raises UserError."""
    workers = settings.workers if workers is None else workers
    cluster = settings.cluster if cluster is None else cluster
    found = Where(
        workers=workers,
        cluster=cluster,
        side_by_side=at_once(workers, cluster),
        tls=settings.tls if tls is None else Path(tls),
        insecure=insecure,
        wait=settings.wait if wait is None else wait,
    )
    for name, said in (("tls", tls is not None), ("insecure", insecure)):
        if said and found.local:
            hint = "name one, --cluster tls://HOST:PORT or a file of jobs; processes of this machine need neither"
            raise UserError(f"'{name}' is about the way to a cluster, and there is none", hint=hint)
    if not cluster:
        few_enough(workers)
    return found


def at_once(workers: int, cluster: str) -> int:
    """How many tasks will run side by side, as far as can be said without asking anybody. Raises UserError."""
    if cluster and "://" not in cluster and cluster != GPUS and not Path(cluster).exists():
        raise unknown(cluster)
    if "://" in cluster:
        address(cluster)
    if workers or not cluster or "://" in cluster:
        return max(1, workers)
    if cluster == GPUS:
        return max(1, len(visible()))
    from flowgen.execute.clusters.jobs import read_jobs

    return read_jobs(Path(cluster)).workers


def unknown(cluster: str) -> UserError:
    """What a name that is neither a word nor a file was meant to be."""
    name = Path(cluster).name  # a setting's is completed by its file's folder
    hint = TAKES
    if ADDRESS.fullmatch(name):
        hint = f"an address says how it is spoken to: tcp://{name}, or tls://{name} with --tls FOLDER"
    elif name.lower() in ("gpu", GPUS, "cuda"):
        hint = f"did you mean '{GPUS}'?"
    return UserError(f"'{name}' is no cluster, and no file of that name is there", hint=hint)


def few_enough(workers: int) -> None:
    """Raises UserError for more processes than make sense here."""
    cores = os.cpu_count() or 1
    if workers > (most := max(ANYWHERE, PER_CORE * cores)):
        raise UserError(
            f"{workers} workers on this machine, which has {cores} cores",
            hint=f"at most {most} are started: more compute no faster, and each holds weights of its own in memory; "
            "--cluster takes those of other machines",
        )
