"""Worker processes forked from one that has made the imports: they start, and start again, in a tenth of a second."""

from __future__ import annotations

import multiprocessing
from typing import Any

from distributed.utils import get_mp_context

METHOD = "distributed.worker.multiprocessing-method"


def prepared() -> dict[str, Any]:
    """Dask's settings for such processes, while which hold they may be started; none where the system can't fork.

    The process that is forked has no CUDA context and no threads but its own, and computes nothing.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return {}
    return {METHOD: "forkserver"}


def preload() -> None:
    """Have the imports of a task made before the first fork. Called with the settings of ``prepared``."""
    context = get_mp_context()  # names modules of its own, once
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["flowgen.execute.clusters.imported"])
