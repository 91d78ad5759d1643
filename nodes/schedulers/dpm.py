"""DPM-Solver++ in its parts; Lu et al. 2022, arXiv:2211.01095. Steps are in lambda = log(alpha / sigma)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from .grid import Grid, Habits
from .schedule import Array
from .spaced import Spaced
from .steps import toward

FEW = 15
"""below so many steps the last ones are of lower order, if ``lower_order_final`` is set"""


class DPM(Spaced):
    """Base of the DPM-Solvers++."""

    solver: Literal["model", "midpoint", "heun"] = "model"
    habits: ClassVar[Habits] = Habits(scaled=True, coarse=True, cuts_cosine=True, ignores=("clip_sample",))

    def weighing(self) -> str:
        """The kind of solver; what other solvers' configurations say there is taken for "midpoint", as in diffusers."""
        said = self.about.get("solver_type") if self.solver == "model" else self.solver
        return "heun" if said == "heun" else "midpoint"

    def lowered(self) -> tuple[bool, bool]:
        """Whether the last steps are of lower order if they are few, and whether the last is of order 1 in any case."""
        return self.about.get("lower_order_final", True), self.about.get("euler_at_final", False)


def second(grid: Grid, k: int, x: Array, said: Sequence[Array], solver: str) -> Array:
    """A step of order 2 from the last two predictions of x0, newest first; algorithm 2 of the paper."""
    log_snr = grid.log_snr
    h, before = log_snr[k + 1] - log_snr[k], log_snr[k] - log_snr[k - 1]
    change = (said[0] - said[1]) * (h / before)
    return toward(grid, k, x, said[0]) + grid.alpha[k + 1] * first_moment(h, solver) * change


def third(grid: Grid, k: int, x: Array, said: Sequence[Array], share: float) -> Array:
    """A step of order 3 from the last three predictions.

    ``share``: of the second difference that counts; 1 is Taylor's, the authors' code and diffusers take half.
    """
    log_snr = grid.log_snr
    h, h0, h1 = (log_snr[k + 1 - n] - log_snr[k - n] for n in range(3))
    near, far = (said[0] - said[1]) / h0, (said[1] - said[2]) / h1
    bend = (near - far) / (h0 + h1)
    first = h * (near + h0 * bend) * first_moment(h, "heun")
    second = 2 * h**2 * bend * ((np.expm1(-h) + h) / h**2 - 0.5) if h else 0 * bend
    return toward(grid, k, x, said[0]) + grid.alpha[k + 1] * (first - share * second)


def first_moment(h: float, solver: str) -> float:
    """The weight of a change of x0 per step of ``h``: exact if it is even ("heun"), or as if it were made at half the
    way ("midpoint"); the two differ by order h^2."""
    if solver == "midpoint":
        return float(-np.expm1(-h) / 2)
    return float(np.expm1(-h) / h + 1) if h else 0.0


def orders(grid: Grid, order: int, lower_final: bool, euler_final: bool) -> list[int]:
    """The order of each step of a multistep solver: what there is to use at first, lower at the end of few steps."""
    found = [min(order, k + 1) for k in range(len(grid))]
    few = lower_final and grid.total < FEW
    if len(found) > 1 and few:
        found[-2] = min(found[-2], 2)
    if few or euler_final or grid.sigma[-1] == 0:
        found[-1] = 1
    return found
