"""The base of samplers that are linear maps: parameters, state, one step for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from flowgen.values import PerItem, Prediction

from .ddim import add_noise
from .grid import Grid, Habits, between
from .sampler import Sampler
from .state import DiffusionState
from .table import Table, coefficients, mapped


@dataclass(frozen=True)
class LinearState(DiffusionState):
    """A sampler's state, with what it keeps of earlier calls."""

    kept: Tensor | None
    """[B, M, C, H, W], None where the sampler keeps nothing"""


class Linear(Sampler):
    """Base of samplers whose steps are tables of coefficients; subclasses say which."""

    habits: ClassVar[Habits] = Habits(ignores=("clip_sample", "thresholding"))

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of the item at this row over its grid."""
        raise NotImplementedError  # pragma: no cover

    def find_ways(self, shape: tuple[int, ...]) -> list[Table]:
        """Each item's coefficients."""
        found = []
        for row, count in enumerate(self.counts()):
            grid = self.grid(count, shape)
            found.append(self.table(between(grid, self.first(row, count), len(grid)), row))
        return found

    def grid(self, steps: int, shape: tuple[int, ...]) -> Grid:
        """The noise levels of so many steps. ``shape``: as of ``tables``."""
        raise NotImplementedError  # pragma: no cover

    def begin(self) -> LinearState:
        """The first x, and nothing kept yet."""
        data = self.start.data
        tables = self.ways(tuple(data.shape[1:]))
        count = tables[0].maps.shape[1] - 1
        kept = data.new_zeros(len(data), count, *data.shape[1:]) if count else None
        return LinearState(self.first_x(tables), self.start.stream, self.start.space, kept)

    def advance(
        self, state: LinearState, i: PerItem[int], prediction: Prediction, renoise: Prediction | None = None
    ) -> LinearState:
        """One denoiser call's worth; only items whose coefficient of noise isn't 0 draw noise."""
        *maps, noise = self.by_step(coefficients, tuple(state.x.shape[1:])).at(i.values).T
        kept = [] if state.kept is None else list(state.kept.unbind(1))
        x0 = self.clean(prediction)
        terms = [self.origin(state, x0, renoise), x0, *kept]
        x, *keeping = (mapped(columns, terms) for columns in np.split(np.array(maps), 1 + len(kept)))
        after = state.replace(x=x, kept=torch.stack(keeping, 1) if keeping else None)
        return add_noise(after, torch.from_numpy(noise), (noise != 0).tolist())

    def limits(self) -> Mapping[str, Any]:
        """What the configuration says of the range of x0, as far as diffusers' class heeds it."""
        return {entry: value for entry, value in self.about.items() if entry not in self.habits.ignores}
