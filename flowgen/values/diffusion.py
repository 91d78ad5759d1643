"""What diffusion graphs pass around: noise, latents, noisy latents that know their time, predictions, conditioning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values.per_item import over_items
from flowgen.values.record import Record
from flowgen.values.value import Value

KINDS = ("epsilon", "v_prediction", "sample", "flow")
"""What a denoiser can predict, in diffusers' words."""


@dataclass(frozen=True)
class Noise(Value):
    """Start noise and the random stream it came from; stochastic steps go on where the stream stands."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("channel", "y", "x")}

    data: Tensor
    """[B, ...], standard normal"""
    stream: Tensor
    """[B, n] uint8, the state of each item's torch.Generator on the CPU"""
    space: str = ""
    """the latent space it is meant for, empty for pixels"""


@dataclass(frozen=True)
class Latent(Value):
    """A clean latent, scaled as the denoiser sees it."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("channel", "y", "x")}

    data: Tensor
    """[B, C, H, W]"""
    space: str
    """identity of the latent space, see ``space_of``"""


@dataclass(frozen=True)
class Time(Record):
    """Where in the diffusion an item is: ``x = alpha * x0 + sigma * epsilon`` (Kingma et al. 2021, eq. 1)."""

    index: Tensor
    """[B] int64, step of the loop"""
    timestep: Tensor
    """[B], the model's own time"""
    sigma: Tensor
    """[B] float64, noise coefficient"""
    alpha: Tensor
    """[B] float64, signal coefficient"""
    fraction: Tensor
    """[B] float64, index / number of steps"""


@dataclass(frozen=True)
class Noisy(Value):
    """A latent on its way: raw (denoisers scale their input themselves) and aware of its time."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("channel", "y", "x")}

    data: Tensor
    """[B, C, H, W]"""
    time: Time
    space: str = ""


@dataclass(frozen=True)
class Prediction(Value):
    """What a denoiser said of ``x``; converts to any kind."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("channel", "y", "x")}

    data: Tensor
    """[B, C, H, W]"""
    x: Noisy
    """what the prediction was made from"""
    kind: str
    """one of KINDS"""

    def x0(self) -> Tensor:
        """The clean latent that the prediction implies, [B, C, H, W]."""
        alpha, sigma = self._coefficients()
        if self.kind == "epsilon":
            return (self.x.data - sigma * self.data) / alpha
        if self.kind == "v_prediction":
            return alpha * self.x.data - sigma * self.data
        if self.kind == "flow":
            return self.x.data - sigma * self.data
        return self.data

    def epsilon(self) -> Tensor:
        """The noise that the prediction implies, [B, C, H, W]."""
        alpha, sigma = self._coefficients()
        if self.kind == "epsilon":
            return self.data
        if self.kind == "v_prediction":
            return alpha * self.data + sigma * self.x.data
        return (self.x.data - alpha * self.x0()) / sigma

    def _coefficients(self) -> tuple[Tensor, Tensor]:
        if self.kind not in KINDS:
            raise WiringError(f"'{self.kind}' is no kind of prediction", hint=f"known: {', '.join(KINDS)}")
        time = self.x.time
        return over_items(time.alpha, self.x.data), over_items(time.sigma, self.x.data)


@dataclass(frozen=True)
class Conditioning(Record):
    """A text (or other condition) as the denoiser reads it."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"states": ("token", "width"), "pooled": ("width",)}

    states: Tensor
    """[B, L, D], one state per token"""
    pooled: Tensor | None = None
    """[B, D'], a summary, where the model has one"""


def space_of(channels: int, scale: float, shift: float, factor: int) -> str:
    """A latent space's identity: VAEs that agree in these can read one another's latents."""
    return f"{channels} channels, 1/{factor} size, scale {scale:g}, shift {shift:g}"
