"""The base of samplers that are linear maps: parameters, state, one step for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Feedback, Loop, Uses
from flowgen.values import Latent, Model, Noise, Noisy, PerItem, Prediction, Time

from .clipping import Limit, bounded
from .ddim import add_noise
from .discrete import DiffusionState, Emitted, Sampled
from .grid import Final, Grid, Habits, Sigmas, Spacing
from .grid_edm import edm_grid, is_edm
from .grid_flow import flow_grid, is_flow, tokens
from .grid_trained import trained_grid
from .kinds import check_kind
from .table import Table, mapped

STEPS = 50
"""where neither steps nor calls are given"""


@dataclass(frozen=True)
class LinearState(DiffusionState):
    """A sampler's state, with what it keeps of earlier calls."""

    kept: Tensor | None
    """[B, M, C, H, W], None where the sampler keeps nothing"""


class Linear(Loop):
    """Base of samplers whose steps are tables of coefficients; subclasses say which."""

    start: Noise
    prediction: Feedback[Prediction]
    model: Annotated[Model, Uses("scheduler")]
    steps: PerItem[int | None] = None
    calls: PerItem[int | None] = None
    spacing: Spacing = "model"
    sigmas: Sigmas = "model"
    final: Final = "model"
    shift: Literal["model"] | float = "model"
    prediction_type: Literal["model", "epsilon", "v_prediction", "sample", "flow", "edm"] = "model"
    clip_sample: Limit = "model"
    threshold: Limit = "model"

    habits: ClassVar[Habits] = Habits(ignores=("clip_sample", "thresholding"))

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of the item at this row over its grid."""
        raise NotImplementedError  # pragma: no cover

    def steps_of(self, calls: int) -> int:
        """The most steps that so many denoiser calls are enough for."""
        return calls

    def length(self) -> list[int]:
        """The number of denoiser calls of each item."""
        return [len(table) for table in self.tables(())]

    def tables(self, shape: tuple[int, ...]) -> list[Table]:
        """Each item's coefficients. ``shape``: of the latents, without the item axis."""
        counts = self.counts()
        return [self.table(self.grid(count, shape), row) for row, count in enumerate(counts)]

    def counts(self) -> list[int]:
        """Each item's steps. Raises WiringError where both steps and calls are given."""
        found = []
        for steps, calls in zip(self.steps.values, self.calls.values, strict=True):
            if steps is not None and calls is not None:
                raise WiringError("steps and calls exclude each other", hint="calls are the denoiser's; leave one out")
            if calls is not None and (calls < 1 or self.steps_of(calls) < 1):
                raise WiringError(f"{calls} denoiser calls are too few for this sampler")
            found.append(self.steps_of(calls) if calls is not None else STEPS if steps is None else steps)
        return found

    @cached_property
    def about(self) -> dict[str, Any]:
        """The configuration of the model's scheduler."""
        return self.model.config("scheduler")

    def grid(self, steps: int, shape: tuple[int, ...]) -> Grid:
        """The noise levels of so many steps."""
        config = self.model.part("scheduler").config
        if is_edm(self.about):
            return edm_grid(config, steps, self.final)
        if is_flow(self.about):
            shift = None if self.shift == "model" else float(self.shift)
            return flow_grid(config, steps, self.spacing, self.sigmas, shift, tokens(shape), self.habits)
        return trained_grid(config, steps, self.spacing, self.sigmas, self.final, self.habits)

    def begin(self) -> LinearState:
        """The start noise, as large as the first noise level asks for."""
        data = self.start.data
        tables = self.tables(tuple(data.shape[1:]))
        x = mapped(np.array([[table.start] for table in tables]), [data])
        count = tables[0].maps.shape[1] - 1
        kept = data.new_zeros(len(data), count, *data.shape[1:]) if count else None
        return LinearState(x, self.start.stream, self.start.space, kept)

    def emit(self, state: LinearState, i: PerItem[int]) -> Emitted:
        """x and its time."""
        tables = list(zip(self.tables(tuple(state.x.shape[1:])), i.values, strict=True))
        times = torch.tensor([t.times[k] for t, k in tables], dtype=torch.float32)
        sigma, alpha, fraction = (
            torch.tensor(numbers, dtype=torch.float64)
            for numbers in zip(*[(t.sigma[k], t.alpha[k], k / len(t)) for t, k in tables], strict=True)
        )
        time = Time(i.tensor, times, sigma, alpha, fraction).to(state.x.device)
        return Emitted(Noisy(state.x, time, state.space))

    def advance(self, state: LinearState, i: PerItem[int], prediction: Prediction) -> LinearState:
        """One denoiser call's worth; only items whose coefficient of noise isn't 0 draw noise."""
        tables = list(zip(self.tables(tuple(state.x.shape[1:])), i.values, strict=True))
        maps = np.array([t.maps[k] for t, k in tables])
        kept = [] if state.kept is None else list(state.kept.unbind(1))
        terms = [state.x, self.clean(prediction), *kept]
        x, *keeping = (mapped(maps[:, row], terms) for row in range(maps.shape[1]))
        after = state.replace(x=x, kept=torch.stack(keeping, 1) if keeping else None)
        noise = [float(t.noise[k]) for t, k in tables]
        return add_noise(after, torch.tensor(noise, dtype=torch.float64), [bool(each) for each in noise])

    def finish(self, state: LinearState) -> Sampled:
        """The clean latent."""
        return Sampled(Latent(state.x, state.space))

    def clean(self, prediction: Prediction) -> Tensor:
        """x0 as predicted, within the range that is asked for."""
        check_kind(prediction, self.prediction_type, self.about)
        about = {entry: value for entry, value in self.about.items() if entry not in self.habits.ignores}
        return bounded(prediction.x0(), self.clip_sample, self.threshold, about)
