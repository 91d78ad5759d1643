"""The node ``guidance.cfg``."""

from __future__ import annotations

from typing import Any

import torch

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem, Prediction


def unused(params: dict[str, Any]) -> set[str]:
    """At scale 1 the unconditional prediction cancels out."""
    return {"uncond"} if params["scale"] == 1 else set()


def check_uncond(scale: PerItem[float]) -> None:
    """Without an unconditional prediction the scale must be 1. Raises WiringError."""
    if any(value != 1 for value in scale.values):
        raise WiringError(
            "guidance with a scale other than 1 needs 'uncond'", hint="wire it, or set scale: 1", about="scale"
        )


@node("guidance.cfg", unused=unused)
def cfg(cond: Prediction, uncond: Prediction | None = None, scale: PerItem[float] = 7.5) -> Prediction:
    """Classifier-free guidance, uncond + scale * (cond - uncond); Ho & Salimans 2022, arXiv:2207.12598.

    A negative prompt is an ``uncond`` made from that text; a weaker model's prediction as ``uncond`` is autoguidance
    (Karras et al. 2024, arXiv:2406.02507). Scale 1 is the conditional prediction: ``uncond`` is then neither computed
    nor part of the key.
    """
    if uncond is None:
        check_uncond(scale)
        return cond
    cond.same_as(uncond)
    return cond.replace(data=torch.lerp(uncond.data, cond.data, scale.like(cond.data)))
