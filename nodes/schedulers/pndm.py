"""The node ``scheduler.pndm``."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from flowgen.errors import WiringError
from flowgen.node import node

from .grid import Habits, Spacing
from .kinds import predicted
from .linear import Linear
from .schedule import Array, alphas_cumprod, timesteps
from .table import Table, evaluated

ADAMS = ((1.0,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth for even steps, newest first; eq. 12 of the paper"""
RUNGE_KUTTA = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


@lru_cache(maxsize=1024)
def pndm_calls(config: str, steps: int, spacing: str) -> tuple[tuple[int, ...], int]:
    """The timesteps of all calls, and how many of them belong to the Runge-Kutta beginning."""
    about: dict[str, Any] = json.loads(config)
    total, offset = about.get("num_train_timesteps", 1000), about.get("steps_offset", 0)
    if spacing == "model":
        spacing = about.get("timestep_spacing", "leading")
    if not 1 <= steps <= total:
        raise WiringError(f"steps must be 1 to {total}, not {steps}", about="steps calls")
    times = timesteps(total, steps, spacing, offset)
    if times[0] >= total:
        raise WiringError(
            f"{steps} steps with spacing '{spacing}' and offset {offset} leave the schedule",
            hint="take fewer steps, or another spacing",
            about="steps calls",
        )
    if about.get("skip_prk_steps"):
        return (*times[:2], *times[1:]), 0
    if steps < 4:
        raise WiringError(
            f"with its Runge-Kutta beginning scheduler.pndm takes 4 steps or more, not {steps}", about="steps calls"
        )
    half = total // steps // 2
    starts = [calls for t in times[:4] for calls in (t + half, t)][1:]
    return (*[t for t in starts for _ in range(2)][1:-1], *times[3:]), 12


@lru_cache(maxsize=1024)
def pndm_table(config: str, steps: int, spacing: str, kind: str, first: int) -> Table:
    """The calls from number ``first`` on, as diffusers makes them.

    The polynomial goes through what the network says, epsilon or v, as ``kind`` has it. A step leads to the timestep
    t - T // S, whatever the spacing.
    """
    about: dict[str, Any] = json.loads(config)
    bars = alphas_cumprod(config)
    calls, beginning = pndm_calls(config, steps, spacing)
    calls, width = calls[first:], len(bars) // steps
    final = 1.0 if about.get("set_alpha_to_one", False) else bars[0]

    def moved(x: Array, said: Array, t: int, to: int) -> Array:
        bar, after = bars[t], bars[to] if to >= 0 else final
        if kind == "v_prediction":
            said = np.sqrt(bar) * said + np.sqrt(1 - bar) * x
        x0 = (x - np.sqrt(1 - bar) * said) / np.sqrt(bar)
        return np.asarray(np.sqrt(after) * x0 + np.sqrt(1 - after) * said)

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        base, sum_, *said = kept
        t, bar = calls[k], bars[calls[k]]
        now = (np.sqrt(bar) * x - x0 if kind == "v_prediction" else x - np.sqrt(bar) * x0) / np.sqrt(1 - bar)
        if k < beginning:
            part = k % 4
            if part == 0:
                base, sum_, said = x, 0 * x, [now, *said][:3]
            sum_ = sum_ + RUNGE_KUTTA[part] * now
            to = t - (0 if part % 2 else width // 2)
            return moved(base, sum_ if part == 3 else now, calls[k // 4 * 4], to), [base, sum_, *said]
        if not beginning and k == 1:  # the first step again, with the mean of its two ends
            return moved(base, (now + said[0]) / 2, t + width, t), kept
        said = [now, *said]
        known = min(4, k + 1 - (k > 1)) if not beginning else 4
        mean = sum(weight * each for weight, each in zip(ADAMS[known - 1], said, strict=False))
        return moved(x, np.asarray(mean), t, t - width), [x, sum_, *said[:3]]

    bar = np.array([*(bars[t] for t in calls), final])
    times = np.array(calls, dtype=np.float64)
    return Table(times, np.sqrt(bar), np.sqrt(1 - bar), evaluated(call, len(calls), 5), np.zeros(len(calls)), 1.0)


@node("scheduler.pndm")
class PNDM(Linear):
    """Pseudo numerical methods, linear multistep of order 4; Liu et al. 2022, arXiv:2202.09778, eq. 11 to 13.

    A step is one denoiser call, and the first step one more: S + 1 calls. Where the configuration doesn't skip the
    paper's Runge-Kutta beginning (``skip_prk_steps``) the first three steps are four calls each: S + 9.
    """

    spacing: Spacing = "model"
    habits: ClassVar[Habits] = Habits(scaled=True, ignores=("clip_sample", "thresholding"))

    def find_ways(self, shape: tuple[int, ...]) -> list[Table]:
        """Each item's coefficients."""
        config = self.model.part("scheduler").config
        kind = predicted(self.about) if self.prediction_type == "model" else self.prediction_type
        counts = self.counts()
        firsts = [self.first(row, steps) for row, steps in enumerate(counts)]
        if any(firsts) and not self.about.get("skip_prk_steps"):
            raise WiringError(
                "scheduler.pndm with its Runge-Kutta beginning begins at the start",
                hint="see skip_prk_steps",
                about="strength after",
            )
        return [
            pndm_table(config, steps, self.spacing, kind, first) for steps, first in zip(counts, firsts, strict=True)
        ]

    def calls_of(self, first: int, last: int) -> int:
        """As diffusers does, a first step counts calls; ``last`` counts steps."""
        beginning = 1 if self.about.get("skip_prk_steps") else 3 * min(last, 3)
        return last + beginning - first

    def steps_of(self, calls: int) -> int:
        """The most steps that so many calls are enough for."""
        return max(1, calls - 1) if self.about.get("skip_prk_steps") else calls - 9
