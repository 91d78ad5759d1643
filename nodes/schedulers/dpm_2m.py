"""The node ``scheduler.dpm_2m``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from flowgen.node import node

from .dpm import DPM, orders, second, third
from .grid import Grid
from .schedule import Array
from .steps import toward
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def multistep_table(grid: Grid, order: int, solver: str, lower_final: bool, euler_final: bool) -> Table:
    """One call at the beginning of each step; earlier predictions make up for the others."""
    each = orders(grid, order, lower_final, euler_final)

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        said = [x0, *kept]
        if each[k] == 1:
            after = toward(grid, k, x, x0)
        else:
            after = second(grid, k, x, said, solver) if each[k] == 2 else third(grid, k, x, said)
        return after, said[: order - 1]

    return tabulate(grid, call, order - 1)


class Multistep(DPM):
    """Base of the multistep DPM-Solvers++ without noise."""

    order: ClassVar[int] = 2

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        lower, euler = self.about.get("lower_order_final", True), self.about.get("euler_at_final", False)
        return multistep_table(grid, self.order, self.weighing(), lower, euler)


@node("scheduler.dpm_2m")
class DPM2M(Multistep):
    """DPM-Solver++ (2M), multistep of order 2; Lu et al. 2022, arXiv:2211.01095, algorithm 2.

    A step is one denoiser call.
    solver: how the change of x0 within a step is weighed, "midpoint" or "heun"; both are of order 2.
    """
