"""OpenMP's threads: those of one thread of a process stand in the way of another's."""

from __future__ import annotations

import ctypes

SOFT = 1
"""omp_pause_soft: what is let go comes back on the next use"""


def let_go() -> None:
    """Let the idle OpenMP threads of the calling thread end, before another computes.

    Torch computes with OpenMP, which keeps helpers for every thread that ever asked. With more of them than cores,
    idle ones sleep instead of waiting for work, and each operation begins by waking them: on two cores batches take
    1.3 to 1.8 times as long. OpenMP 5.0, section 3.2.44; where the runtime hasn't it, nothing is done.
    """
    pause = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)
    if pause is not None:
        pause(SOFT)
