"""How much is sent ahead of the workers, by how many threads they have."""

from __future__ import annotations

from typing import NamedTuple

IN_FLIGHT = 128
"""tasks that are sent and not done, at least; four for each thread where that is more"""
AHEAD = 4096
"""items of tasks that are sent and not done, about at most: what is told of one takes a kilobyte and a half, the copies
that Dask makes included"""
TOGETHER = 16
"""tasks that are sent at once, divided by the workers' threads: a graph of many costs Dask a third of many graphs of
one, but most tasks of a graph go to one worker, for which the others may wait
"""


class Ahead(NamedTuple):
    """Bounds of the tasks that are sent and not done."""

    items: int
    """about at most"""
    least: int
    """tasks, however many items they have"""
    most: int
    """tasks"""
    together: int
    """tasks that are sent at once"""


def ahead_of(threads: int) -> Ahead:
    """The bounds for so many threads of workers."""
    most = max(IN_FLIGHT, 4 * threads)
    return Ahead(AHEAD, 4 * threads, most, max(1, min(TOGETHER // max(1, threads), most // 4)))
