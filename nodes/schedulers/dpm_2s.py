"""The node ``scheduler.dpm_2s``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from flowgen.node import node

from .dpm import DPM, first_moment
from .grid import Grid, Habits
from .schedule import Array
from .steps import toward
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def singlestep_table(grid: Grid, solver: str, lower_final: bool) -> Table:
    """Pairs of calls: the second goes from where the first began to two places further, of order 2."""
    log_snr = grid.log_snr
    pairs = (len(grid) - (lower_final or grid.sigma[-1] == 0)) // 2

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        if k % 2 == 0 or k >= 2 * pairs:
            return toward(grid, k, x, x0), [x, x0]
        base, first = kept
        h, part = log_snr[k + 1] - log_snr[k - 1], log_snr[k] - log_snr[k - 1]
        rest = grid.sigma[k + 1] / grid.sigma[k - 1]
        whole = rest * base + (grid.alpha[k + 1] - grid.alpha[k - 1] * rest) * first
        return whole + grid.alpha[k + 1] * first_moment(h, solver) * (h / part) * (x0 - first), kept

    return tabulate(grid, call, 2)


@node("scheduler.dpm_2s", version=2)
class DPM2S(DPM):
    """DPM-Solver++ (2S), singlestep of order 2; Lu et al. 2022, arXiv:2211.01095, algorithm 1.

    A step is one denoiser call, as diffusers counts: two make one of the paper's. The last is of order 1, and the
    last two if their number is even.
    solver: as of scheduler.dpm_2m.
    """

    habits: ClassVar[Habits] = Habits(scaled=True, coarse=True, ignores=("clip_sample", "timestep_spacing"))

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return singlestep_table(grid, self.weighing(), self.about.get("lower_order_final", False))
