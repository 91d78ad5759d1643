"""The node ``scheduler.lcm``."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from flowgen.errors import WiringError
from flowgen.node import node

from .grid import Grid, Habits
from .linear import Linear
from .schedule import Array, alphas_cumprod
from .table import Table, tabulate

DATA = 0.5
"""sigma_data of the boundary condition; Luo et al. 2023, eq. 8"""


@lru_cache(maxsize=1024)
def distilled_grid(config: str, steps: int, original: int, end: int | None) -> Grid:
    """The timesteps of a distilled model: ``steps`` of the ``original`` ones that it was taught.

    ``end``: the timestep at whose level the last step ends; None is without noise. Raises WiringError.
    """
    about: dict[str, Any] = json.loads(config)
    bars = alphas_cumprod(config)
    original = original or about.get("original_inference_steps", 50)
    if not 1 <= steps <= original <= len(bars):
        raise WiringError(
            f"steps must be 1 to {original}, those that the model was distilled for, not {steps}", about="steps calls"
        )
    taught = np.arange(original, 0, -1) * (len(bars) // original) - 1
    times = taught[np.floor(np.linspace(0, original, steps, endpoint=False)).astype(int)]
    bar = np.append(bars[times], 1.0 if end is None else bars[end])
    return Grid(times.astype(np.float64), np.sqrt(bar), np.sqrt(1 - bar), 1.0, steps)


@lru_cache(maxsize=1024)
def lcm_table(grid: Grid, scaling: float) -> Table:
    """At each step to the data, by the consistency function, and back to the next noise level with fresh noise."""

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        time = grid.times[k] * scaling
        skip, out = DATA**2 / (time**2 + DATA**2), time / np.hypot(time, DATA)
        return grid.alpha[k + 1] * (out * x0 + skip * x), []

    return tabulate(grid, call, noise=grid.sigma[1:])


@node("scheduler.lcm")
class LCM(Linear):
    """Latent consistency models, multistep sampling; Luo et al. 2023, arXiv:2310.04378, algorithm 3.

    A step is one denoiser call; for models distilled to 1 to 8 steps. original_steps: of the distillation, 0 is the
    configuration's, or else 50.
    """

    original_steps: int = 0
    habits: ClassVar[Habits] = Habits(scaled=True)

    def grid(self, steps: int, shape: tuple[int, ...]) -> Grid:
        """The timesteps that the model was taught."""
        return distilled_grid(self.model.part("scheduler").config, steps, self.original_steps, None)

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        return lcm_table(grid, self.about.get("timestep_scaling", 10.0))
