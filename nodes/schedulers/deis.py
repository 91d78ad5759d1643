"""The node ``scheduler.deis``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from flowgen.node import node

from .dpm import orders
from .grid import Grid, Habits
from .schedule import Array
from .spaced import Spaced
from .steps import area, epsilon, toward
from .table import Table, tabulate


@lru_cache(maxsize=1024)
def deis_table(grid: Grid, order: int, lower_final: bool) -> Table:
    """Epsilon of up to ``order`` calls, joined by a polynomial in log rho, rho = sigma / alpha."""
    each = orders(grid, order, lower_final, euler_final=False)
    ratio = grid.ratio

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        said = [epsilon(grid, k, x, x0), *kept]
        if each[k] == 1:
            return toward(grid, k, x, x0), said[: order - 1]
        places = np.log(ratio[k - each[k] + 1 : k + 1][::-1] / ratio[k])
        top = np.log(ratio[k + 1] / ratio[k])
        after = x * (grid.alpha[k + 1] / grid.alpha[k])
        for n in range(each[k]):
            after = after + grid.alpha[k + 1] * ratio[k] * area(places, n, top, np.exp) * said[n]
        return after, said[: order - 1]

    return tabulate(grid, call, order - 1)


@node("scheduler.deis", version=2)
class DEIS(Spaced):
    """Diffusion exponential integrator sampler, log-rho multistep; Zhang & Chen 2023, arXiv:2204.13902, eq. 15.

    A step is one denoiser call. As in diffusers it ends at the least noise level of training, and other spacings of
    noise levels (karras, exponential, beta) end in a step of no length.
    order: "model" is the configuration's, or else 2.
    """

    order: Literal["model", 1, 2, 3] = "model"
    habits: ClassVar[Habits] = Habits(
        scaled=True, coarse=True, ignores=("clip_sample", "final_sigmas_type"), final="last"
    )

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        order = self.about.get("solver_order", 2) if self.order == "model" else self.order
        return deis_table(grid, order, self.about.get("lower_order_final", True))
