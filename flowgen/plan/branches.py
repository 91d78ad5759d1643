"""Trajectories that begin alike: which item leaves whose lane at which step.

The runner follows these branches, and the plan counts rows by them.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Leaving = dict[int, list[tuple[int, int]]]
"""by item, the (step, item) pairs that leave its lane"""
ENDLESS = 1 << 62
"""steps of an item whose length nobody says"""


class Left(NamedTuple):
    """An item that has left a lane."""

    lane: int
    share: int
    """leading steps that the two share"""
    step: int
    """where it left"""


def branches(
    items: Sequence[int],
    share: Sequence[int],
    starts: Sequence[int] = (),
    lengths: Mapping[int, int] | None = None,
) -> tuple[list[int], Leaving]:
    """The items that begin on their own, and by item the (step, item) pairs that leave its lane.

    ``share[n]`` is the number of leading steps that item n shares with the one before it, -1 for none; items are
    ascending. ``starts[n]`` is the step of the stored state that item n can start from, ``lengths`` are the items'
    steps. An item leaves the lane of the one that it shares most with, of those that start no later: so that every
    state is computed once, and no item misses one behind its start. It begins on its own if it starts behind the steps
    that it shares, or at its end.
    """
    lanes = Lanes(share, starts, lengths or {})
    for item in sorted(items, key=lanes.start) if share else ():
        lanes.add(item)
    leaving: Leaving = {}
    for item, left in lanes.left.items():
        leaving.setdefault(left.lane, []).append((left.step, item))
    return [item for item in items if item not in lanes.left], leaving


class Lanes:
    """The lanes of the items so far, which come in the order of their starts."""

    def __init__(self, share: Sequence[int], starts: Sequence[int], lengths: Mapping[int, int]) -> None:
        self.share = share
        self.starts = starts
        self.lengths = lengths
        self.there: list[int] = []
        """items that others can come to be from, ascending"""
        self.left: dict[int, Left] = {}
        """items that came to be from others"""

    def start(self, item: int) -> int:
        """The step at which an item can start."""
        return self.starts[item] if self.starts else 0

    def last(self, *items: int) -> int:
        """The last step that all of some items have."""
        return min(self.lengths.get(item, ENDLESS) for item in items) - 1

    def common(self, one: int, other: int) -> int:
        """The leading steps that two items share."""
        return min(self.share[min(one, other) + 1 : max(one, other) + 1])

    def add(self, item: int) -> None:
        """Find the lane that an item leaves, if there is one."""
        if self.start(item) > self.last(item):
            return  # its stored state is its end
        place = bisect(self.there, item)
        near = self.there[max(place - 1, 0) : place + 1]
        if near:
            found = self.leave(item, max(near, key=lambda other: (self.common(item, other), self.last(other))))
            if found.step >= self.start(item):
                self.left[item] = found
        insort(self.there, item)

    def leave(self, item: int, lane: int) -> Left:
        """Where an item leaves the one that it shares most with, or the lane that both of them leave."""
        share = self.common(item, lane)
        while True:
            step = min(share, self.last(item, lane))
            before = self.left.get(lane)
            if before is None or before.step < step:
                return Left(lane, share, step)
            lane, share = before.lane, min(share, before.share)


def own_steps(share: Ints, starts: Ints, lengths: Ints) -> Ints:
    """The step from which each item has a lane of its own, if all run as ``branches`` says."""
    if not starts.any() and (share[1:] < np.minimum(lengths[1:], lengths[:-1])).all():
        return np.maximum(share, 0)  # each leaves where it parts from the one before it
    _, leaving = branches(range(len(share)), share.tolist(), starts.tolist(), dict(enumerate(lengths.tolist())))
    own = starts.copy()
    for pairs in leaving.values():
        for step, item in pairs:
            own[item] = step
    return own


def family(item: int, leaving: Leaving) -> int:
    """How many items come to be from one that begins, itself included."""
    return 1 + sum(family(child, leaving) for _, child in leaving.get(item, ()))
