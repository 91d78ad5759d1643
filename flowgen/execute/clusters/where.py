"""Where a run's tasks are computed, as the user says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flowgen.errors import UserError
from flowgen.language.labels import readable

GPUS = "gpus"
"""as a cluster: all GPUs of this machine"""
PATIENCE = 60.0
"""seconds that a run waits for a cluster's first worker, unless told otherwise"""
TAKES = "tcp://HOST:PORT, tls://HOST:PORT, gpus, or a file as slurm.toml"
PORT = 8786
"""of a scheduler that isn't given one (``dask scheduler --help``)"""
NAMES = "a name has parts of 1 to 63 characters between dots, as node1.cluster"
SHOWN = 100
"""characters of an address that a message shows"""
ADDRESS = re.compile(r"(?P<scheme>tcp|tls)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Where:
    """What ``--workers``, ``--cluster``, ``--tls``, ``--insecure`` and ``--wait`` say."""

    workers: int = 0
    """processes of this machine, 0 for this one; of a cluster, how many to wait for, at least one; GPUs, 0 for all"""
    cluster: str = ""
    """a scheduler's address, ``gpus``, or a file that describes jobs; nothing for this machine's processes"""
    side_by_side: int = 1
    """tasks that run at once, as far as that is known before a cluster is asked: work is cut for so many"""
    tls: Path | None = None
    """a folder of certificates"""
    insecure: bool = False
    """whether a connection that others can read and write is accepted"""
    wait: float = PATIENCE
    """seconds to wait for workers"""

    @property
    def running(self) -> bool:
        """Whether it is the address of a cluster that runs."""
        return "://" in self.cluster

    @property
    def local(self) -> bool:
        """Whether all workers are processes of this machine that the run itself starts."""
        return self.cluster in ("", GPUS)


def address(cluster: str) -> tuple[str, str]:
    """Scheme and host of a scheduler's address. Raises UserError for what is none."""
    found = ADDRESS.fullmatch(cluster)
    if found and not found["port"]:
        hint = f"'dask scheduler' says it as it starts, {PORT} unless told otherwise: --cluster {cluster}:{PORT}"
        raise UserError(f"'{cluster}' lacks the scheduler's port", hint=hint)
    if not found or not 0 < int(found["port"]) < 1 << 16:
        raise UserError(f"'{cluster}' is no cluster", hint=TAKES)
    host = found["host"].strip("[]")
    if not nameable(host):
        raise UserError(f"'{readable(cluster, SHOWN)}' names no machine", hint=NAMES)
    return found["scheme"], host


def nameable(host: str) -> bool:
    """Whether a text can be a machine's name or address."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return host.isprintable()
