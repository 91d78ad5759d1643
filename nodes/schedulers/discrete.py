"""What the samplers over a discrete schedule share: parameters, the way through the schedule, clipping."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values import PerItem, Prediction
from flowgen.values.per_item import over_items

from .clipping import thresholded
from .sampler import Sampler
from .schedule import Array, Plan, Spacing, plan


class Discrete(Sampler):
    """Base of samplers that visit a list of training timesteps; subclasses say how one step goes."""

    steps: PerItem[int] = 50
    spacing: Literal["model", "leading", "trailing", "linspace"] = "model"
    prediction_type: Literal["model", "epsilon", "v_prediction", "sample"] = "model"
    clip_sample: Literal["model", "never"] | float = "model"

    previous: Literal["diffusers", "exact"] = "exact"
    ends_clean: ClassVar[bool] = False
    """whether the last step ends at alpha-bar 1 even where the configuration says otherwise"""

    def counts(self) -> list[int]:
        """The steps of each item's whole schedule."""
        return self.steps.values

    def plans(self) -> list[Plan]:
        """Each item's way through the schedule."""
        config = self.model.part("scheduler").config
        spacing: Spacing = self.model.config("scheduler").get("timestep_spacing", "leading")
        if self.spacing != "model":
            spacing = self.spacing
        return [
            plan(config, steps, spacing, self.previous, self.ends_clean, self.first(row, steps))
            for row, steps in enumerate(self.steps.values)
        ]

    def ways(self, shape: tuple[int, ...]) -> list[Plan]:
        """Each item's way through the schedule."""
        return self.plans()

    def clean(self, prediction: Prediction) -> Tensor:
        """x0 as predicted, clipped if so configured. Raises WiringError for a prediction of another kind."""
        about = self.model.config("scheduler")
        expected = about.get("prediction_type", "epsilon") if self.prediction_type == "model" else self.prediction_type
        if prediction.kind != expected:
            raise WiringError(
                f"the denoiser predicts '{prediction.kind}', the scheduler expects '{expected}'",
                hint="leave prediction_type out to take the model's own",
            )
        x0 = prediction.x0()
        limit = self.clip_sample
        if limit == "model" and about.get("thresholding"):
            return thresholded(x0, about.get("dynamic_thresholding_ratio", 0.995), about.get("sample_max_value", 1.0))
        if limit == "model":
            limit = about.get("clip_sample_range", 1.0) if about.get("clip_sample", True) else "never"
        return x0 if isinstance(limit, str) else x0.clamp(-limit, limit)


def at(i: PerItem[int], tables: list[Array]) -> Tensor:
    """Each item's entry of its own table at its own step, [B] float64."""
    return torch.tensor(np.array([table[k] for table, k in zip(tables, i.values, strict=True)]), dtype=torch.float64)


def scale(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers [B] shaped to scale the items of x."""
    return over_items(numbers, x)
