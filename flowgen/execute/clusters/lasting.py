"""A cluster that lets go of no worker by itself."""

from __future__ import annotations

from typing import Any

from distributed import SpecCluster


class Lasting(SpecCluster):  # type: ignore[misc]
    """Dask's cluster without what it does some seconds after a worker went: where none of its name is there at that
    moment, it ends the process or the job from which the next one may be starting.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        """Know which workers are there."""
        super(SpecCluster, self)._update_worker_status(op, msg)
