"""The node ``scheduler.ddim``."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Literal, TypeVar

import numpy as np
import torch

from flowgen.node import node
from flowgen.values import PerItem, Prediction
from flowgen.values.random import draw

from .by_step import ByStep
from .discrete import Discrete, scale
from .sampler import check_eta
from .schedule import Array, Plan
from .state import DiffusionState

State = TypeVar("State", bound=DiffusionState)


@node("scheduler.ddim")
class DDIM(Discrete):
    """Denoising diffusion implicit models; Song et al. 2021, arXiv:2010.02502, eq. 12 and 16.

    eta: 0 is deterministic, 1 has DDPM's posterior variance, the most that a step can draw.

    steps: denoiser calls. spacing: which timesteps they visit; "model" takes the model's own configuration, as do
    prediction_type and clip_sample (a number clips x0 to plus and minus it).

    previous: "diffusers" steps to t - T // S as diffusers does; "exact" to the next timestep visited. They agree where
    the number of steps divides T and spacing is leading.

    use_clipped_epsilon: derive epsilon anew from the clipped x0; without it, guidance of 4 and more falls apart on
    pixel models that clip.
    """

    eta: PerItem[float] = 0.0
    previous: Literal["diffusers", "exact"] = "diffusers"
    use_clipped_epsilon: bool = False

    def find_ways(self, shape: tuple[int, ...]) -> list[Plan]:
        """Each item's way through the schedule. Raises WiringError for an eta out of range."""
        for eta in self.eta.values:
            check_eta(eta)
        return super().find_ways(shape)

    def advance(
        self, state: DiffusionState, i: PerItem[int], prediction: Prediction, renoise: Prediction | None = None
    ) -> DiffusionState:
        """One step; only items with eta above 0 draw noise."""
        ahead, n = self.coefficients.ahead(i.values, state.x.device)
        x0, epsilon = self.clean(prediction), (renoise or prediction).epsilon()
        if self.use_clipped_epsilon and renoise is None:
            alpha, sigma = ahead.scales(2, 4, state.x)[n]
            epsilon = (state.x - alpha * x0) / sigma
        to_x0, to_epsilon = ahead.scales(0, 2, state.x)[n]
        after = state.replace(x=to_x0 * x0 + to_epsilon * epsilon)
        return add_noise(after, ahead.scales(4, 5, state.x)[n][0], self.drawing) if any(self.drawing) else after

    @cached_property
    def drawing(self) -> list[bool]:
        """Which items draw noise."""
        return [eta > 0 for eta in self.eta.values]

    @cached_property
    def coefficients(self) -> ByStep:
        """Those of each item's steps."""
        each = zip(self.ways(()), self.eta.values, strict=True)
        return ByStep([coefficients(plan, float(eta)) for plan, eta in each])


@lru_cache(maxsize=1024)
def coefficients(plan: Plan, eta: float) -> Array:
    """By step, [5, n]: what x0 and epsilon are multiplied by, alpha and sigma of x, the deviation of fresh noise."""
    bar, following = plan.alpha_bar, plan.alpha_bar_next
    variance = (1 - following) / (1 - bar) * (1 - bar / following)
    fresh = eta * np.sqrt(np.maximum(variance, 0))
    to_epsilon = np.sqrt(np.maximum(1 - following - fresh**2, 0))
    return np.stack([np.sqrt(following), to_epsilon, plan.alpha, plan.sigma, fresh])


def add_noise(state: State, sigma: torch.Tensor, drawing: list[bool]) -> State:
    """Add fresh noise times ``sigma``, [B] or [B, ...], to the items that draw; others' streams stay where they are."""
    rows = [row for row, draws in enumerate(drawing) if draws]
    if not rows:
        return state
    index = torch.tensor(rows)
    fresh, after = draw(state.stream[index], state.x.shape[1:], torch.float32)
    fresh = fresh.to(state.x)
    sigma = sigma[index.to(sigma.device)]
    each = scale(sigma, fresh) if sigma.dim() == 1 else sigma.to(fresh)
    x = state.x.index_add(0, index.to(state.x.device), each * fresh)
    return state.replace(x=x, stream=state.stream.index_copy(0, index.to(state.stream.device), after.to(state.stream)))
