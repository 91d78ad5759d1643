"""The node ``condition.class``."""

from __future__ import annotations

import torch

from flowgen.node import node
from flowgen.values import Conditioning, PerItem


@node("condition.class", stored=False)
def condition_class(label: PerItem[int | None] = None, context: Conditioning | None = None) -> Conditioning:
    """A class as the denoiser is told it; for an upscaler of DeepFloyd IF, the noise level of the small picture.

    label: the class's number, from 0; none is what the model was trained with for no class, the unconditional half of
    guidance.

    context: a condition to add it to.
    """
    labels = torch.tensor([-1 if value is None else value for value in label.values])
    if context is None:
        return Conditioning(labels=labels, space="class")
    return context.replace(labels=labels.to(next(iter(context.tensors().values())).device))
