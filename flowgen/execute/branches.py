"""Trajectories that begin alike: which item leaves whose lane at which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from flowgen.values import Record


@dataclass(frozen=True, slots=True)
class Parked:
    """Items that have left their lanes and wait for places."""

    items: list[int]
    steps: list[int]
    state: Record
    carried: dict[tuple[str, str], Tensor]

    def cut(self, count: int) -> list[Parked]:
        """The first so many, and the others if there are any."""
        if count >= len(self.items):
            return [self]
        states = self.state.split([count, len(self.items) - count])
        found = []
        for part, state in zip((slice(count), slice(count, None)), states, strict=True):
            carried = {place: kept[part] for place, kept in self.carried.items()}
            found.append(Parked(self.items[part], self.steps[part], state, carried))
        return found


def branches(
    items: Sequence[int], share: Sequence[int], starts: Sequence[int] = ()
) -> tuple[list[int], dict[int, list[tuple[int, int]]]]:
    """The items that begin on their own, and by item the (step, item) pairs that leave its lane.

    ``share[n]`` is the number of leading steps that item n shares with the one before it, -1 for none; items are
    ascending. An item leaves the lane of the nearest earlier item that is still on its own at that step. ``starts[n]``
    is the step of the stored state that item n can start from: one that starts where it would leave a lane, or whose
    lane starts later, is on its own.
    """
    begin = dict(enumerate(starts))
    roots: list[int] = []
    leaving: dict[int, list[tuple[int, int]]] = {}
    lanes: list[tuple[int, int]] = []
    last = -1
    for item in items:
        step = min(share[last + 1 : item + 1], default=-1) if share else -1
        last = item
        while lanes and lanes[-1][1] >= step:
            lanes.pop()
        stored = begin.get(item, 0) > 0 and begin[item] >= step
        if step < 0 or not lanes or stored or begin.get(lanes[-1][0], 0) > step:
            roots.append(item)
            lanes = [(item, -1)]
        else:
            leaving.setdefault(lanes[-1][0], []).append((step, item))
            lanes.append((item, step))
    return roots, leaving


def family(item: int, leaving: dict[int, list[tuple[int, int]]]) -> int:
    """How many items come to be from one that begins, itself included."""
    return 1 + sum(family(child, leaving) for _, child in leaving.get(item, ()))
