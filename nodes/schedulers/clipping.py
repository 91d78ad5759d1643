"""Keeping a predicted x0 within the range of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

Limit = Literal["model", "never"] | float


@dataclass(frozen=True)
class Bounds:
    """The range of x0."""

    limit: float | None = None
    """x0 is cut to plus and minus it"""
    ratio: float | None = None
    """or, which comes first, to this quantile of its own magnitudes, see ``thresholded``"""
    most: float = math.inf
    """of the quantile"""

    def cut(self, x0: Tensor) -> Tensor:
        """x0 within the range."""
        if self.ratio is not None:
            return thresholded(x0, self.ratio, self.most)
        return x0 if self.limit is None else x0.clamp(-self.limit, self.limit)


def bounds(limit: Limit, ratio: Limit, about: Mapping[str, Any]) -> Bounds:
    """The range that is asked for. "model" is what a diffusers scheduler configuration says."""
    if ratio == "model" and about.get("thresholding"):
        return Bounds(None, about.get("dynamic_thresholding_ratio", 0.995), about.get("sample_max_value", 1.0))
    if not isinstance(ratio, str):
        return Bounds(None, ratio)
    if limit == "model" and about.get("clip_sample"):
        limit = about.get("clip_sample_range", 1.0)
    return Bounds(None if isinstance(limit, str) else limit)


def thresholded(x0: Tensor, ratio: float, most: float = math.inf) -> Tensor:
    """Dynamic thresholding; Saharia et al. 2022, arXiv:2205.11487, section 2.3.

    An item is cut to plus and minus s and divided by s, where s is the quantile ``ratio`` of its magnitudes, at least 1
    and at most ``most``.
    """
    s = quantile(x0.flatten(1).abs().float(), ratio).clamp(1, most).to(x0).reshape(-1, *[1] * (x0.dim() - 1))
    return x0.clamp(-s, s) / s


def quantile(rows: Tensor, ratio: float) -> Tensor:
    """Each row's quantile, between its two nearest numbers on a straight line, as ``torch.quantile`` has it.

    That one takes 2^24 numbers at most, and in torch 2.11 no tensors that have shapes alone.
    """
    last = rows.shape[1] - 1
    place = np.float32(ratio) * np.float32(last)  # which may round up to more than there are
    below, above = min(math.floor(place), last), min(math.ceil(place), last)
    ordered = rows.sort(1).values
    return ordered[:, below].lerp(ordered[:, above], float(place - np.float32(below)))
