"""The node ``scheduler.dpm_2m_sde``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from flowgen.node import node

from .dpm import DPM, orders
from .grid import Grid
from .schedule import Array
from .steps import ancestral, fresh
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def sde_table(grid: Grid, solver: str, lower_final: bool, euler_final: bool) -> Table:
    """As the solver without noise, but all the noise of x that is known is replaced by fresh noise."""
    each = orders(grid, 2, lower_final, euler_final)
    log_snr = grid.log_snr

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        after = ancestral(grid, k, x, x0)
        if each[k] == 2:
            h, before = log_snr[k + 1] - log_snr[k], log_snr[k] - log_snr[k - 1]
            half = -np.expm1(-2 * h) / 2
            weight = half if solver == "midpoint" else 1 - half / h
            after = after + grid.alpha[k + 1] * weight * (h / before) * (x0 - kept[0])
        return after, [x0]

    return tabulate(grid, call, 1, noise=fresh(grid))


@node("scheduler.dpm_2m_sde", version=2)
class DPM2MSDE(DPM):
    """SDE-DPM-Solver++ (2M), multistep with noise; Lu et al. 2022, arXiv:2211.01095, appendix C.

    A step is one denoiser call. The noise is the item's own: it goes on where the start noise ended.
    solver: as of scheduler.dpm_2m.
    """

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return sde_table(grid, self.weighing(), *self.lowered())
