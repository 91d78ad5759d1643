"""Resizing of pictures, latents and anything else with two last axes, as Pillow resizes: weighted means along each."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgen.values.random import is_abstract

Filter = Literal["lanczos", "bicubic", "bilinear", "nearest"]
SUPPORT = {"lanczos": 3.0, "bicubic": 2.0, "bilinear": 1.0}
"""half the width of each kernel"""


def resample(data: Tensor, size: tuple[int, int], filter: Filter) -> Tensor:
    """``data`` [..., H, W] with its two last axes resized to ``size``. Shrinking is antialiased, but for nearest."""
    for axis, length in zip((-1, -2), reversed(size), strict=True):
        if data.shape[axis] == length:
            continue
        if filter == "nearest":
            middles = (2 * torch.arange(length, device=data.device) + 1) * data.shape[axis] // (2 * length)
            data = data.index_select(axis, middles)
        else:
            before = data.shape[axis]
            told = data.new_empty(length, before)  # where there are no numbers a size may be beyond all memory
            if not is_abstract():
                told = torch.from_numpy(weights(before, length, filter)).to(data)
            data = (data.movedim(axis, -1) @ told.T).movedim(-1, axis)
    return data


@lru_cache(maxsize=64)
def weights(before: int, after: int, filter: Filter) -> NDArray[np.float64]:
    """What each of ``before`` samples counts for each of ``after``, [after, before]; rows add up to 1.

    A kernel is stretched where samples become fewer; beyond the edges there is nothing.
    """
    ratio = before / after
    stretch = max(1.0, ratio)
    centres = (np.arange(after)[:, None] + 0.5) * ratio
    away = (np.arange(before)[None] + 0.5 - centres) / stretch
    made = np.where(np.abs(away) < SUPPORT[filter], kernel(np.abs(away), filter), 0.0)
    return np.asarray(made / made.sum(1, keepdims=True))


def kernel(x: NDArray[np.float64], filter: Filter) -> NDArray[np.float64]:
    """Triangle, cubic with a = -1/2 (Keys 1981), or sinc(x) sinc(x / 3), at x >= 0 within its support."""
    if filter == "bilinear":
        return 1 - x
    if filter == "lanczos":
        return np.asarray(np.sinc(x) * np.sinc(x / 3))
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, far)
