"""What diffusion graphs pass around: noise, latents, noisy latents that know their time, predictions, conditioning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from flowgen.values.model import Model
from flowgen.values.record import Record
from flowgen.values.time import Time
from flowgen.values.value import Value

LAYOUTS = {1: ("feature",), 2: ("channel", "position"), 3: ("channel", "y", "x"), 4: ("channel", "frame", "y", "x")}
"""Names of the dimensions of what diffuses, by how many there are: embeddings, sounds, pictures, videos."""


class Signal(Value):
    """Base of what diffuses or is told of it, of any rank: [B, D], [B, C, L], [B, C, H, W], [B, C, F, H, W]."""

    @classmethod
    def dimensions(cls, name: str, rank: int) -> tuple[str, ...]:
        """Names after the item axis, by rank."""
        return LAYOUTS.get(rank, ()) if name == "data" else super().dimensions(name, rank)


@dataclass(frozen=True)
class Noise(Signal):
    """Start noise and the random stream it came from; stochastic steps go on where the stream stands."""

    data: Tensor
    """[B, ...], standard normal"""
    stream: Tensor
    """[B, n] uint8, the state of each item's torch.Generator on the CPU"""
    space: str = ""
    """the latent space it is meant for, empty for pixels"""
    alpha: Tensor | None = None
    """[B] float64, of noise that an inversion found: signal coefficient where it ended; a sampler begins there"""
    sigma: Tensor | None = None
    """[B] float64, noise coefficient there"""
    added: Tensor | None = None
    """[B] bool, whether it is what was added to the inverted latent there; else it is x itself"""


@dataclass(frozen=True)
class Latent(Signal):
    """A latent, scaled as the denoiser sees it: clean, or left on its way with its noise level."""

    data: Tensor
    """[B, C, ...]"""
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
class Noisy(Signal):
    """A latent on its way: raw (denoisers scale their input themselves) and aware of its time."""

    data: Tensor
    """[B, C, ...]"""
    time: Time
    space: str = ""
    schedule: str = ""
    """the training schedule that its time goes by, see ``flowgen_nodes.schedulers.trained``; empty fits any"""


@dataclass(frozen=True)
class Prediction(Signal):
    """What a denoiser said of ``x``; converts to any kind."""

    data: Tensor
    """[B, C, ...]"""
    x: Noisy
    """what the prediction was made from"""
    kind: str
    """one of ``flowgen.values.time.KINDS``"""
    variance: Tensor | None = None
    """[B, C, ...], where between the least and the largest variance the step's is, -1..1, if the network says it;
    Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15"""

    def x0(self) -> Tensor:
        """The clean latent that the prediction implies, [B, C, ...]."""
        if self.kind == "sample":
            return self.data
        of_x, of_data = self.x.time.clean(self.kind, self.x.data)
        return of_x * self.x.data + of_data * self.data

    @classmethod
    def of_x0(cls, x0: Tensor, x: Noisy, kind: str) -> Prediction:
        """The prediction of a kind that implies this clean latent [B, C, H, W]."""
        of_x, of_data = x.time.clean(kind, x0)
        return cls((x0 - of_x * x.data) / of_data, x, kind)

    def moved(self, by: Tensor) -> Prediction:
        """The prediction whose x0 is larger by ``by`` [B, C, H, W]."""
        return self.replace(data=self.data + by / self.x.time.clean(self.kind, by)[1])

    def epsilon(self) -> Tensor:
        """The noise that the prediction implies, [B, C, ...]."""
        if self.kind == "epsilon":
            return self.data
        of_x, of_data = self.x.time.noise(self.kind, self.x.data)
        return of_x * self.x.data + of_data * self.data


@dataclass(frozen=True)
class Conditioning(Record):
    """A text, a class or another condition as the denoiser reads it; a family of models fills what it needs."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "states": ("token", "width"),
        "pooled": ("width",),
        "mask": ("token",),
        "sizes": ("number",),
    }

    states: Tensor | None = None
    """[B, L, D], one state per token"""
    pooled: Tensor | None = None
    """[B, D'], a summary"""
    mask: Tensor | None = None
    """[B, L] int64, 1 where a token counts"""
    labels: Tensor | None = None
    """[B] int64, a class, or the noise level of a picture that is made larger; -1 is no class"""
    sizes: Tensor | None = None
    """[B, n] float32, sizes and scores that the model is told"""
    space: str = ""
    """what kind of condition it is: a denoiser refuses those of another; empty fits any"""


@dataclass(frozen=True)
class Control(Record):
    """What a ControlNet leads a denoiser by. The network is named, not held, so that it isn't stored."""

    storable: ClassVar[bool] = False

    data: Tensor
    """[B, C, H, W], a picture in 0..1 or a latent"""
    scale: Tensor
    """[B] float64, what the network adds is multiplied by it"""
    start: Tensor
    """[B] float64, the fraction of the steps from which it is added"""
    end: Tensor
    """[B] float64, the fraction of the steps from which it is added no more"""
    model: Model
    """has the ControlNet, its part ``controlnet``"""
    guess: bool = False
    """whether the shallow layers add less, for empty texts"""
    space: str | None = None
    """of a latent, the latent space; None for a picture"""
    mode: Tensor | None = None
    """[B] int64, which kind of picture it is, for ControlNets of several kinds"""


def space_of(channels: int, scale: float, shift: float, factor: int) -> str:
    """A latent space's identity: VAEs that agree in these can read one another's latents."""
    return f"{channels} channels, 1/{factor} size, scale {scale:g}, shift {shift:g}"


def factor_of(space: str) -> int | None:
    """Pixels for each place of a latent of this space, along height and width; None where its name doesn't say."""
    said = re.search(r"\b1/(\d+) size\b", space)
    return int(said[1]) if said else None if space else 1
