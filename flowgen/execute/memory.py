"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def trim() -> Any:
    """glibc's malloc_trim; on other systems a function that does nothing."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return lambda pad: 0


def give_back() -> None:
    """Let go of what was freed: glibc keeps the holes that batches leave in each thread's heap, and a long run would
    grow with every parcel. Takes milliseconds, so it belongs after a parcel, not into a step.
    """
    trim()(0)
