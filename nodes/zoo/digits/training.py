"""The loop that every part of zoo:digits is trained with: AdamW, warm-up, cosine, clipped gradients, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


def fit(name: str, weights: list[nn.Parameter], loss: Callable[[int], Tensor], steps: int, rate: float) -> None:
    """Minimise ``loss(step)`` for ``steps`` steps at peak learning rate ``rate``.

    The rate warms up over the first 100 steps and falls to zero along a cosine. Prints progress every 100 steps.
    """
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
    start, running = time.perf_counter(), 0.0
    for step in range(steps):
        now = rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = now
        value = loss(step)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        running = value.item() if step == 0 else 0.98 * running + 0.02 * value.item()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            rest = (time.perf_counter() - start) / (step + 1) * (steps - step - 1)
            print(f"{name}: step {step + 1}/{steps}, loss {running:.4f}, {rest / 60:.1f} min left", flush=True)


class Average:
    """An exponential moving average of a module's weights, the ones that are shipped."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's present weights; the first steps average over less."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - decay)

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""
        module.load_state_dict(self.values)
