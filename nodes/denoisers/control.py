"""The node ``control``, and how a denoiser takes what it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Control, Image, Model, Noisy, PerItem
from flowgen.values.random import is_abstract

from ..families import Family
from ..families.controls import Controlled
from ..models.running import precision


@node("control", stored=False)
def control(
    image: Image,
    model: Annotated[Model, Uses("controlnet")],
    scale: PerItem[float] = 1.0,
    start: PerItem[float] = 0.0,
    end: PerItem[float] = 1.0,
    guess: bool = False,
) -> Control:
    """A picture that a ControlNet leads a denoiser by: edges, depth, a pose; Zhang et al. 2023, arXiv:2302.05543.

    For the denoiser's port ``control``, which takes several. model: a folder of a ControlNet. image: as large as the
    picture that is sampled.

    scale: what the ControlNet adds to the denoiser's layers is multiplied by it; 0 is none.

    start, end: fractions of the loop's steps between which it leads, the end excluded.

    guess: let it add less in shallow layers, as section 4.2 of the paper does for empty texts; the unconditional
    denoiser goes without control then.
    """
    for low, high in zip(start.values, end.values, strict=True):
        if not 0 <= low < high <= 1:
            raise WiringError(f"a ControlNet leads from 'start' to 'end', in order in 0 to 1, not {low} to {high}")
    device = image.data.device
    strength, first, last = (numbers.tensor.double().to(device) for numbers in (scale, start, end))
    return Control(image.unit(), strength, first, last, model, guess)


def controls(given: Sequence[Control], x: Noisy, net: Any, family: Family, model: Model) -> tuple[Controlled, ...]:
    """The ControlNets that lead this call. Raises WiringError for those of another model or size."""
    found = []
    for each in given:
        own = each.model["controlnet"]
        check(each, own, x, net, family, model)
        now = (each.start <= x.time.fraction) & (x.time.fraction < each.end)
        weight = torch.where(now, each.scale, 0.0)
        if is_abstract() or weight.any():
            found.append(Controlled(own, each.data.to(precision(own)), weight, each.guess))
    return tuple(found)


def check(given: Control, own: Any, x: Noisy, net: Any, family: Family, model: Model) -> None:
    """Raise WiringError unless a ControlNet is for this denoiser, and its picture of the size that is sampled."""
    name = type(own).__name__
    if name != family.controlnet:
        takes = f"those of the class {family.controlnet}" if family.controlnet else "none"
        raise WiringError(
            f"'{given.model.label}' is a {name}; of ControlNets, the denoiser of '{model.label}' takes {takes}"
        )
    for entry in family.shared:
        mine, theirs = (plain(each.config.get(entry)) for each in (own, net))
        if mine != theirs:
            raise WiringError(
                f"the ControlNet '{given.model.label}' isn't for '{model.label}': its {entry} is {mine}, not {theirs}",
                hint="a ControlNet leads the model that it was trained for, and fine-tuned ones of that",
            )
    channels, height, width = given.data.shape[1:]
    factor = model["latent"]["factor"]
    if channels != own.config.conditioning_channels:
        takes = own.config.conditioning_channels
        raise WiringError(f"the picture of control has {channels} channels, '{given.model.label}' takes {takes}")
    if (wanted := (x.data.shape[-2] * factor, x.data.shape[-1] * factor)) != (height, width):
        raise WiringError(
            f"the picture of control has {width} x {height} pixels, {wanted[1]} x {wanted[0]} are sampled",
            hint="load it with this width and height, or draw noise of its size",
        )


def plain(value: Any) -> Any:
    """An entry of a configuration, tuples and lists alike."""
    return list(value) if isinstance(value, list | tuple) else value
