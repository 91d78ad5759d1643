"""Worker processes on this machine, reached over loopback."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from distributed import Nanny, Security

from flowgen.execute.clusters.apart import set_apart
from flowgen.execute.clusters.quiet import QuietScheduler, QuietWorker
from flowgen.execute.clusters.reviving import Reviving
from flowgen.execute.pythons import set_safe

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""variables that say how many threads a process computes with"""


def processes(count: int) -> Reviving:
    """Worker processes with the cores divided among them."""
    threads = dict.fromkeys(POOLS, str(threads_of(count)))
    return on_loopback([{"env": {**os.environ, **threads}}] * count)  # the process they fork from may know older values


def on_loopback(each: Sequence[Mapping[str, Any]]) -> Reviving:
    """One worker process with one thread for each entry, which holds what is special about it.

    Other users of the machine can reach loopback. Where the package ``cryptography`` is installed the processes know
    each other by a certificate of this run alone.
    """
    set_apart()
    set_safe()
    secured = {"protocol": "tcp://", "security": Security()}
    if importlib.util.find_spec("cryptography"):
        secured = {"protocol": "tls://", "security": Security.temporary()}
    options = {
        **secured,
        "host": "127.0.0.1",
        "nthreads": 1,
        "memory_limit": 0,
        "worker_class": QuietWorker,
        "silence_logs": logging.CRITICAL,
    }
    return Reviving(
        scheduler={
            "cls": QuietScheduler,
            "options": {
                **secured,
                "host": "127.0.0.1",
                "port": 0,
                "dashboard": False,
                "allowed_failures": 0,  # deaths are counted, and tasks sent again, in flight.py
            },
        },
        workers={n: {"cls": Nanny, "options": {**options, **special}} for n, special in enumerate(each)},
        security=secured["security"],
        silence_logs=logging.CRITICAL,
    )


def threads_of(count: int) -> int:
    """Cores for each of some processes: two thread pools on the same cores stall each other."""
    return max(1, (os.cpu_count() or 1) // count)
