"""What the samplers over a discrete schedule share: parameters, state, time, clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from flowgen.node import Feedback, Loop, Uses
from flowgen.values import Latent, Model, Noise, Noisy, PerItem, Prediction, Record, Time
from flowgen.values.per_item import over_items

from .clipping import Limit, bounded
from .kinds import check_kind
from .schedule import Array, Plan, Spacing, plan


@dataclass(frozen=True)
class DiffusionState(Record):
    """A sampler's state: where each item is, and its random stream."""

    x: Tensor
    """[B, C, H, W]"""
    stream: Tensor
    """[B, n] uint8"""
    space: str


class Emitted(NamedTuple):
    """Per-step outputs."""

    x: Noisy


class Sampled(NamedTuple):
    """Results."""

    sample: Latent


class Discrete(Loop):
    """Base of samplers that visit a list of training timesteps; subclasses say how one step goes."""

    start: Noise
    prediction: Feedback[Prediction]
    model: Annotated[Model, Uses("scheduler")]
    steps: PerItem[int] = 50
    spacing: Literal["model", "leading", "trailing", "linspace", "quad"] = "model"
    prediction_type: Literal["model", "epsilon", "v_prediction", "sample"] = "model"
    clip_sample: Limit = "model"
    threshold: Limit = "model"

    previous: Literal["diffusers", "exact"] = "exact"
    ends_clean: ClassVar[bool] = False
    """whether the last step ends at alpha-bar 1 even where the configuration says otherwise"""

    def length(self) -> list[int]:
        """The number of steps of each item."""
        return [len(p.times) for p in self.plans()]

    def plans(self) -> list[Plan]:
        """Each item's way through the schedule."""
        config = self.model.part("scheduler").config
        spacing: Spacing = self.model.config("scheduler").get("timestep_spacing", "leading")
        if self.spacing != "model":
            spacing = self.spacing
        return [plan(config, steps, spacing, self.previous, self.ends_clean) for steps in self.steps.values]

    def begin(self) -> DiffusionState:
        """The start noise is the noisiest x."""
        return DiffusionState(self.start.data, self.start.stream, self.start.space)

    def emit(self, state: DiffusionState, i: PerItem[int]) -> Emitted:
        """x and its time."""
        plans = self.plans()
        bar = at(i, [p.alpha_bar for p in plans])
        times = torch.tensor([p.times[k] for p, k in zip(plans, i.values, strict=True)])
        fraction = torch.tensor([k / len(p.times) for p, k in zip(plans, i.values, strict=True)], dtype=torch.float64)
        device = state.x.device
        time = Time(i.tensor, times, (1 - bar).sqrt(), bar.sqrt(), fraction).to(device)
        return Emitted(Noisy(state.x, time, state.space))

    def finish(self, state: DiffusionState) -> Sampled:
        """The clean latent."""
        return Sampled(Latent(state.x, state.space))

    def clean(self, prediction: Prediction) -> Tensor:
        """x0 as predicted, clipped if so configured. Raises WiringError for a prediction of another kind."""
        about = self.model.config("scheduler")
        check_kind(prediction, self.prediction_type, about)
        return bounded(prediction.x0(), self.clip_sample, self.threshold, {"clip_sample": True, **about})


def at(i: PerItem[int], tables: list[Array]) -> Tensor:
    """Each item's entry of its own table at its own step, [B] float64."""
    return torch.tensor(np.array([table[k] for table, k in zip(tables, i.values, strict=True)]), dtype=torch.float64)


def scale(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers [B] shaped to scale the items of x."""
    return over_items(numbers, x)
