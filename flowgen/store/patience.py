"""A store that can't be reached for a moment: calls are tried again, then the run stops and keeps what is published."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from flowgen.errors import UserError

T = TypeVar("T")

PATIENCE = 30.0
"""seconds for which a call is tried again, and in which a store may answer none of a process's calls"""
SHORT = 1.0
"""seconds for which a call is tried again that may as well be left undone"""
LOOK = 0.2
"""seconds between two looks whether a call is in haste by now"""
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


IN_HASTE: ContextVar[Callable[[], bool]] = ContextVar("in haste", default=lambda: False)
"""whether this thread's calls are tried again for a short time only"""
SILENT: dict[str, tuple[float, float]] = {}
"""by place that doesn't answer, since when it hasn't, and when it was last asked in vain by this process, monotonic"""


@contextmanager
def briefly(asked: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Within, calls of this thread are tried again for a short time only: they tidy up, and others wait for that.

    asked: says whether they are in haste by now, as when nobody waits for what they do any more.
    """
    before = IN_HASTE.set(asked)
    try:
        yield
    finally:
        IN_HASTE.reset(before)


def patiently(work: Callable[[], T], place: object, passing: frozenset[int] = PASSING) -> T:
    """What ``work`` returns, tried again while it raises an OSError that passes. Raises Unreachable, or its OSError.

    place: the store's, for the message. Work may be done several times. Patience is for the place: what is asked when
    that has been silent for all of it is tried once.
    """
    begun, pause = time.monotonic(), FIRST
    while True:
        try:
            found = work()
        except OSError as error:
            if error.errno not in passing:
                SILENT.pop(str(place), None)
                raise
            away = error.errno in PASSING  # else what it means depends on how long it stays
            silent = in_vain(str(place), begun) if away else 0.0
            if left(begun, away) <= 0 or silent >= PATIENCE:
                if not away:
                    raise
                raise unreachable(place, error, silent) from None
        else:
            if SILENT:
                SILENT.pop(str(place), None)
            return found
        end = time.monotonic() + pause
        while (rest := min(end - time.monotonic(), left(begun, away))) > 0:
            time.sleep(min(LOOK, rest))
        pause = min(LONGEST, 2 * pause)


def left(begun: float, away: bool) -> float:
    """How many seconds are left for a call that was begun then, to a place that is away or reports errors."""
    return begun + min(PATIENCE, SHORT if away and IN_HASTE.get()() else PATIENCE) - time.monotonic()


def in_vain(place: str, begun: float) -> float:
    """Note that a place didn't answer a call that was begun then; for how many seconds it hasn't by now."""
    now = time.monotonic()
    since, last = SILENT.get(place, (begun, now))
    if begun - last > PATIENCE:  # nobody has asked for long
        since = begun
    SILENT[place] = since, now
    return now - since


def unreachable(place: object, error: OSError, silent: float) -> Unreachable:
    """What is said when patience is at its end."""
    said = f"the store {place} didn't answer for {silent:.0f} s: {error.strerror or error}"
    return Unreachable(said, hint="what was published is kept; run again when it is back, or give another with --store")
