"""The node ``guidance.apg``."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from flowgen.node import Carry, node
from flowgen.values import PerItem, Prediction
from flowgen.values.per_item import over_items

from .cfg import check_uncond, unused
from .vectors import along, dot, ratio


@node("guidance.apg", unused=unused)
def apg(
    cond: Prediction,
    average: Carry[Tensor],
    uncond: Prediction | None = None,
    scale: PerItem[float] = 7.5,
    eta: PerItem[float] = 0.0,
    momentum: PerItem[float] = -0.5,
    norm_threshold: PerItem[float] = 15.0,
    space: Literal["x0", "prediction"] = "x0",
) -> tuple[Prediction, Tensor]:
    """Adaptive projected guidance: large scales without oversaturation; Sadat et al. 2024, arXiv:2410.02416.

    cond + (scale - 1) * d, where d is cond - uncond with less of the part that is parallel to cond.

    eta: what is kept of the parallel part; 1 keeps all. momentum: how much of the earlier steps' differences is added,
    negative in the paper. norm_threshold: longest difference that is let through; 0 sets no limit. With eta 1,
    momentum 0 and norm_threshold 0 this is classifier-free guidance.

    space: what is compared, the predicted clean latents as in the paper, or the predictions as they are.
    """
    if uncond is None:
        check_uncond(scale)
        return cond, average.or_zeros(cond.data)
    pair = (cond.x0(), uncond.x0()) if space == "x0" else (cond.data, uncond.data)
    difference = pair[0] - pair[1] + momentum.like(pair[0]) * average.or_zeros(pair[0])
    shortened = over_items(limits(difference, norm_threshold), difference) * difference
    parallel = along(shortened, pair[0])
    update = shortened - (1 - eta.like(parallel)) * parallel
    guided = pair[0] + (scale.like(update) - 1) * update
    made = Prediction.of_x0(guided, cond.x, cond.kind) if space == "x0" else cond.replace(data=guided)
    return made, difference


def limits(difference: Tensor, most: PerItem[float]) -> Tensor:
    """What brings each item's length to at most ``most``, [B]; 1 where that is 0."""
    longest = most.tensor.double().to(difference.device)
    factor = ratio(longest, dot(difference, difference).sqrt())
    return torch.where((longest == 0) | (factor == 0), torch.ones_like(factor), factor).clamp(max=1)
