"""A store that can't be reached for a moment: calls are tried again, then the run stops and keeps what is published."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from flowgen.errors import UserError

T = TypeVar("T")

PATIENCE = 30.0
"""seconds for which a call is tried again"""
FIRST, LONGEST = 0.1, 8.0
"""seconds between two tries: the first pause, which doubles, and the longest"""
PASSING = frozenset(
    {
        errno.ESTALE,  # a network file system's server came back
        errno.ETIMEDOUT,
        errno.ENOTCONN,  # a FUSE mount whose daemon is away
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EREMOTEIO,
    }
)
"""errors of the system that pass by themselves"""


class Unwritable(UserError):
    """The store refused a write. What was published before is kept."""


class Unreachable(Unwritable):
    """The store didn't answer, however often it was asked. What was published before is kept."""


def patiently(work: Callable[[], T], place: object, passing: frozenset[int] = PASSING) -> T:
    """What ``work`` returns, tried again while it raises an OSError that passes. Raises Unreachable, or its OSError.

    place: the store's, for the message. Work may be done several times.
    """
    pause, end = FIRST, time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except OSError as error:
            if error.errno not in passing:
                raise
            if time.monotonic() + pause > end:
                if error.errno not in PASSING:
                    raise
                raise unreachable(place, error) from None
        time.sleep(pause)
        pause = min(LONGEST, 2 * pause)


def unreachable(place: object, error: OSError) -> Unreachable:
    """What is said when patience is at its end."""
    said = f"the store {place} didn't answer for {PATIENCE:.0f} s: {error.strerror or error}"
    return Unreachable(said, hint="what was published is kept; run again when it is back, or give another with --store")
