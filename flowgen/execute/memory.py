"""What becomes of memory that isn't needed: the C library keeps it from one operation to the next, and gives it back
after a batch; Python's collector looks for cycles among what a run makes.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
MANY = 20_000
"""items: their parcels, and copies of them on their way, are some 30 MB"""


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


def give_back(every: float = 0.0) -> None:
    """Let go of what was freed, the holes that batches leave in the heap too, or a long run would grow with every
    parcel. Takes milliseconds, so it belongs after a parcel, not into a step.

    every: seconds for which it does that this process gave back last: a parcel that takes as long always does.

    ``malloc_trim`` spares the end of every heap but the main one; that of the calling thread goes when a large block is
    freed.
    """
    global _gave
    if (now := time.monotonic()) - _gave < every:
        return
    _gave = now
    mallopt, allocate, free = libc("mallopt"), libc("malloc"), libc("free")
    allocate.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    mallopt(TRIM_THRESHOLD, 0)
    free(allocate(CONSOLIDATING))
    mallopt(TRIM_THRESHOLD, KEPT)
    libc("malloc_trim")(0)


_gave = float("-inf")
"""when memory was given back last, monotonic"""


@contextmanager
def left_alone() -> Iterator[None]:
    """Python's collector passes over what is there by now, as long as the context lasts.

    Most of it stays as long as the process, modules above all: to look through them takes tenths of a second.
    """
    mine = not gc.get_freeze_count()
    if mine:
        gc.freeze()
    try:
        yield
    finally:
        if mine:
            gc.unfreeze()


class Cycles:
    """Counts items until it is time to look for cycles.

    Dask's graphs refer to themselves, and hold parcels: mostly texts, which Python's collector doesn't count, so that
    by itself it comes too seldom.
    """

    def __init__(self) -> None:
        self.items = 0

    def passed(self, items: int) -> None:
        """So many items more were passed on."""
        self.items += items
        if self.items >= MANY:
            self.items = 0
            gc.collect()


cycles = Cycles()
"""of this process"""


@lru_cache(maxsize=8)
def libc(name: str) -> Any:
    """A function of glibc; on other systems one that does nothing."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return lambda *_: 0
