"""The node ``scheduler.ddpm``."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem, Prediction

from .ddim import add_noise
from .discrete import Discrete, at, scale
from .sampler import DiffusionState

SAME = {"fixed_small_log": "fixed_small"}
"""Kinds of variance that differ in nothing but rounding."""


@node("scheduler.ddpm", version=2)
class DDPM(Discrete):
    """Denoising diffusion probabilistic models, ancestral sampling; Ho et al. 2020, arXiv:2006.11239, eq. 6 and 7.

    steps: denoiser calls; all T of the schedule is the paper's sampler, fewer skip timesteps.

    variance: "fixed_small" is the posterior's (beta tilde), "fixed_large" beta itself (Ho et al. 2020, section 3.2),
    "learned_range" what the network says, between these two (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15).
    "model" is what the model's configuration says.

    No noise is added at timestep 0, the paper's last step. Where a schedule ends later (steps_offset, trailing), the
    last step adds what diffusers adds: none with fixed_small, whose variance is 0 there, beta's with fixed_large.
    """

    variance: Literal["model", "fixed_small", "fixed_large", "learned_range"] = "model"
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
        drawing = [p.times[k] > 0 for p, k in zip(plans, i.values, strict=True)]
        return add_noise(state.replace(x=mean), self.deviation(beta, (1 - following) / (1 - bar), prediction), drawing)

    def deviation(self, beta: Tensor, share: Tensor, prediction: Prediction) -> Tensor:
        """The noise's standard deviation, [B] or [B, C, ...]. ``share``: what the posterior has of beta, [B]."""
        kind: str = self.variance
        if kind == "model":
            said = self.model.config("scheduler").get("variance_type", "fixed_small")
            kind = SAME.get(said, said)
        small = (share * beta).clamp(min=1e-20)
        if kind == "fixed_small":
            return small.sqrt()
        if kind == "fixed_large":
            return beta.clamp(min=1e-20).sqrt()
        if kind != "learned_range" or prediction.variance is None:
            raise WiringError(
                f"the variance '{kind}' can't be had here", hint="variance: fixed_small or fixed_large is always there"
            )
        fraction = (prediction.variance + 1) / 2
        low, high = (scale(each.log(), fraction) for each in (small, beta))
        return (fraction * high + (1 - fraction) * low).mul(0.5).exp()
