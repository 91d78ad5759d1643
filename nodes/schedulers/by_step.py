"""Numbers that go with an item's steps, looked up for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .schedule import Array


class ByStep:
    """The numbers of some items, each of which may be at another step of another schedule.

    ``items``: of each item [F, n], a column for each of its n steps; items of one schedule give the same array.
    """

    def __init__(self, items: Sequence[Array]) -> None:
        distinct = {id(each): each for each in items}
        begins = np.cumsum([0, *(each.shape[1] for each in distinct.values())]).tolist()
        first = dict(zip(distinct, begins, strict=False))
        self.numbers = np.concatenate(list(distinct.values()), axis=1)
        self.first = np.array([first[id(each)] for each in items])

    def at(self, steps: Sequence[int]) -> Array:
        """Those of each item's own step, [F, B]."""
        return self.numbers.take(self.first + np.asarray(steps), axis=1)
