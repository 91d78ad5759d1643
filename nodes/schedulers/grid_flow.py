"""Grids of flow matching: x = (1 - sigma) * x0 + sigma * epsilon, the model's time is sigma * T."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

import numpy as np

from flowgen.errors import WiringError

from .grid import Grid, Habits, respaced
from .schedule import Array

EDGE = 1e-6
"""kept away from pure noise, where log(alpha / sigma) is infinite; as diffusers' UniPC"""


def shift_of(about: dict[str, Any], tokens: int) -> float:
    """By how much a configuration shifts sigma towards noise, 1 is not at all; Esser et al. 2024, arXiv:2403.03206,
    eq. 23. With ``use_dynamic_shifting`` it grows with the number of tokens of the latent, as in Flux."""
    if not about.get("use_dynamic_shifting"):
        return float(about.get("shift", about.get("flow_shift", 1.0)))
    low, high = about.get("base_shift", 0.5), about.get("max_shift", 1.15)
    first, last = about.get("base_image_seq_len", 256), about.get("max_image_seq_len", 4096)
    mu = low + (high - low) * (tokens - first) / (last - first)
    return math.exp(mu) if about.get("time_shift_type", "exponential") == "exponential" else float(mu)


@lru_cache(maxsize=1024)
def flow_grid(
    config: str, steps: int, spacing: str, sigmas: str, shift: float | None, tokens: int, habits: Habits
) -> Grid:
    """A grid from noise to the data.

    ``spacing``: "linspace" from the first to the last sigma of training, "trailing" from 1 to 1 / steps; "model" is
    what the model's family says, or the latter where the shift depends on the latent's size and otherwise the former.
    ``shift``: None is the configuration's.
    """
    about: dict[str, Any] = json.loads(config)
    total = about.get("num_train_timesteps", 1000)
    if steps < 1:
        raise WiringError(f"steps must be at least 1, not {steps}", about="steps calls")
    if spacing == "leading":
        raise WiringError("flow matching has no spacing 'leading'", hint="linspace or trailing", about="spacing")
    by = shift_of(about, tokens) if shift is None else shift
    if spacing == "model":
        dynamic = about.get("use_dynamic_shifting") and not habits.coarse
        spacing = about.get("timestep_spacing", "trailing" if dynamic else "linspace")
    if habits.coarse:  # in diffusers' order of rounding: whole timesteps are made of it
        even = np.linspace(1, 1 / total, steps + 1)
        sigma = even[:-1] if habits.from_noise else (1 - even)[:0:-1]
    elif spacing == "trailing":
        sigma = np.linspace(1, 1 / steps, steps)
    else:
        static = 1.0 if about.get("use_dynamic_shifting") and shift is None else by
        sigma = np.linspace(1, shifted(np.array(1 / total), static), steps)
    sigma = shifted(sigma, by)
    if about.get("shift_terminal") and steps > 1:
        sigma = 1 - (1 - sigma) * (1 - about["shift_terminal"]) / (1 - sigma[-1])
    sigmas = habits.sigmas(about, sigmas)
    if sigmas != "trained":
        sigma = respaced(sigmas, steps, sigma[0], sigma[-1], sigma[-1])
    if habits.from_noise and sigma[0] > 1 - EDGE:
        sigma[0] -= EDGE
    times = np.floor(sigma * total) if habits.coarse else sigma * total
    sigma = np.append(sigma, sigma[-1] if habits.final == "last" else 0.0)
    return Grid(times, 1 - sigma, sigma, 1.0, steps)


def shifted(sigma: Array, by: float) -> Array:
    """Sigma shifted towards 1."""
    return np.asarray(by * sigma / (1 + (by - 1) * sigma))


def tokens(shape: tuple[int, ...]) -> int:
    """Tokens of a latent: [L, D] is L of them, [C, H, W] is cut into patches of 2 x 2, [C, T, H, W] isn't cut."""
    if len(shape) == 3:
        return (shape[1] // 2) * (shape[2] // 2)
    return math.prod(shape[1:]) if len(shape) > 3 else shape[0] if shape else 1
