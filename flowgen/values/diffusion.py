"""What diffusion graphs pass around: noise, latents, noisy latents that know their time, predictions, conditioning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values.per_item import over_items
from flowgen.values.record import Record
from flowgen.values.value import Value

KINDS = ("epsilon", "v_prediction", "sample", "flow", "edm")
"""What a denoiser can predict, in diffusers' words; edm is F of Karras et al. 2022, eq. 7, which is -v."""


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
    """A latent, scaled as the denoiser sees it: clean, or left on its way with its noise level."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("channel", "y", "x")}

    data: Tensor
    """[B, C, H, W]"""
    space: str
    """identity of the latent space, see ``space_of``"""
    alpha: Tensor | None = None
    """[B] float64, signal coefficient of a noisy one, as of Time"""
    sigma: Tensor | None = None
    """[B] float64, noise coefficient"""

    @property
    def is_noisy(self) -> bool:
        """Whether it was left on its way; it can't be decoded."""
        return self.sigma is not None


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
        of_x, of_data = self._weights()
        if self.kind == "sample":
            return self.data
        return over_items(of_x, self.x.data) * self.x.data + over_items(of_data, self.x.data) * self.data

    @classmethod
    def of_x0(cls, x0: Tensor, x: Noisy, kind: str) -> Prediction:
        """The prediction of a kind that implies this clean latent [B, C, H, W]."""
        of_x, of_data = cls(x0, x, kind)._weights()
        return cls((x0 - over_items(of_x, x0) * x.data) / over_items(of_data, x0), x, kind)

    def epsilon(self) -> Tensor:
        """The noise that the prediction implies, [B, C, H, W]."""
        if self.kind == "epsilon":
            return self.data
        of_x, of_data = self._weights()
        alpha, sigma = self.x.time.alpha, self.x.time.sigma
        of_x, of_data = (1 - alpha * of_x) / sigma, -alpha * of_data / sigma
        return over_items(of_x, self.x.data) * self.x.data + over_items(of_data, self.x.data) * self.data

    def _weights(self) -> tuple[Tensor, Tensor]:
        """x0 is a sum of x and the prediction with these weights, each [B] float64.

        v is defined for x of unit variance (Salimans & Ho 2022, arXiv:2202.00512), flow is epsilon - x0.
        """
        alpha, sigma = self.x.time.alpha, self.x.time.sigma
        square = alpha**2 + sigma**2
        if self.kind == "epsilon":
            return 1 / alpha, -sigma / alpha
        if self.kind == "v_prediction":
            return alpha / square, -sigma / square.sqrt()
        if self.kind == "edm":
            return alpha / square, sigma / square.sqrt()
        if self.kind == "flow":
            return 1 / (alpha + sigma), -sigma / (alpha + sigma)
        if self.kind == "sample":
            return torch.zeros_like(alpha), torch.ones_like(alpha)
        raise WiringError(f"'{self.kind}' is no kind of prediction", hint=f"known: {', '.join(KINDS)}")


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
