"""Where a run's tasks are computed, as the user says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GPUS = "gpus"
"""as a cluster: all GPUs of this machine"""
PATIENCE = 60.0
"""seconds that a run waits for a cluster's first worker, unless told otherwise"""


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
