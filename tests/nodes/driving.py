"""Runs node code without the engine: a loop over a closed-form denoiser, models through their own loaders."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowgen.node.signature import signature_of
from flowgen.values import Model, Noise, Noisy, Part, PerItem, Prediction, Record
from flowgen.values.model import canonical, loader_of, opening
from flowgen.values.random import draw, start

MEAN, DEVIATION = 0.3, 0.5
"""The data of the closed-form denoiser, N(MEAN, DEVIATION^2 I)."""
SHAPE = (2, 4, 4)


def exact(x: Tensor, alpha: Tensor | float, sigma: Tensor | float, kind: str) -> Tensor:
    """The best prediction for Gaussian data: E[epsilon | x], or v made of it and E[x0 | x]."""
    deviation = (x - alpha * MEAN) / (alpha**2 * DEVIATION**2 + sigma**2)
    epsilon, x0 = sigma * deviation, MEAN + alpha * DEVIATION**2 * deviation
    return {"epsilon": epsilon, "v_prediction": alpha * epsilon - sigma * x0, "sample": x0}[kind]


def gaussian(kind: str) -> Callable[[Noisy], Prediction]:
    """That as a denoiser, computed in float64."""

    def denoise(x: Noisy) -> Prediction:
        alpha, sigma = (n.reshape(-1, 1, 1, 1) for n in (x.time.alpha, x.time.sigma))
        return Prediction(exact(x.data.double(), alpha, sigma, kind).to(x.data.dtype), x, kind)

    return denoise


def noise(seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> Noise:
    """Start noise as the node ``noise`` draws it, small."""
    data, after = draw(start(seeds), SHAPE)
    return Noise(data.to(dtype), after, "space")


def rescheduled(model: Model, **changes: Any) -> Model:
    """The model with another scheduler configuration."""
    part = model.part("scheduler")
    config = canonical({**json.loads(part.config), **changes})
    return Model({**model.parts, "scheduler": dataclasses.replace(part, config=config)}, model.label)


def made(loop: type, noise: Noise, rows: Sequence[int], arguments: dict[str, Any]) -> Any:
    """A loop for some items, its attributes set as the engine sets them."""
    found = loop()
    found.start, found.init = noise.take(rows), None
    for name, param in signature_of(loop).params.items():
        if param.per_item:
            setattr(found, name, PerItem([param.default] * len(rows)))
    for name, value in arguments.items():
        setattr(found, name, value.take(rows) if isinstance(value, (PerItem, Record)) else value)
    return found


def sample(loop: type, noise: Noise, denoise: Callable[[Noisy], Prediction], **arguments: Any) -> Tensor:
    """Run items of any step counts as one batch; each leaves when it is done. [B, C, H, W]"""
    lengths = made(loop, noise, range(len(noise)), arguments).length()
    return run(loop, noise, denoise, [0] * len(noise), lengths, arguments)


def run(
    loop: type,
    noise: Noise,
    denoise: Callable[[Noisy], Prediction],
    delays: Sequence[int],
    lengths: Sequence[int],
    arguments: dict[str, Any],
) -> Tensor:
    """The same where item n joins the batch ``delays[n]`` rounds late, so that items are at different steps."""
    states = [made(loop, noise, [n], arguments).begin() for n in range(len(noise))]
    for turn in range(max(d + length for d, length in zip(delays, lengths, strict=True))):
        rows = [n for n, length in enumerate(lengths) if 0 <= turn - delays[n] < length]
        if not rows:
            continue
        present, i = made(loop, noise, rows, arguments), PerItem([turn - delays[n] for n in rows])
        state = type(states[0]).concat([states[n] for n in rows])
        state = present.advance(state, i, denoise(present.emit(state, i).x))
        for place, n in enumerate(rows):
            states[n] = state.take([place])
    whole = made(loop, noise, range(len(noise)), arguments)
    found = whole.finish(type(states[0]).concat(states))
    data: Tensor = getattr(found, "sample", found).data
    return data


def close(mine: Tensor, reference: Tensor, bound: float | Tensor) -> bool:
    """Whether two tensors agree within ``bound`` (a number, or one per item) times max(1, |reference|)."""
    bounds = torch.as_tensor(bound).reshape(-1, *[1] * (mine.dim() - 1))
    return bool(((mine - reference).abs() <= bounds * reference.abs().clamp(min=1)).all())


def float32_bounds(steps: Sequence[int], spacing: str) -> Tensor:
    """1e-5 for each item.

    But 5e-5 for one trailing step, which divides by alpha = 0.015 once and for all: diffusers' own error is 2e-5 there.
    """
    return torch.tensor([5e-5 if count == 1 and spacing == "trailing" else 1e-5 for count in steps])


@cache
def loaded(part: Part) -> Any:
    """A part with its weights."""
    return loader_of(part).load(part, "cpu")


@contextlib.contextmanager
def opened() -> Iterator[None]:
    """Node code may open models in here."""
    with torch.no_grad(), opening(loaded):
        yield


def tables(folder: Path, **changes: Any) -> Tensor:
    """Diffusers' alpha-bar by timestep for a scheduler configuration, [T] float64."""
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_pretrained(folder, **changes).alphas_cumprod.double()
