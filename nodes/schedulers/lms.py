"""The node ``scheduler.lms``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

from flowgen.node import node

from .grid import Grid, Habits
from .schedule import Array
from .spaced import Spaced
from .steps import area, slope
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def lms_table(grid: Grid, order: int) -> Table:
    """Slopes of up to ``order`` calls, joined by a polynomial whose integral is exact."""

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        slopes = [slope(grid, k, x, x0, k), *kept][: k + 1]
        places = grid.sigma[k - len(slopes) + 1 : k + 1][::-1]
        for n, each in enumerate(slopes):
            x = x + area(places, n, grid.sigma[k + 1]) * each
        return x, [*slopes, *kept][: order - 1]

    return tabulate(grid, call, order - 1)


@node("scheduler.lms", version=2)
class LMS(Spaced):
    """Linear multistep (Adams-Bashforth) in the noise level with uneven steps; Crowson's k-diffusion.

    A step is one denoiser call. order: up to 4; the first steps have those before them only.
    """

    order: Literal[1, 2, 3, 4] = 4
    habits: ClassVar[Habits] = Habits(ignores=("clip_sample", "thresholding", "final_sigmas_type"))

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return lms_table(grid, self.order)
