"""Numbers that go with an item's steps, looked up for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowgen.values.per_item import over_items

from .schedule import Array

FEW, MANY = 4, 32
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
        """the steps of the first entry of ``ready``"""
        self.ready: list[tuple[Tensor, Tensor]] = []
        self.kind: Any = None
        """what ``ready`` is for"""

    def at(self, steps: Sequence[int]) -> Array:
        """Those of each item's own step, [B, F]."""
        return self.numbers.take(self.first + np.asarray(steps), axis=0)

    def tensors(self, steps: list[int], x: Tensor) -> tuple[Tensor, Tensor]:
        """Those of each item's own step, on the device of ``x`` [B, ...]: [B, F] float64, and in the dtype of x, shaped
        [B, F, 1, ...] so that each column scales x's items.

        Several steps are looked up at once, since all items of a batch go on by one.
        """
        kind = type(x), x.dtype, x.device, x.dim()
        n = steps[0] - self.begun[0] if self.begun else 0
        if not 0 <= n < len(self.ready) or kind != self.kind or [k + n for k in self.begun] != steps:
            ahead = np.arange(min(2 * len(self.ready) or FEW, MANY))[:, None]
            rows = np.minimum(self.first + np.asarray(steps) + ahead, self.last)
            whole = torch.from_numpy(self.numbers.take(rows, axis=0)).to(x.device)
            scales = over_items(whole, x)
            self.begun, self.kind, n = list(steps), kind, 0
            self.ready = list(zip(whole.unbind(), scales.unbind(), strict=True))
        return self.ready[n]
