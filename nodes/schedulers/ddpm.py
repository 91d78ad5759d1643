"""The node ``scheduler.ddpm``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem, Prediction

from .ddim import add_noise
from .discrete import Discrete, scale
from .schedule import Array, Plan
from .state import DiffusionState


@node("scheduler.ddpm", version=2)
class DDPM(Discrete):
    """Denoising diffusion probabilistic models, ancestral sampling; Ho et al. 2020, arXiv:2006.11239, eq. 6 and 7.

    steps: denoiser calls; all T of the schedule is the paper's sampler, fewer skip timesteps.

    variance: "fixed_small" is the posterior's (beta tilde), "fixed_large" beta itself (Ho et al. 2020, section 3.2);
    "learned_range" is where between the two the network says, in the logarithm (Nichol & Dhariwal 2021,
    arXiv:2102.09672, eq. 15). "model" is the configuration's, or else fixed_small.
    No noise is added at timestep 0, the paper's last step. Where a schedule ends later (steps_offset, trailing), the
    last step adds what diffusers adds: none with fixed_small, whose variance is 0 there, beta's with fixed_large.
    """

    variance: Literal["model", "fixed_small", "fixed_large", "learned_range"] = "model"
    ends_clean: ClassVar[bool] = True

    def advance(
        self, state: DiffusionState, i: PerItem[int], prediction: Prediction, renoise: Prediction | None = None
    ) -> DiffusionState:
        """One step: the posterior's mean, and noise."""
        now = self.by_step(posterior, ()).at(i.values)
        to_x0, to_x, small, beta, _ = torch.from_numpy(now).to(state.x.device).unbind(1)
        x0 = self.clean(prediction)
        mean = scale(to_x0, state.x) * x0 + scale(to_x, state.x) * self.origin(state, x0, renoise)
        drawing = (now[:, -1] > 0).tolist()
        return add_noise(state.replace(x=mean), self.deviation(small, beta, prediction), drawing)

    def deviation(self, small: Tensor, large: Tensor, prediction: Prediction) -> Tensor:
        """The deviation of the noise, [B] or, if it is learned, [B, ...], from the two fixed variances [B]."""
        kind = self.about.get("variance_type", "fixed_small")
        if self.variance != "model":
            kind = self.variance
        if kind in ("fixed_small", "fixed_large"):
            return (large if kind == "fixed_large" else small).sqrt()
        if kind != "learned_range":
            raise WiringError(
                f"the variance '{kind}' is not supported",
                hint="fixed_small, fixed_large, learned_range",
                about="variance model",
            )
        if prediction.variance is None:
            raise WiringError(
                "the network says no variance, which learned_range needs",
                hint="variance: fixed_small or fixed_large",
                about="variance prediction",
            )
        share = (prediction.variance + 1) / 2
        low, high = (scale(bound.log(), share) for bound in (small, large))
        return ((share * high + (1 - share) * low) / 2).exp()


@lru_cache(maxsize=1024)
def posterior(plan: Plan) -> Array:
    """By step, [5, n]: what x0 and x are multiplied by, the two variances (beta tilde, beta), the timestep."""
    bar, following = plan.alpha_bar, plan.alpha_bar_next
    alpha = bar / following
    beta = 1 - alpha
    to_x0 = np.sqrt(following) * beta / (1 - bar)
    to_x = np.sqrt(alpha) * (1 - following) / (1 - bar)
    small = np.maximum((1 - following) / (1 - bar) * beta, 1e-20)
    return np.stack([to_x0, to_x, small, beta, plan.times])
