"""Grids over the noise levels of a discrete training schedule, as those of Stable Diffusion."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from flowgen.errors import WiringError

from .grid import Grid, Habits, respaced
from .schedule import Array, alphas_cumprod, timesteps

LEAST_BAR = 2.0**-24
"""what diffusers takes alpha-bar to be where it is 0, with zero terminal SNR: the level would be infinite"""


@lru_cache(maxsize=1024)
def trained_grid(config: str, steps: int, spacing: str, sigmas: str, final: str, habits: Habits) -> Grid:
    """A grid over the noise levels of a discrete training schedule.

    ``spacing``, ``sigmas``, ``final``: "model" is what the configuration (canonical JSON of a diffusers scheduler)
    says. Raises WiringError for a number of steps that the schedule can't have.
    """
    about: dict[str, Any] = json.loads(config)
    levels = noise_levels(config)
    if spacing == "model":
        spacing = habits.says(about, "timestep_spacing", "linspace")
    times = spaced(len(levels), steps, spacing, about.get("steps_offset", 0), habits.coarse)
    ratio = np.interp(times, np.arange(len(levels)), levels)
    sigmas = habits.sigmas(about, sigmas)
    if sigmas != "trained":
        ends = (levels[-1], levels[0]) if habits.coarse else (ratio[0], ratio[-1])
        ratio = respaced(sigmas, steps, *ends, levels[0])
        times = time_of(config, ratio)
        if habits.coarse:
            cut = ("exponential", "beta", "karras" if habits.cuts_cosine and cosine(about) else "")
            times = np.floor(times) if sigmas in cut else np.round(times)
    if final == "model":
        final = habits.says(about, "final_sigmas_type", habits.final)
    if final == "last" and sigmas == "trained":
        final = "sigma_min"
    ratio = np.append(ratio, {"zero": 0.0, "sigma_min": levels[0], "last": ratio[-1]}[final])
    if habits.scaled:
        alpha = 1 / np.sqrt(1 + ratio**2)
        return Grid(times, alpha, ratio * alpha, 1.0, steps)
    start = np.hypot(ratio[0], 1) if spacing == "leading" else ratio[0]
    return Grid(times, np.ones_like(ratio), ratio, float(start), steps)


def cosine(about: dict[str, Any]) -> bool:
    """Whether a configuration's schedule is that of Nichol & Dhariwal 2021."""
    return about.get("beta_schedule") == "squaredcos_cap_v2"


@lru_cache(maxsize=64)
def noise_levels(config: str) -> Array:
    """sigma / alpha by timestep, [T], in the float32 of diffusers: some samplers cut times to whole ones."""
    bars = alphas_cumprod(config).astype(np.float32)
    bars[-1] = bars[-1] or LEAST_BAR
    return np.asarray(np.sqrt((1 - bars) / bars), dtype=np.float64)


def time_of(config: str, ratio: Array) -> Array:
    """The timesteps, not whole ones, at which sigma / alpha is ``ratio``; within the schedule."""
    levels = noise_levels(config).astype(np.float32)
    return np.interp(np.log(ratio), np.log(levels), np.arange(len(levels)))


def spaced(total: int, steps: int, spacing: str, offset: int, coarse: bool) -> Array:
    """Timesteps at which steps begin, noisiest first, [S]. Raises WiringError where they leave the schedule."""
    if not 1 <= steps <= total - coarse:
        raise WiringError(f"steps must be 1 to {total - coarse}, not {steps}", about="steps calls")
    if spacing == "linspace" and not coarse:
        return np.linspace(0, total - 1, steps)[::-1]
    if coarse and spacing != "trailing":
        found = np.array(timesteps(total, steps + 1, spacing, offset)[:-1], dtype=np.float64)
    else:
        found = np.array(timesteps(total, steps, spacing, offset), dtype=np.float64)
    if found[0] >= total:
        raise WiringError(
            f"{steps} steps with spacing '{spacing}' and offset {offset} leave the schedule",
            hint="take fewer steps, or another spacing",
            about="steps calls",
        )
    return found
