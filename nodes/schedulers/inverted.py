"""Noise that an inversion found: a sampler takes it up where the inversion ended, and nowhere else."""

from __future__ import annotations

import math
from typing import NamedTuple

from flowgen.errors import WiringError
from flowgen.node import Loop
from flowgen.values import Noise
from flowgen.values.random import is_abstract

from .grid_trained import LEAST_BAR

NEAR = 1e-4
"""relative difference below which two noise levels are one; neighbouring timesteps differ by more"""


class Ended(NamedTuple):
    """Where an inversion ended: x = alpha * x0 + sigma * epsilon."""

    alpha: float
    sigma: float
    added: bool
    """whether its noise is what was added to the latent there; else it is x itself"""


class Inversion(Loop):
    """Base of loops that go from a clean latent to noise."""

    def ended(self) -> list[Ended]:
        """Where each item ends; like ``length`` it reads parameters and models alone."""
        raise NotImplementedError  # pragma: no cover


def ended(noise: Noise) -> list[Ended]:
    """Where the items of noise were left; none for noise that no inversion found."""
    if noise.alpha is None or noise.sigma is None or noise.added is None:
        return []
    return [Ended(*row) for row in zip(noise.alpha.tolist(), noise.sigma.tolist(), noise.added.tolist(), strict=True)]


def check_taken_up(left: Ended, alpha: float, sigma: float, has_init: bool) -> None:
    """Raise WiringError unless a sampler that begins at this alpha and sigma can take up what was left there."""
    if left.added and not has_init:
        raise WiringError(
            "start comes from an inversion with a 'strength': it is what was added to a latent, and no 'init' is wired",
            hint="wire the latent that was inverted into the sampler's 'init' and give both one strength, or invert "
            "without strength",
        )
    if has_init and not left.added:
        raise WiringError(
            "start comes from an inversion of the whole way: it is x itself there, and would be added to 'init' here",
            hint="leave 'init' and 'strength' out, or give the inversion the sampler's strength",
        )
    ends, begins = level(left.alpha, left.sigma), level(alpha, sigma)
    if not math.isclose(ends, begins, rel_tol=NEAR):
        raise WiringError(
            f"start comes from an inversion that ended at the noise level (sigma / alpha) {ends:.4g}, and the sampler "
            f"begins at {begins:.4g}",
            hint="give both the same steps, spacing and strength; with 'spacing: trailing' on both all whole ways have "
            "one end, whatever their steps",
        )


def check_one_end(a: Noise, b: Noise) -> None:
    """Raise WiringError for noises that two inversions left in two places."""
    if is_abstract():
        return
    for first, second in zip(ended(a), ended(b), strict=False):
        if first.added != second.added:
            which = "a" if first.added else "b"
            raise WiringError(
                f"{which} comes from an inversion with a 'strength', the other from one of the whole way",
                hint="give both inversions the same strength, or none",
            )
        ends = [level(each.alpha, each.sigma) for each in (first, second)]
        if not math.isclose(*ends, rel_tol=NEAR):
            raise WiringError(
                f"a comes from an inversion that ended at the noise level {ends[0]:.4g}, b from one at {ends[1]:.4g}",
                hint="give both inversions the same steps, spacing and strength",
            )


def level(alpha: float, sigma: float) -> float:
    """sigma / alpha; of pure noise what ``noise_levels`` takes for it."""
    return sigma / (alpha or LEAST_BAR**0.5)
