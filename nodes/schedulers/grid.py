"""Grids: the noise levels that a sampler steps through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.special

from .schedule import Array

Spacing = Literal["model", "leading", "trailing", "linspace"]
Sigmas = Literal["model", "trained", "karras", "exponential", "beta", "ays", "ays_xl", "ays_video"]
Final = Literal["model", "zero", "sigma_min"]

RHO = 7.0
"""Karras et al. 2022, arXiv:2206.00364, eq. 5"""
AYS: dict[str, tuple[float, ...]] = {
    "ays": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152),
    "ays_xl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113),
    "ays_video": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034),
}
"""Sabour et al. 2024, arXiv:2404.14507, for Stable Diffusion 1.5, XL and Stable Video Diffusion; ten steps"""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The steps of one item: ``x = alpha * x0 + sigma * epsilon`` at the beginning of each, and at the end.

    Grids are compared by identity, so that tables made of them can be remembered.
    """

    times: Array
    """[S], the model's own time at the beginning of each step"""
    alpha: Array
    """[S + 1]"""
    sigma: Array
    """[S + 1]"""
    start: float
    """what the start noise is multiplied by to be the first x"""
    total: int
    """steps of the whole schedule, of which these may be the last"""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def ratio(self) -> Array:
        """sigma / alpha [S + 1], the noise level of Karras et al."""
        with np.errstate(divide="ignore"):
            return self.sigma / self.alpha

    @property
    def log_snr(self) -> Array:
        """log(alpha / sigma) [S + 1], the lambda of Lu et al. 2022; infinite where sigma is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.alpha) - np.log(self.sigma)


@lru_cache(maxsize=1024)
def between(grid: Grid, first: int, last: int) -> Grid:
    """The steps from ``first`` to before ``last``."""
    if (first, last) == (0, len(grid)):
        return grid
    ends = slice(first, last + 1)
    return replace(grid, times=grid.times[first:last], alpha=grid.alpha[ends], sigma=grid.sigma[ends])


@dataclass(frozen=True, slots=True)
class Habits:
    """What diffusers' scheduler classes do each in their own way."""

    scaled: bool = False
    """x has unit variance throughout (alpha^2 + sigma^2 = 1); otherwise alpha is 1 and noise is added on top"""
    coarse: bool = False
    """timesteps are whole, and those of one more step than asked for, without the last"""
    cuts_cosine: bool = False
    """coarse timesteps of Karras's noise levels are cut to whole ones on a cosine schedule, and rounded on others"""
    ignores: tuple[str, ...] = ()
    """entries of a scheduler's configuration that don't count"""
    final: Literal["zero", "last"] = "zero"
    """where the steps end if the configuration doesn't say: without noise, or in a last step of no length"""
    from_noise: bool = False
    """coarse steps of flow matching begin at sigma 1, not one timestep of training below"""

    def says(self, about: dict[str, Any], entry: str, default: Any) -> Any:
        """An entry of a scheduler's configuration."""
        return default if entry in self.ignores else about.get(entry, default)

    def sigmas(self, about: dict[str, Any], asked: str) -> str:
        """Which noise levels are meant, "model" looked up."""
        if asked != "model":
            return asked
        known = ("karras", "exponential", "beta")
        return next((name for name in known if self.says(about, f"use_{name}_sigmas", False)), "trained")


def respaced(kind: str, steps: int, top: float, bottom: float, least: float) -> Array:
    """Noise levels of another spacing from ``top`` to ``bottom``, [S]. ``least``: of training."""
    ramp = np.linspace(0, 1, steps)
    if kind == "karras":
        return karras(ramp, top, bottom, RHO)
    if kind == "exponential":
        return np.asarray(np.exp(np.linspace(np.log(top), np.log(bottom), steps)))
    if kind == "beta":  # Lee et al. 2024, arXiv:2407.12173
        return np.asarray(bottom + scipy.special.betaincinv(0.6, 0.6, 1 - ramp) * (top - bottom))
    known = np.log([*AYS[kind], least])
    return np.asarray(np.exp(np.interp(np.linspace(0, 10, steps + 1), np.arange(11), known))[:-1])


def karras(ramp: Array, top: float, bottom: float, rho: float) -> Array:
    """Noise levels at the places ``ramp`` in 0..1; Karras et al. 2022, eq. 5."""
    return np.asarray((top ** (1 / rho) + ramp * (bottom ** (1 / rho) - top ** (1 / rho))) ** rho)
