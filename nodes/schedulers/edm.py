"""The node ``scheduler.edm``."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem

from .grid import Grid, Habits, Sigmas
from .grid_edm import noise_time
from .grid_trained import time_of
from .schedule import Array, is_edm, is_flow
from .spaced import Spaced
from .steps import epsilon
from .table import Table, evaluated


@lru_cache(maxsize=1024)
def churned(grid: Grid, config: str, churn: float, low: float, high: float) -> Grid:
    """The grid with each step's beginning raised to sigma-hat; algorithm 2 of the paper, line 5."""
    sigma = grid.sigma[:-1]
    gamma = np.where((low <= sigma) & (sigma <= high), min(churn / len(grid), np.sqrt(2) - 1), 0.0)
    raised = sigma * (1 + gamma)
    about = json.loads(config)
    times = noise_time(about, raised) if is_edm(about) else time_of(config, raised)
    times = np.where(gamma > 0, times, grid.times)
    return replace(grid, times=times, sigma=np.append(raised, grid.sigma[-1]))


@lru_cache(maxsize=1024)
def edm_table(grid: Grid, raised: Grid, noise: float, halves: bool) -> Table:
    """Steps from sigma-hat to the next sigma; noise up to the next sigma-hat comes at the end of a step.

    ``halves``: Heun's method, with a second call at the end of each step but the last.
    """
    count = len(grid)
    calls = np.repeat(np.arange(count), 2)[1:] if halves else np.arange(count)

    def call(n: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        k, second = divmod(n, 2) if halves else (n, 0)
        width = grid.sigma[k + 1] - raised.sigma[k]
        if second:
            return kept[0] + width / 2 * epsilon(grid, k + 1, x, x0), kept
        change = epsilon(raised, k, x, x0)
        return x + width * change, [x + width / 2 * change] if halves else []

    lift = noise * np.sqrt(np.maximum(raised.sigma**2 - grid.sigma**2, 0))
    at_end, level = np.zeros(len(calls)), raised.sigma[calls]
    if halves:
        at_end[1::2], level[1::2] = lift[1:count], grid.sigma[1:count]
    else:
        at_end[:-1] = lift[1:count]
    times = raised.times[calls]
    if halves:
        times[1::2] = grid.times[1:]
    maps = evaluated(call, len(calls), int(halves))
    ends = np.append(level, grid.sigma[-1])
    return Table(times, np.full_like(ends, grid.alpha[0]), ends, maps, at_end, float(np.hypot(grid.start, lift[0])))


@node("scheduler.edm")
class EDM(Spaced):
    """The stochastic sampler of Karras et al. 2022, arXiv:2206.00364, algorithm 2; without churn algorithm 1.

    For models with EDM's preconditioning, and for those of a discrete schedule, whose noise levels are then spaced as
    in the paper's eq. 5 ("model" means "karras"). Noise that is added before the first step is part of the start noise.

    solver: "heun" makes two denoiser calls a step and one for the last, 2 S - 1; "euler" makes one.
    churn: S_churn of the paper, at noise levels from churn_min to churn_max (in units of the data), its noise
    multiplied by churn_noise.
    """

    solver: Literal["heun", "euler"] = "heun"
    churn: PerItem[float] = 0.0
    churn_min: float = 0.0
    churn_max: float = 1e9
    churn_noise: float = 1.0
    habits: ClassVar[Habits] = Habits(ignores=("clip_sample", "thresholding"))

    def steps_of(self, calls: int) -> int:
        """The most steps that so many calls are enough for."""
        return (calls + 1) // 2 if self.solver == "heun" else calls

    def calls_of(self, first: int, last: int) -> int:
        """Of steps that others follow."""
        return 2 * (last - first) if self.solver == "heun" else last - first

    def chosen_sigmas(self) -> Sigmas:
        """Those of the paper where nothing is said."""
        return "karras" if self.sigmas == "model" else self.sigmas

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item. Raises WiringError for a churn below 0, and for a model of flow matching."""
        if is_flow(self.about):
            raise WiringError(
                "scheduler.edm adds noise to data of full size; the model is one of flow matching", about="model"
            )
        churn = self.churn.values[row]
        if churn < 0:
            raise WiringError(f"churn must be 0 or more, not {churn}")
        config = self.model.part("scheduler").config
        raised = churned(grid, config, churn, self.churn_min, self.churn_max)
        return edm_table(grid, raised, self.churn_noise, self.solver == "heun")
