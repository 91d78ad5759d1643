"""The node ``scheduler.euler``."""

from __future__ import annotations

from functools import lru_cache

from flowgen.node import node

from .grid import Grid
from .spaced import Spaced
from .steps import toward
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def euler_table(grid: Grid) -> Table:
    """One call at the beginning of each step."""
    return tabulate(grid, lambda k, x, x0, kept: (toward(grid, k, x, x0), []))


@node("scheduler.euler", version=2)
class Euler(Spaced):
    """Euler's method in the noise level; Karras et al. 2022, arXiv:2206.00364, algorithm 1 without its second half.

    A step is one denoiser call. Order 1.
    """

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return euler_table(grid)
