"""What the C library does with freed memory: kept from one operation to the next, given back after a batch."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""parameters of glibc's mallopt"""
LARGEST = 32 << 20
"""bytes; glibc takes no more for a block that lies in the heap"""


@lru_cache(maxsize=1)
def keep() -> None:
    """Let the heap keep what is freed, for this process.

    By default glibc returns the top of a heap, and every large block, as soon as they are freed, so that each layer of
    a network gets its memory page by page anew: on a CPU batches take 1.3 to 1.5 times as long. On other systems
    nothing is done.
    """
    mallopt = libc("mallopt")
    mallopt(TRIM_THRESHOLD, 1 << 30)
    mallopt(MMAP_THRESHOLD, LARGEST)


def give_back() -> None:
    """Let go of what was freed: holes that batches leave in each thread's heap too, or a long run would grow with every
    parcel. Takes milliseconds, so it belongs after a parcel, not into a step.
    """
    libc("malloc_trim")(0)


@lru_cache(maxsize=2)
def libc(name: str) -> Any:
    """A function of glibc; on other systems one that does nothing."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return lambda *_: 0
