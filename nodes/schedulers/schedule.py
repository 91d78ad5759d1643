"""Noise schedules: which timesteps a sampler visits, and how much signal and noise each stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import _disable_current_modes

from flowgen.errors import UserError, WiringError

Spacing = Literal["leading", "trailing", "linspace", "quad"]
Array = NDArray[np.float64]
MOST_TIMESTEPS = 1_000_000
"""of a training schedule; a table has as many entries"""


def check_timesteps(about: Mapping[str, Any], what: str, argument: str = "") -> None:
    """Raise UserError for a scheduler's configuration with more timesteps than anybody trains with."""
    total = about.get("num_train_timesteps", 1000)
    if type(total) is not int or not 0 < total <= MOST_TIMESTEPS:
        said = f"{what} has 'num_train_timesteps' {total!r:.40}, not a whole number from 1 to {MOST_TIMESTEPS}"
        raise UserError(said, hint="models are mostly trained with 1000", about=argument)


def is_flow(about: dict[str, Any]) -> bool:
    """Whether a diffusers scheduler configuration is one of flow matching."""
    says = about.get("use_flow_sigmas") or about.get("prediction_type") == "flow_prediction"
    return bool(says or ("shift" in about and "beta_schedule" not in about))


def is_edm(about: dict[str, Any]) -> bool:
    """Whether a diffusers scheduler configuration is one of EDM, with its preconditioning."""
    return "sigma_data" in about


@lru_cache(maxsize=64)
def alphas_cumprod(config: str) -> Array:
    """The training schedule, alpha-bar by timestep [T], from a diffusers scheduler configuration (canonical JSON).

    Computed in float32 as diffusers does, and kept in float64: models were trained and are judged with these values.
    """
    about: dict[str, Any] = json.loads(config)
    if is_flow(about) or is_edm(about):
        kind = "flow matching" if is_flow(about) else "EDM's preconditioning"
        raise WiringError(
            f"this sampler needs a discrete training schedule, the model is one of {kind}",
            hint="scheduler.euler, heun, dpm_2m and others run over any noise levels: see docs/schedulers.md",
            about="model",
        )
    start, end = about.get("beta_start", 1e-4), about.get("beta_end", 0.02)
    total = about.get("num_train_timesteps", 1000)
    kind = about.get("beta_schedule", "linear")
    with _disable_current_modes():
        if about.get("trained_betas"):
            betas = torch.tensor(about["trained_betas"], dtype=torch.float32)
        elif kind == "linear":
            betas = torch.linspace(start, end, total, dtype=torch.float32)
        elif kind == "scaled_linear":
            exact = torch.float64 if about.get("snr_shift_scale") else torch.float32  # CogVideoX's are
            betas = torch.linspace(start**0.5, end**0.5, total, dtype=exact) ** 2
        elif kind == "squaredcos_cap_v2":
            betas = cosine_betas(total)
        elif kind == "sigmoid":
            betas = torch.sigmoid(torch.linspace(-6, 6, total)) * (end - start) + start
        else:
            known = "linear, scaled_linear, squaredcos_cap_v2, sigmoid"
            raise WiringError(f"the beta schedule '{kind}' is not known", hint=known, about="model")
        bars = torch.cumprod(1 - betas, 0)
        if shift := about.get("snr_shift_scale"):
            bars = shifted(bars, shift, bool(about.get("rescale_betas_zero_snr")))
        elif about.get("rescale_betas_zero_snr"):
            bars = zero_terminal_snr(bars)
        found: Array = bars.double().numpy()
        return found


def shifted(bars: torch.Tensor, shift: float, zero: bool) -> torch.Tensor:
    """Alpha-bar [T] at a signal-to-noise ratio ``shift`` times smaller; Yang et al. 2024, arXiv:2408.06072, section 3.
    ``zero``: the last timestep is pure noise, as in ``zero_terminal_snr`` but not by way of betas."""
    bars = bars / (shift + (1 - shift) * bars)
    if not zero:
        return bars
    roots = bars.sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    return ((roots - last) * (first / (first - last))) ** 2


def zero_terminal_snr(bars: torch.Tensor) -> torch.Tensor:
    """Alpha-bar [T] shifted and scaled so that the last timestep is pure noise; Lin et al. 2023, arXiv:2305.08891,
    algorithm 1. By way of betas, as diffusers, so that rounding is the same."""
    roots = bars.sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    bars = ((roots - last) * (first / (first - last))) ** 2
    betas = 1 - torch.cat([bars[:1], bars[1:] / bars[:-1]])
    return torch.cumprod(1 - betas, 0)


def cosine_betas(total: int) -> torch.Tensor:
    """Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17, betas capped at 0.999."""

    def alpha_bar(t: float) -> float:
        return float(np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2)

    return torch.tensor([min(1 - alpha_bar((n + 1) / total) / alpha_bar(n / total), 0.999) for n in range(total)])


@lru_cache(maxsize=1024)
def timesteps(total: int, steps: int, spacing: Spacing, offset: int) -> tuple[int, ...]:
    """The timesteps of a sampler, noisiest first (Lin et al. 2023, arXiv:2305.08891, table 2).

    quad: closer where there is little noise, up to 0.8 T; Song et al. 2021, arXiv:2010.02502, appendix D.2.
    """
    if spacing == "quad":
        return tuple(int(t) for t in (np.linspace(0, (0.8 * total) ** 0.5, steps) ** 2)[::-1])
    if spacing == "linspace":
        return tuple(int(t) for t in np.linspace(0, total - 1, steps).round()[::-1])
    if spacing == "leading":
        return tuple(int(t) + offset for t in (np.arange(steps) * (total // steps))[::-1])
    # where rounding keeps arange from ending (61 steps of 1000), it would go on to timestep -1, as diffusers does
    return tuple(int(t) - 1 for t in np.round(np.arange(total, 0, -total / steps)))[:steps]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One item's way through the schedule; every array has one entry per step. Compared by identity, as a Grid."""

    times: NDArray[np.int64]
    alpha_bar: Array
    """at the step's timestep"""
    alpha_bar_next: Array
    """at the timestep that the step leads to"""
    alpha: Array
    """of x at the step's timestep"""
    sigma: Array
    start: float = 1.0
    """what the start noise is multiplied by"""


@lru_cache(maxsize=1024)
def plan(
    config: str, steps: int, spacing: Spacing, previous: Literal["diffusers", "exact"], clean: bool, first: int = 0
) -> Plan:
    """The steps of one item, from number ``first`` on.

    ``previous``: the timestep that a step leads to is the next of the list (exact), or the step's own minus T // S,
    as diffusers' DDIM computes it; the two differ where S doesn't divide T.

    ``clean``: the last step ends at alpha-bar 1, whatever the configuration's ``set_alpha_to_one`` says.
    """
    about: dict[str, Any] = json.loads(config)
    table = alphas_cumprod(config)
    total = len(table)
    if not 1 <= steps <= total:
        hint = f"the model was trained with {total} steps: take that many or fewer"
        raise WiringError(f"steps must be 1 to {total}, not {steps}", hint=hint, about="steps calls")
    times = timesteps(total, steps, spacing, about.get("steps_offset", 0))
    if max(times) >= total:
        raise WiringError(
            f"{steps} steps with spacing '{spacing}' and offset {about.get('steps_offset', 0)} leave the schedule",
            hint="take fewer steps, or another spacing",
            about="steps calls",
        )
    following = (
        [t - total // steps for t in times] if previous == "diffusers" and spacing != "quad" else [*times[1:], -1]
    )
    final = 1.0 if clean or about.get("set_alpha_to_one", True) else table[0]
    bar = np.array([table[t] for t in times])[first:]
    after = np.array([table[t] if t >= 0 else final for t in following])[first:]
    return Plan(np.array(times)[first:], bar, after, np.sqrt(bar), np.sqrt(1 - bar))
