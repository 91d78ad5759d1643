"""The node ``scheduler.dpm_2m``."""

from __future__ import annotations

from functools import lru_cache

from flowgen.node import node

from .dpm import DPM, orders, second, third
from .grid import Grid
from .schedule import Array
from .steps import toward
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def multistep_table(
    grid: Grid, order: int, solver: str, lower_final: bool, euler_final: bool, share: float = 0.5
) -> Table:
    """One call at the beginning of each step; earlier predictions make up for the others. ``share``: see ``third``."""
    each = orders(grid, order, lower_final, euler_final)

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        said = [x0, *kept]
        if each[k] == 1:
            after = toward(grid, k, x, x0)
        else:
            after = second(grid, k, x, said, solver) if each[k] == 2 else third(grid, k, x, said, share)
        return after, said[: order - 1]

    return tabulate(grid, call, order - 1)


@node("scheduler.dpm_2m", version=2)
class DPM2M(DPM):
    """DPM-Solver++ (2M), multistep of order 2; Lu et al. 2022, arXiv:2211.01095, algorithm 2.

    A step is one denoiser call.
    solver: how the change of x0 within a step is weighed, "midpoint" or "heun"; both are of order 2.
    """

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return multistep_table(grid, 2, self.weighing(), *self.lowered())
