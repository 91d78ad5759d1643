"""The node ``scheduler.ddim_inverse``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Feedback, Uses, node
from flowgen.values import Latent, Model, Noise, Noisy, PerItem, Prediction, Time
from flowgen.values.random import start

from ..noise.gaussian import Seed
from .clipping import Limit, bounds
from .discrete import at, scale
from .inverted import Ended, Inversion
from .kinds import check_kind, expected
from .sampler import numbers
from .schedule import Plan, Spacing, plan
from .state import DiffusionState, Emitted
from .trained import trained


@dataclass(frozen=True)
class Inverting(DiffusionState):
    """Where each item is, and at which noise level."""

    bar: Tensor
    """[B] float64, alpha-bar of x"""


@node("scheduler.ddim_inverse")
class DDIMInverse(Inversion):
    """DDIM backwards, from a clean latent to the noise from which scheduler.ddim comes back to it; Song et al. 2021,
    arXiv:2010.02502, section 4.3.

    A step takes the noise that is predicted at its beginning for that at its end, so the way back is exact only in the
    limit of many steps, and without guidance. Its result is a sampler's ``start``: give both the same steps, spacing,
    prediction_type, clip_sample and previous, and eta 0. A sampler that begins at another noise level refuses it.

    init: a clean latent, such as encoder.vae makes of a picture.

    strength: a part of the way, as of a sampler that takes the same ``init`` and strength; the result is the noise that
    lies on init there. Without it the whole way is gone, and the sampler takes no init.

    steps: denoiser calls. The network is asked at the timestep that a step leads to, as diffusers' DDIMInverseScheduler
    does.

    seed: of the random stream that a stochastic sampler would go on with.
    """

    init: Latent
    prediction: Feedback[Prediction]
    model: Annotated[Model, Uses("scheduler")]
    steps: PerItem[int] = 50
    strength: PerItem[float | None] = None
    seed: PerItem[Seed] = 0
    spacing: Literal["model", "leading", "trailing", "linspace"] = "model"
    prediction_type: Literal["model", "epsilon", "v_prediction", "sample"] = "model"
    clip_sample: Limit = "model"
    previous: Literal["diffusers", "exact"] = "diffusers"

    @cached_property
    def about(self) -> dict[str, Any]:
        """The configuration of the model's scheduler."""
        return self.model.config("scheduler")

    @cached_property
    def schedule(self) -> str:
        """What its timesteps mean."""
        return trained(self.model.part("scheduler").config)

    @cached_property
    def plans(self) -> list[Plan]:
        """Each item's way of scheduler.ddim, which is gone backwards."""
        spacing: Spacing = self.about.get("timestep_spacing", "leading")
        if self.spacing != "model":
            spacing = self.spacing
        config = self.model.part("scheduler").config
        each = zip(self.steps.values, self.strength.values, strict=True)
        firsts = [(steps, beginning(steps, 1.0 if strength is None else strength)) for steps, strength in each]
        return [plan(config, steps, spacing, self.previous, clean=False, first=first) for steps, first in firsts]

    def length(self) -> list[int]:
        """The number of steps. Raises WiringError for one that the schedule can't have."""
        return [len(way.times) for way in self.plans]

    def ended(self) -> list[Ended]:
        """At the noise level from which scheduler.ddim sets out."""
        each = zip(self.plans, self.strength.values, strict=True)
        return [Ended(way.alpha[0], way.sigma[0], strength is not None) for way, strength in each]

    def begin(self) -> Inverting:
        """The clean latent. Raises WiringError for a noisy one."""
        if self.init.is_noisy:
            raise WiringError("init is noisy: its sampler ended early (until)", hint="invert a clean latent")
        bar = at(PerItem([-1] * len(self.plans)), [way.alpha_bar_next for way in self.plans])
        return Inverting(self.init.data, start(self.seed.values), self.init.space, bar.to(self.init.data.device))

    def emit(self, state: Inverting, i: PerItem[int]) -> Emitted:
        """x, with its own noise level and the timestep that the step leads to."""
        times = torch.tensor([int(way.times[k]) for way, k in zip(self.plans, self.back(i).values, strict=True)])
        share = numbers([k / len(way.times) for way, k in zip(self.plans, i.values, strict=True)])
        bar = at(self.back(i), [way.alpha_bar_next for way in self.plans])
        time = Time(torch.tensor(i.values), times, (1 - bar).sqrt(), bar.sqrt(), share)
        return Emitted(Noisy(state.x, time.to(state.x.device), state.space, self.schedule))

    def advance(self, state: Inverting, i: PerItem[int], prediction: Prediction) -> Inverting:
        """One step towards noise."""
        check_kind(prediction, expected(self.prediction_type, self.about))
        if prediction.kind == "sample" and self.about.get("set_alpha_to_one", True):
            raise WiringError(
                "a prediction of x0 says nothing of the noise of a clean latent, where the way begins",
                about="prediction",
            )
        limits = {"clip_sample": True, **self.about, "thresholding": False}
        x0, epsilon = bounds(self.clip_sample, "never", limits).cut(prediction.x0()), prediction.epsilon()
        bar = at(self.back(i), [way.alpha_bar for way in self.plans]).to(state.bar.device)
        return state.replace(x=scale(bar.sqrt(), state.x) * x0 + scale((1 - bar).sqrt(), state.x) * epsilon, bar=bar)

    def back(self, i: PerItem[int]) -> PerItem[int]:
        """The same steps counted as scheduler.ddim does."""
        return PerItem([len(way.times) - 1 - k for way, k in zip(self.plans, i.values, strict=True)])

    def finish(self, state: Inverting) -> Noise:
        """The noise: x itself, or what lies on init there."""
        alpha, sigma = state.bar.sqrt(), (1 - state.bar).sqrt()
        parts = torch.tensor([strength is not None for strength in self.strength.values], device=alpha.device)
        data = state.x - scale(torch.where(parts, alpha, 0.0), state.x) * self.init.data.to(state.x)
        data = data / scale(torch.where(parts, sigma, 1.0), state.x)
        return Noise(data, state.stream, state.space, alpha, sigma, parts)


def beginning(steps: int, strength: float) -> int:
    """The step with which a sampler begins that takes this part of them. Raises WiringError where it takes none."""
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise WiringError(
            f"strength {strength} leaves none of {steps} steps to take", hint="above 0 to 1", about="strength steps"
        )
    return steps - int(steps * strength)
