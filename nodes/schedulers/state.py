"""What samplers keep between steps, and what they show and give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from flowgen.values import Latent, Noisy, Record


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


class Next(NamedTuple):
    """Outputs after the step."""

    next: Noisy


class Sampled(NamedTuple):
    """Results."""

    sample: Latent
