"""The node ``scheduler.heun``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np

from flowgen.node import node

from .grid import Grid, Habits
from .schedule import Array
from .spaced import Spaced
from .steps import slope, toward
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def heun_table(grid: Grid) -> Table:
    """Two calls for each step, at its beginning and at its end; one for the last."""

    def call(n: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        k, second = divmod(n, 2)
        width = grid.sigma[k + 1] - grid.sigma[k]
        if second:  # 'kept' has come half the way, with the slope at the beginning
            return kept[0] + width / 2 * slope(grid, k + 1, x, x0, k), kept
        if k == len(grid) - 1:
            return toward(grid, k, x, x0), kept
        change = slope(grid, k, x, x0, k)
        return x + width * change, [x + width / 2 * change]

    return tabulate(grid, call, 1, calls=np.repeat(np.arange(len(grid)), 2)[1:])


@node("scheduler.heun", version=2)
class Heun(Spaced):
    """Heun's method in the noise level; Karras et al. 2022, arXiv:2206.00364, algorithm 1.

    A step is two denoiser calls, the last step one: 2 S - 1 calls. Order 2.
    """

    habits: ClassVar[Habits] = Habits(ignores=("thresholding", "final_sigmas_type"))

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return heun_table(grid)

    def steps_of(self, calls: int) -> int:
        """The most steps that so many calls are enough for."""
        return (calls + 1) // 2

    def calls_of(self, first: int, last: int) -> int:
        """Two for each step."""
        return 2 * (last - first)
