"""The node ``condition.zero``."""

from __future__ import annotations

import torch

from flowgen.node import node
from flowgen.values import Conditioning


@node("condition.zero", stored=False)
def condition_zero(context: Conditioning) -> Conditioning:
    """A condition with zeros for its states and its summary: the unconditional half of guidance where a model was
    trained with it, as those that read image embeddings. Its mask, class and sizes stay."""
    zeros = {
        name: torch.zeros_like(value) for name in ("states", "pooled") if (value := getattr(context, name)) is not None
    }
    return context.replace(**zeros)
