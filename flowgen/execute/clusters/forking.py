"""Worker processes forked from one that has made the imports: they start, and start again, in a tenth of a second."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
from contextlib import suppress
from importlib.metadata import entry_points
from multiprocessing import forkserver
from typing import Any

from distributed.utils import get_mp_context

from flowgen.execute.clusters.sockets import make_room

METHOD = "distributed.worker.multiprocessing-method"
NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""of a package at the beginning of a requirement"""


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
        first, last = "flowgen.execute.clusters.imported", "flowgen.execute.clusters.settled"
        context.set_forkserver_preload([first, *networks(), last])
        make_room()


def forsake() -> None:
    """End the process that is forked, if there is one: it may have seconds of imports before it."""
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def networks() -> list[str]:
    """Modules of the packages that packs require, of those that are imported here.

    The check of a graph has imported what its models are made of, which is what workers will need.
    """
    dists = [point.dist for point in entry_points(group="flowgen.nodes")]
    required = [match[0] for dist in dists if dist for line in dist.requires or () if (match := NAME.match(line))]
    roots = {name.replace("-", "_").lower() for name in required}
    return [name for name, module in sys.modules.items() if module and name.partition(".")[0] in roots]
