"""The node ``guidance.classifier``."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Model, Noisy, PerItem, Prediction
from flowgen.values.per_item import over_items


@node("guidance.classifier", stored=False)
def classifier(
    prediction: Prediction,
    classifier: Annotated[Model, Uses("classifier")],
    label: PerItem[int],
    scale: PerItem[float] = 1.0,
) -> Prediction:
    """Guidance by a classifier of noisy latents, epsilon - sigma * scale * grad log p(label | x); Dhariwal & Nichol,
    arXiv:2105.05233 (2021), algorithm 2.

    At scale 1, with an unconditional prediction and a perfect classifier, this is the conditional prediction (Bayes).

    classifier: a model with a part ``classifier`` that takes latents of unit variance and timesteps, and gives logits.

    label: the class, counted from 0.
    """
    slope = gradient(classifier, prediction.x, label)
    time = prediction.x.time
    return prediction.moved(over_items(scale.tensor.to(time.sigma) * time.sigma**2 / time.alpha, slope) * slope)


def gradient(classifier: Model, x: Noisy, label: PerItem[int]) -> Tensor:
    """Of log p(label | x) with respect to x, item by item, [B, C, H, W]. Raises WiringError for an unknown class."""
    net = classifier["classifier"]
    precision = next(net.parameters()).dtype
    with torch.enable_grad():
        data = x.data.detach().requires_grad_()
        unit = data * x.time.unit(data)
        logits = net(unit.to(precision), x.time.timestep)
        if not 0 <= min(label.values) <= max(label.values) < logits.shape[1]:
            raise WiringError(
                f"'{classifier.label}' knows {logits.shape[1]} classes, 0 to {logits.shape[1] - 1}", about="label"
            )
        chosen = logits.log_softmax(1).gather(1, label.tensor[:, None].to(logits.device))
        (found,) = torch.autograd.grad(chosen.sum(), data)
    return found
