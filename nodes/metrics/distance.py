"""The node ``score.distance``."""

from __future__ import annotations

import torch

from flowgen.node import node
from flowgen.values import Score
from flowgen.values.value import Value


@node("score.distance")
def distance(value: Value, reference: Value) -> Score:
    """Root of the mean squared difference of two values of one kind, pictures or latents, in their own units."""
    difference = (value - reference).data.double().flatten(1)
    found = difference.square().mean(1).sqrt()
    return Score(found, torch.ones(len(found), dtype=torch.long), "distance")
