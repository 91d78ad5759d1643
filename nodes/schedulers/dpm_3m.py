"""The node ``scheduler.dpm_3m``."""

from __future__ import annotations

from typing import Literal

from flowgen.node import node

from .dpm import DPM
from .dpm_2m import multistep_table
from .grid import Grid
from .table import Table


@node("scheduler.dpm_3m", version=2)
class DPM3M(DPM):
    """DPM-Solver++ (3M), multistep of order 3; Lu et al. 2022, arXiv:2211.01095, and its authors' code.

    A step is one denoiser call. solver: as of scheduler.dpm_2m, for the steps of order 2 at the ends.

    difference: the code, and so "diffusers", counts half of the second difference of x0, which leaves order 2 with
    small errors; "exact" counts all of it.
    """

    difference: Literal["diffusers", "exact"] = "diffusers"

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        share = 1.0 if self.difference == "exact" else 0.5
        return multistep_table(grid, 3, self.weighing(), *self.lowered(), share)
