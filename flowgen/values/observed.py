"""What is looked at and measured: images, features, scores, statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from flowgen.values.record import Record
from flowgen.values.value import Value


@dataclass(frozen=True)
class Image(Value):
    """Pictures as computed: floating point, not clipped."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("channel", "y", "x")}

    data: Tensor
    """[B, C, H, W]"""
    range: tuple[float, float] = (-1.0, 1.0)
    """what stands for black and white"""

    def unit(self) -> Tensor:
        """The pictures in 0..1, clipped, [B, C, H, W]."""
        low, high = self.range
        return ((self.data - low) / (high - low)).clamp(0, 1)


@dataclass(frozen=True)
class Video(Value):
    """Moving pictures as computed: floating point, not clipped."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("frame", "channel", "y", "x")}

    data: Tensor
    """[B, F, C, H, W]"""
    range: tuple[float, float] = (-1.0, 1.0)
    """what stands for black and white"""
    rate: float = 8.0
    """frames per second"""


@dataclass(frozen=True)
class Audio(Value):
    """Sounds as computed: floating point, nominally in -1..1, not clipped."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("speaker", "sample")}

    data: Tensor
    """[B, speakers, samples]"""
    rate: int = 44100
    """samples per second"""


@dataclass(frozen=True)
class Features(Value):
    """Feature vectors and the extractor that they come from."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"data": ("feature",)}

    data: Tensor
    """[B, D]"""
    extractor: str
    """identity of the network: features of two extractors are never compared"""


@dataclass(frozen=True)
class Score(Value):
    """One number per item."""

    data: Tensor
    """[B]"""
    count: Tensor
    """[B] int64, how many points it was made of"""
    name: str = "score"
    """what it measures, in words"""


@dataclass(frozen=True)
class Moments(Record):
    """Count, mean and scatter of feature vectors: what a Fréchet distance needs of a set. Float64, mergeable."""

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"mean": ("feature",), "scatter": ("feature", "other_feature")}

    count: Tensor
    """[B] int64"""
    mean: Tensor
    """[B, D]"""
    scatter: Tensor
    """[B, D, D], sum of outer products of the deviations from the mean"""
    extractor: str
