"""The node ``control``, and how a denoiser takes what it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from flowgen.errors import WiringError, with_article
from flowgen.node import Uses, node
from flowgen.values import Control, Image, Latent, Model, Noisy, PerItem
from flowgen.values.random import is_abstract

from ..families import Family
from ..families.controls import Controlled
from ..models.running import precision


@node("control", stored=False)
def control(
    model: Annotated[Model, Uses("controlnet")],
    image: Image | None = None,
    latent: Latent | None = None,
    x: Noisy | None = None,
    scale: PerItem[float] = 1.0,
    start: PerItem[float] = 0.0,
    end: PerItem[float] = 1.0,
    guess: bool = False,
    mode: PerItem[int | None] = None,
) -> Control:
    """A picture that a ControlNet leads a denoiser by: edges, depth, a pose; Zhang et al. 2023, arXiv:2302.05543.

    For the denoiser's port ``control``, which takes several. model: a folder of a ControlNet.

    image: as large as the picture that is sampled. latent: for Stable Diffusion 3 and Flux instead, the picture's from
    encoder.vae.

    scale: what the ControlNet adds to the denoiser's layers is multiplied by it; 0 is none. It may change from step to
    step where ``x`` is wired, the sampler's, which puts this node into the loop.

    start, end: fractions of the loop's steps between which it leads, the end excluded.

    guess: let it add less in shallow layers, as section 4.2 of the paper does for empty texts; the unconditional
    denoiser goes without control then.

    mode: for a ControlNet of several kinds of pictures (Flux), the number of this kind.
    """
    config = model.config("controlnet")
    given = pictured(config, image, latent, model.label)
    for low, high in zip(start.values, end.values, strict=True):
        if not 0 <= low < high <= 1:
            raise WiringError(
                f"a ControlNet leads from 'start' to 'end', in order in 0 to 1, not {low} to {high}",
                hint="all of the loop is start: 0, end: 1",
                about="start end",
            )
    data = given.unit() if isinstance(given, Image) else given.data
    strength, first, last = (numbers.tensor.double().to(data.device) for numbers in (scale, start, end))
    space = given.space if isinstance(given, Latent) else None
    return Control(data, strength, first, last, model, guess, space, kinds(config, mode, model.label))


def pictured(config: dict[str, Any], image: Image | None, latent: Latent | None, label: str) -> Image | Latent:
    """What is wired of picture and latent. Raises WiringError unless it is what such a ControlNet reads."""
    if config.get("conditioning_embedding_channels") and config["class"] == "diffusers:FluxControlNetModel":
        raise WiringError(f"'{label}' is a ControlNet in the design of XLabs, which isn't supported", about="model")
    if config["class"] == "diffusers:ControlNetModel":
        given, other, hint = image, latent, "'image', and no latent"
    else:
        given, other, hint = latent, image, "'latent', which encoder.vae makes of a picture, and no image"
    if given is None or other is not None:
        raise WiringError(
            f"the ControlNet '{label}' isn't given what it reads", hint=f"wire {hint}", about="image latent"
        )
    return given


def kinds(config: dict[str, Any], mode: PerItem[int | None], label: str) -> Tensor | None:
    """The kinds of pictures [B]. Raises WiringError where one is out of range, given for no use, or missing."""
    count = config.get("num_mode") or 0
    for value in mode.values:
        if count == 0 and value is not None:
            raise WiringError(
                f"the ControlNet '{label}' is for one kind of picture", hint="leave 'mode' out", about="mode"
            )
        if count and (value is None or not 0 <= value < count):
            raise WiringError(f"the ControlNet '{label}' takes 'mode', 0 to {count - 1}, not {value}", about="mode")
    return torch.tensor(mode.values) if count else None


def controls(given: Sequence[Control], x: Noisy, net: Any, family: Family, model: Model) -> tuple[Controlled, ...]:
    """The ControlNets that lead this call. Raises WiringError for those of another model or size."""
    found = []
    for each in given:
        own = each.model["controlnet"]
        check(each, own, net, family, model.label)
        check_size(each, own, x, model)
        now = (each.start <= x.time.fraction) & (x.time.fraction < each.end)
        weight = torch.where(now, each.scale, 0.0)
        if is_abstract() or weight.any():
            data = family.led_by(own, each.data, model).to(precision(own))
            mode = None if each.mode is None else each.mode.to(data.device)
            found.append(Controlled(own, data, weight, each.guess, mode))
    return tuple(found)


def check(given: Control, own: Any, net: Any, family: Family, label: str) -> None:
    """Raise WiringError unless a ControlNet is for this denoiser."""
    name = type(own).__name__
    if name != family.controlnet:
        takes = f"those of the class {family.controlnet}" if family.controlnet else "none"
        raise WiringError(
            f"'{given.model.label}' is {with_article(name)}; of ControlNets, the denoiser of '{label}' takes {takes}",
            about="control",
        )
    for entry in family.shared:
        mine, theirs = (plain(each.config.get(entry)) for each in (own, net))
        if mine != theirs:
            raise WiringError(
                f"the ControlNet '{given.model.label}' isn't for '{label}': its {entry} is {mine}, not {theirs}",
                hint="a ControlNet leads the model that it was trained for, and fine-tuned ones of that",
                about="control",
            )


def check_size(given: Control, own: Any, x: Noisy, model: Model) -> None:
    """Raise WiringError unless the picture has the size that is sampled, and as many channels as are read."""
    channels, height, width = given.data.shape[1:]
    if given.space is None:
        factor, unit, takes = model["latent"]["factor"], "pixels", own.config.conditioning_channels
    else:
        factor, unit = 1, "places"
        takes = x.data.shape[1] + own.config.get("extra_conditioning_channels", 0)
        if given.space != x.space:
            raise WiringError(
                f"the latent of control ({given.space or 'pixels'}) and x ({x.space}) differ", about="control"
            )
    if channels != takes:
        raise WiringError(
            f"the picture of control has {channels} channels, '{given.model.label}' takes {takes}", about="control"
        )
    if (wanted := (x.data.shape[-2] * factor, x.data.shape[-1] * factor)) != (height, width):
        raise WiringError(
            f"the picture of control has {width} x {height} {unit}, {wanted[1]} x {wanted[0]} are sampled",
            hint="load it with this width and height, or draw noise of its size",
            about="control",
        )


def plain(value: Any) -> Any:
    """An entry of a configuration, tuples and lists alike."""
    return list(value) if isinstance(value, list | tuple) else value
