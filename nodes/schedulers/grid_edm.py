"""Grids of models with the preconditioning of EDM; Karras et al. 2022, arXiv:2206.00364.

Such a network sees its input at unit variance for data of deviation ``sigma_data``. In flowgen's terms x0 is the
data divided by it, alpha is ``sigma_data`` at every step, and the network predicts v (or -v).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from flowgen.errors import WiringError

from .grid import Grid, karras
from .schedule import Array


@lru_cache(maxsize=1024)
def edm_grid(config: str, steps: int, final: str) -> Grid:
    """A grid from ``sigma_max`` to 0; see ``noise_time`` for the model's time."""
    about: dict[str, Any] = json.loads(config)
    if steps < 1:
        raise WiringError(f"steps must be at least 1, not {steps}", about="steps calls")
    top, bottom = about.get("sigma_max", 80.0), about.get("sigma_min", 0.002)
    ramp = np.linspace(0, 1, steps)
    if about.get("sigma_schedule", "karras") == "exponential":
        sigma = np.exp(np.linspace(np.log(top), np.log(bottom), steps))
    else:
        sigma = karras(ramp, top, bottom, about.get("rho", 7.0))
    if final == "model":
        final = about.get("final_sigmas_type", "zero")
    ends = np.append(sigma, sigma[-1] if final == "sigma_min" else 0.0)
    data = about.get("sigma_data", 0.5)
    return Grid(noise_time(about, sigma), np.full_like(ends, data), ends, float(np.hypot(top, 1)), steps)


def noise_time(about: dict[str, Any], sigma: Array) -> Array:
    """c_noise of the paper's table 1: log(sigma) / 4; where ``tells_angle``, an angle."""
    return np.arctan(sigma) * 2 / np.pi if tells_angle(about) else np.log(sigma) / 4


def tells_angle(about: dict[str, Any]) -> bool:
    """Whether a network is told the noise level as an angle: Stable Audio, whose class has other options."""
    return "solver_order" in about and "algorithm_type" not in about
