"""What the C library does with freed memory: kept from one operation to the next, given back after a batch."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""parameters of glibc's mallopt"""
KEPT = 1 << 30
"""bytes at the end of a heap that stay there"""
CONSOLIDATING = 1 << 17
"""bytes of a block whose end makes glibc look at what lies around it"""
LARGEST = 32 << 20
"""bytes; glibc takes no more for a block that lies in the heap"""


@lru_cache(maxsize=1)
def keep() -> None:
    """Let the heap keep what is freed, for this process.

    By default glibc returns the top of a heap, and every large block, as soon as they are freed, so that each layer of
    a network gets its memory page by page anew: on a CPU batches take 1.3 to 1.5 times as long. On other systems
    nothing is done.

    Threads that come later get no heaps of their own, each of which would keep the most that it ever took.
    """
    mallopt = libc("mallopt")
    mallopt(ARENA_MAX, 1)
    mallopt(TRIM_THRESHOLD, KEPT)
    mallopt(MMAP_THRESHOLD, LARGEST)


def give_back() -> None:
    """Let go of what was freed, the holes that batches leave in the heap too, or a long run would grow with every
    parcel. Takes milliseconds, so it belongs after a parcel, not into a step.

    ``malloc_trim`` spares the end of every heap but the main one; that of the calling thread goes when a large block is
    freed.
    """
    mallopt, allocate, free = libc("mallopt"), libc("malloc"), libc("free")
    allocate.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    mallopt(TRIM_THRESHOLD, 0)
    free(allocate(CONSOLIDATING))
    mallopt(TRIM_THRESHOLD, KEPT)
    libc("malloc_trim")(0)


@lru_cache(maxsize=8)
def libc(name: str) -> Any:
    """A function of glibc; on other systems one that does nothing."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return lambda *_: 0
