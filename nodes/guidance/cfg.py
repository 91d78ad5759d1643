"""The node ``guidance.cfg``."""

from __future__ import annotations

from typing import Any

from flowgen.node import node
from flowgen.values import PerItem, Prediction


def unused(params: dict[str, Any]) -> set[str]:
    """At scale 1 the unconditional prediction cancels out."""
    return {"uncond"} if params["scale"] == 1 else set()


@node("guidance.cfg", unused=unused)
def cfg(cond: Prediction, uncond: Prediction, scale: PerItem[float] = 7.5) -> Prediction:
    """Classifier-free guidance, uncond + scale * (cond - uncond); Ho & Salimans 2022, arXiv:2207.12598.

    A negative prompt is an ``uncond`` made from that text. Scale 1 is the conditional prediction.
    """
    return uncond + scale * (cond - uncond)
