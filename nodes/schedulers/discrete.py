"""What the samplers over a discrete schedule share: parameters, the way through the schedule, clipping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from flowgen.values import PerItem
from flowgen.values.per_item import over_items

from .sampler import Sampler
from .schedule import Array, Plan, Spacing, plan


class Discrete(Sampler):
    """Base of samplers that visit a list of training timesteps; subclasses say how one step goes."""

    spacing: Literal["model", "leading", "trailing", "linspace", "quad"] = "model"

    previous: Literal["diffusers", "exact"] = "exact"
    ends_clean: ClassVar[bool] = False
    """whether the last step ends at alpha-bar 1 even where the configuration says otherwise"""

    def find_ways(self, shape: tuple[int, ...]) -> list[Plan]:
        """Each item's way through the schedule."""
        config = self.model.part("scheduler").config
        spacing: Spacing = self.about.get("timestep_spacing", "leading")
        if self.spacing != "model":
            spacing = self.spacing
        return [
            plan(config, steps, spacing, self.previous, self.ends_clean, self.first(row, steps))
            for row, steps in enumerate(self.counts())
        ]

    def limits(self) -> Mapping[str, Any]:
        """What the configuration says of the range of x0; where it says nothing, diffusers' classes clip."""
        return {"clip_sample": True, **self.about}


def at(i: PerItem[int], tables: list[Array]) -> Tensor:
    """Each item's entry of its own table at its own step, [B] float64."""
    return torch.from_numpy(np.array([table[k] for table, k in zip(tables, i.values, strict=True)]))


def scale(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers [B] shaped to scale the items of x."""
    return over_items(numbers, x)
