"""The node ``denoiser``."""

from __future__ import annotations

from typing import Annotated, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Conditioning, Control, Latent, Model, Noisy, PerItem, Prediction

from ..families import Config, Family, Question
from ..families.adapters import image_prompts
from ..models.running import precision
from ..schedulers.kinds import predicted
from ..schedulers.trained import check_schedule
from .control import controls
from .perturb import BLUR, LAYERS, Blur, How, Perturbation, check_told, perturbing

PARTS = ("family", "latent", "scheduler", "unet?", "transformer?", "motion_unet?", "prior?", "transformer_pair?")
RATE = 25.0
"""frames per second where nothing is said"""


EMPTY = Conditioning()
FITTED: WeakKeyDictionary[Any, dict[Any, tuple[str, torch.dtype, Config]]] = WeakKeyDictionary()
"""by network, what ``fitted`` found"""


@node("denoiser", stored=False)
def denoise(
    x: Noisy,
    model: Annotated[Model, Uses(*PARTS)],
    context: Conditioning | None = None,
    concat: Latent | None = None,
    control: list[Control] | None = None,
    image_prompt: list[Conditioning] | None = None,
    guidance: PerItem[float | None] = None,
    rate: float = RATE,
    perturb: How = "none",
    layers: tuple[str, ...] = LAYERS,
    blur: Blur = BLUR,
) -> Prediction:
    """One call of the network: what it predicts of x at x's own time, given the condition.

    The kind of prediction (epsilon, v, sample, flow) is the one the model was trained for, from its family and its
    scheduler's configuration. Items of a batch may be at different timesteps. x is raw: the node scales it to unit
    variance where the network was trained so, and runs the network in its own precision.

    context: what the network is told: a text from encoder.text, a class from condition.class.

    concat: channels that some networks read beside x: a masked picture, a small picture to make larger.

    control: ControlNets that lead it, from the node control; what they add is summed.

    image_prompt: for each adapter of the model's ``ip_adapter`` a picture from encoder.image.

    guidance: the scale that a distilled model (Flux dev) is told; guidance.cfg has nothing to do with it.

    rate: frames per second, for video models that are told it.

    perturb: put the transformer blocks called ``layers`` (names, with * and ?) out of action: identity_attention lets
    every position attend to itself alone, blurred_attention blurs the queries (``blur``: the Gaussian's deviation in
    positions), skip_layers leaves the blocks out. For guidance.perturbed.
    """
    family: Family = model["family"]
    net = model[family.network]
    perturbation = Perturbation(perturb, layers, blur)
    context = EMPTY if context is None else context
    kind, dtype, latent = fitted(net, family, model, x, context, concat, rate, perturbation)
    data = network_input(x, kind).to(dtype)
    if concat is not None:
        data = torch.cat([data, concat.data.to(data)], 1)
    scale = told_scale(guidance, net, x, model.label)
    leading = controls(control, x, net, family, model) if control else ()
    prompts = image_prompts(image_prompt or (), net, model.label)
    asked = Question(data, x.time.timestep, context, scale, rate, latent, leading, prompts, at=x.time)
    with perturbing(net, perturbation):
        said = family.predict(net, asked).to(x.data.dtype)
    if said.shape[1] == 2 * x.data.shape[1]:
        said, variance = said.chunk(2, dim=1)
        return Prediction(said, x, kind, variance)
    return Prediction(said, x, kind)


def fitted(
    net: Any,
    family: Family,
    model: Model,
    x: Noisy,
    context: Conditioning,
    concat: Latent | None,
    rate: float,
    perturbation: Perturbation,
) -> tuple[str, torch.dtype, Config]:
    """What the network predicts, its precision, what its latents are like. Raises WiringError unless all that is given
    is for it.

    A loop asks in every step, so an answer is kept with the network, by all that it depends on.
    """
    states = None if context.states is None else context.states.shape[-1]
    beside = None if concat is None else (concat.space, concat.data.shape[1])
    configs = model.part("scheduler").config, model.part("latent").config
    asked = family, configs, x.space, x.schedule, x.data.shape[1], context.space, states, beside, rate, perturbation
    known = FITTED.get(net)
    if known is None:
        known = FITTED[net] = {}
    found = known.get(asked)
    if found is None:
        check_told(perturbation)
        check_rate(rate, family, model.label)
        check_latent(x, concat, model)
        check_schedule(x, model)
        check_context(context, net, family, model.label)
        about = model["scheduler"]
        found = known[asked] = family.kind(about) or predicted(about), precision(net), model["latent"]
    return found


def check_rate(rate: float, family: Family, label: str) -> None:
    """Raise WiringError for frames per second that the network isn't told."""
    if rate != RATE and not family.paced:
        raise WiringError(
            f"'rate' is for networks that are told frames per second, and that of '{label}' isn't",
            hint="leave it out; decoder.video takes the rate at which a video is shown",
        )


def network_input(x: Noisy, kind: str) -> Tensor:
    """x as the network reads it: at unit variance, in flow matching as it is."""
    return x.data if kind == "flow" else x.data * x.time.unit(x.data)


def check_latent(x: Noisy, concat: Latent | None, model: Model) -> None:
    """Raise WiringError unless x, and what stands beside it, is of the space that the network reads."""
    latent = model["latent"]
    if x.space != latent["space"]:
        said = f"the latent is of the space '{x.space or 'pixels'}', the denoiser of '{model.label}' reads "
        raise WiringError(
            f"{said}'{latent['space'] or 'pixels'}'",
            hint="draw the noise for the model that denoises it: model: ...",
            about="x",
        )
    if "channels" in latent and x.data.shape[1] != latent["channels"]:
        channels = f"{x.data.shape[1]} channels, the denoiser of '{model.label}' takes {latent['channels']}"
        raise WiringError(f"the latent has {channels}", about="x")
    if concat is not None and concat.space != latent["space"]:
        raise WiringError(
            f"concat is of the space '{concat.space or 'pixels'}', the denoiser of '{model.label}' reads "
            f"'{latent['space'] or 'pixels'}'",
            hint="encode the picture with the VAE of the model that denoises it",
        )
    beside, given = latent.get("beside", 0), concat.data.shape[1] if concat is not None else 0
    if beside != given:
        raise WiringError(
            f"the denoiser of '{model.label}' reads {beside} channels beside the latent, it is given {given}",
            hint="'concat' is for networks that read more than x: those of inpainting and of upscaling",
            about="concat",
        )


def check_context(context: Conditioning, net: Any, family: Family, label: str) -> None:
    """Raise WiringError for a condition that isn't for this network."""
    if context.space and context.space != family.conditions:
        wanted = f"reads '{family.conditions}'" if family.conditions else "reads none"
        raise WiringError(
            f"the condition is of the kind '{context.space}', the denoiser of '{label}' {wanted}",
            hint="encode the text with the text encoder of the same model",
            about="context",
        )
    width = net.config.get(family.width) if family.width else None
    if context.states is not None and width is not None and context.states.shape[-1] != width:
        raise WiringError(
            f"the condition has width {context.states.shape[-1]}, the denoiser of '{label}' takes {width}",
            hint="encode the text with the text encoder of the same model",
            about="context",
        )


def told_scale(guidance: PerItem[float | None] | None, net: Any, x: Noisy, label: str) -> Tensor | None:
    """The scale that a distilled network is told, [B], None where none is given. Raises WiringError for others."""
    given = [] if guidance is None else [value for value in guidance.values if value is not None]
    if not given:
        return None
    if not net.config.get("guidance_embeds"):
        raise WiringError(f"the denoiser of '{label}' isn't told a scale", hint="use guidance.cfg", about="guidance")
    if len(given) < len(x.data):
        raise WiringError("'guidance' is given for some items and not for others")
    return torch.tensor(given, device=x.data.device, dtype=torch.float32)
