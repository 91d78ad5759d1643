"""The schedule that a network was trained with: what its timesteps mean."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from flowgen.errors import WiringError
from flowgen.values import Model, Noisy
from flowgen.values.model import canonical

from .grid_edm import tells_angle
from .schedule import alphas_cumprod, is_edm, is_flow

SAMPLING = ("rescale_betas_zero_snr",)
"""entries that change the table of noise levels and that samplers may set on a network trained without"""


@lru_cache(maxsize=64)
def trained(config: str) -> str:
    """In words, from a diffusers scheduler configuration (canonical JSON); networks with equal words can take turns.

    Of a discrete schedule it is the noise levels themselves, to three digits, not how a configuration writes them.
    What a sampler chooses (spacing, shift, sigmas, kind of prediction) is no part of it.
    """
    about: dict[str, Any] = json.loads(config)
    total = about.get("num_train_timesteps", 1000)
    if is_edm(about):
        time = "an angle" if tells_angle(about) else "a logarithm"
        return f"EDM's preconditioning, sigma_data {about['sigma_data']:g}, told the noise level as {time}"
    if is_flow(about):
        return f"flow matching over {total} timesteps"
    try:
        bars = alphas_cumprod(canonical({name: value for name, value in about.items() if name not in SAMPLING}))
    except WiringError:  # betas that only scheduler.diffusers knows
        return f"{total} timesteps of the beta schedule '{about['beta_schedule']}'"
    with np.errstate(divide="ignore"):
        first, middle, last = np.sqrt((1 - bars) / bars)[[0, len(bars) // 2, -1]]
    return f"{len(bars)} timesteps at sigma / alpha from {first:.3g} through {middle:.3g} to {last:.3g}"


def check_schedule(x: Noisy, model: Model) -> None:
    """Raise WiringError where x goes by another schedule than the one that the model's network was trained with."""
    own = trained(model.part("scheduler").config)
    if x.schedule and x.schedule != own:
        raise WiringError(
            f"x goes by the schedule of the sampler's model ({x.schedule}), and the denoiser of '{model.label}' was "
            f"trained with another ({own})",
            hint="give the sampler the denoiser's own model, 'model: ...'; entries of its scheduler's configuration "
            "that are to be otherwise stand on that model, 'scheduler: {...}'",
        )
