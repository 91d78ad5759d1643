"""The node ``scheduler.ddpm``."""

from __future__ import annotations

from typing import ClassVar, Literal

from flowgen.node import node
from flowgen.values import PerItem, Prediction

from .ddim import add_noise
from .discrete import Discrete, at, scale
from .sampler import DiffusionState


@node("scheduler.ddpm")
class DDPM(Discrete):
    """Denoising diffusion probabilistic models, ancestral sampling; Ho et al. 2020, arXiv:2006.11239, eq. 6 and 7.

    steps: denoiser calls; all T of the schedule is the paper's sampler, fewer skip timesteps.

    variance: "fixed_small" is the posterior's (beta tilde), "fixed_large" beta itself (Ho et al. 2020, section 3.2).
    No noise is added at timestep 0, the paper's last step. Where a schedule ends later (steps_offset, trailing), the
    last step adds what diffusers adds: none with fixed_small, whose variance is 0 there, beta's with fixed_large.
    """

    variance: Literal["fixed_small", "fixed_large"] = "fixed_small"
    ends_clean: ClassVar[bool] = True

    def advance(self, state: DiffusionState, i: PerItem[int], prediction: Prediction) -> DiffusionState:
        """One step: the posterior's mean, and noise."""
        plans = self.plans()
        bar, following = at(i, [p.alpha_bar for p in plans]), at(i, [p.alpha_bar_next for p in plans])
        alpha = bar / following
        beta = 1 - alpha
        x0 = self.clean(prediction)
        to_x0 = following.sqrt() * beta / (1 - bar)
        to_x = alpha.sqrt() * (1 - following) / (1 - bar)
        mean = scale(to_x0, state.x) * x0 + scale(to_x, state.x) * state.x
        variance = beta if self.variance == "fixed_large" else (1 - following) / (1 - bar) * beta
        drawing = [p.times[k] > 0 for p, k in zip(plans, i.values, strict=True)]
        return add_noise(state.replace(x=mean), variance.clamp(min=1e-20).sqrt(), drawing)
