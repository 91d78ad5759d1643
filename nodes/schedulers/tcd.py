"""The node ``scheduler.tcd``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np

from flowgen.node import node
from flowgen.values import PerItem

from .grid import Grid, Habits
from .lcm import distilled_grid
from .linear import Linear
from .sampler import check_eta
from .schedule import Array, alphas_cumprod
from .steps import epsilon
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def tcd_table(grid: Grid, config: str, eta: float) -> Table:
    """At each step along the predicted epsilon to an earlier timestep than the next, and back up with fresh noise."""
    bars = alphas_cumprod(config)
    following = np.append(grid.times[1:], 0.0)
    places = np.floor((1 - eta) * following).astype(int)
    to = bars[places]
    up = bars[following.astype(int)] / to
    up[-1] = 1.0  # the last step adds no noise

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        there = np.sqrt(to[k]) * x0 + np.sqrt(1 - to[k]) * epsilon(grid, k, x, x0)
        return np.sqrt(up[k]) * there, []

    return tabulate(grid, call, noise=np.sqrt(1 - up))


@node("scheduler.tcd")
class TCD(Linear):
    """Trajectory consistency distillation, strategic stochastic sampling; Zheng et al. 2024, arXiv:2402.19159,
    algorithm 4.

    A step is one denoiser call. eta: gamma of the paper, 0 (deterministic) to 1. original_steps: as of scheduler.lcm.
    """

    eta: PerItem[float] = 0.3
    original_steps: int = 0
    habits: ClassVar[Habits] = Habits(scaled=True, ignores=("clip_sample", "thresholding"))

    def grid(self, steps: int, shape: tuple[int, ...]) -> Grid:
        """The timesteps that the model was taught, ending at timestep 0."""
        return distilled_grid(self.model.part("scheduler").config, steps, self.original_steps, 0)

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item. Raises WiringError for an eta out of range."""
        check_eta(self.eta.values[row])
        return tcd_table(grid, self.model.part("scheduler").config, self.eta.values[row])
