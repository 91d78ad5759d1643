"""Numbers that go with an item's steps, looked up for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from flowgen.values.ahead import Ahead

from .schedule import Array

FEW, MANY = 8, 32
"""steps that are looked up at once, at first and at most: a batch may soon be another, and mostly isn't"""


class ByStep:
    """The numbers of some items, each of which may be at another step of another schedule.

    ``items``: of each item [F, n], F numbers for each of its n steps; items of one schedule give the same array.
    """

    def __init__(self, items: Sequence[Array]) -> None:
        distinct = {id(each): each for each in items}
        counts = [each.shape[1] for each in distinct.values()]
        begins = dict(zip(distinct, np.cumsum([0, *counts]).tolist(), strict=False))
        self.numbers = np.concatenate([each.T for each in distinct.values()])
        self.first = np.array([begins[id(each)] for each in items])
        self.last = self.first + [each.shape[1] - 1 for each in items]
        self.begun: list[int] = []
        """the first steps of ``ready``"""
        self.ready = Ahead(torch.empty(0, len(items), self.numbers.shape[1], dtype=torch.float64))

    def at(self, steps: Sequence[int]) -> Array:
        """Those of each item's own step, [B, F]."""
        return self.numbers.take(self.first + np.asarray(steps), axis=0)

    def ahead(self, steps: list[int], device: torch.device) -> tuple[Ahead, int]:
        """Numbers on a device, and which of their steps are these.

        Several steps are looked up at once, since all items of a batch go on by one.
        """
        known, count = self.ready.numbers, self.ready.numbers.shape[0]
        n = steps[0] - self.begun[0] if self.begun else 0
        if not 0 <= n < count or device != known.device or [k + n for k in self.begun] != steps:
            here = self.first + np.asarray(steps)
            more = np.arange(min(MANY if count else FEW, 1 + int((self.last - here).max())))[:, None]
            rows = np.minimum(here + more, self.last)
            self.ready = Ahead(torch.from_numpy(self.numbers.take(rows, axis=0)).to(device))
            self.begun, n = list(steps), 0
        return self.ready, n
