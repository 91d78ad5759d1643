"""The node ``scheduler.euler_ancestral``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from flowgen.node import node

from .grid import Grid, Habits
from .spaced import Spaced
from .steps import ancestral, fresh
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def ancestral_table(grid: Grid) -> Table:
    """One call at the beginning of each step."""
    return tabulate(grid, lambda k, x, x0, kept: (ancestral(grid, k, x, x0), []), noise=fresh(grid))


@node("scheduler.euler_ancestral", version=2)
class EulerAncestral(Spaced):
    """Euler steps to a lower noise level than the next one, and fresh noise up to it; Song et al. 2021,
    arXiv:2011.13456, and Crowson's k-diffusion.

    A step is one denoiser call. The noise is the item's own: it goes on where the start noise ended.
    """

    habits: ClassVar[Habits] = Habits(
        ignores=(
            "clip_sample",
            "thresholding",
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "final_sigmas_type",
        )
    )

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return ancestral_table(grid)
