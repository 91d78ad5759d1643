"""The node ``guidance.cfg_zero``."""

from __future__ import annotations

import torch

from flowgen.node import node
from flowgen.values import PerItem, Prediction
from flowgen.values.per_item import over_items

from .cfg import check_uncond, unused
from .vectors import along


@node("guidance.cfg_zero", unused=unused)
def cfg_zero(
    cond: Prediction, uncond: Prediction | None = None, scale: PerItem[float] = 5.0, zero_steps: PerItem[int] = 1
) -> Prediction:
    """CFG-Zero*, for flow matching; Fan et al. 2025, arXiv:2503.18886, eq. 9 and algorithm 1.

    Classifier-free guidance from the unconditional velocity at its best length, <cond, uncond> / |uncond|^2 times it.

    zero_steps: first steps that leave x where it is, where an undertrained velocity does more harm than none.
    """
    if uncond is None:
        check_uncond(scale)
        guided = cond
    else:
        best = uncond.replace(data=along(cond.data, uncond.data))
        guided = best + scale * (cond - best)
    still = cond.x.time.index < zero_steps.tensor.to(cond.x.time.index.device)
    return guided.replace(data=torch.where(over_items(still, guided.data).bool(), 0.0, guided.data))
