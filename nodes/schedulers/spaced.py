"""The base of samplers whose noise levels are a matter of choice."""

from __future__ import annotations

from typing import Literal

from flowgen.errors import WiringError

from .grid import AYS, Final, Grid, Sigmas, Spacing
from .grid_edm import edm_grid
from .grid_flow import flow_grid, tokens
from .grid_trained import trained_grid
from .linear import Linear
from .schedule import is_edm, is_flow


class Spaced(Linear):
    """Base of samplers that run over any noise levels: of a discrete schedule, of flow matching, of EDM.

    docs/schedulers.md says what spacing, sigmas, final and shift are.
    """

    spacing: Spacing = "model"
    sigmas: Sigmas = "model"
    final: Final = "model"
    shift: Literal["model"] | float = "model"

    def grid(self, steps: int, shape: tuple[int, ...]) -> Grid:
        """The noise levels of so many steps. Raises WiringError for options that the model's kind doesn't have."""
        config = self.model.part("scheduler").config
        if is_edm(self.about):
            self.refuse("a model with EDM's preconditioning", "spacing", "sigmas", "shift")
            return edm_grid(config, steps, self.final)
        if is_flow(self.about):
            self.refuse("a model of flow matching", "final", *(["sigmas"] if self.sigmas in AYS else []))
            shift = None if self.shift == "model" else float(self.shift)
            return flow_grid(config, steps, self.spacing, self.sigmas, shift, tokens(shape), self.habits)
        self.refuse("a model with a discrete schedule", "shift")
        return trained_grid(config, steps, self.spacing, self.chosen_sigmas(), self.final, self.habits)

    def chosen_sigmas(self) -> Sigmas:
        """``sigmas`` on a discrete schedule."""
        return self.sigmas

    def refuse(self, model: str, *names: str) -> None:
        """Raise WiringError if one of these parameters is given."""
        for name in names:
            if (value := getattr(self, name)) != "model":
                raise WiringError(f"{model} has no '{name}: {value}'", hint="leave it out", about=name)
