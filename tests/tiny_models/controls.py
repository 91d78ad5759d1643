"""Tiny models with what leads them: ControlNets whose last layers aren't zero, as they are before training."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .images import flux, sd3, sdxl, stable_diffusion


def drawn(net: Any) -> Any:
    """A network with every weight that is zero drawn anew."""
    for weight in net.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return net


def changeable(config: Any) -> dict[str, Any]:
    """A network's configuration, without the list of entries that ``from_config`` would put back to their defaults."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def unet_control(unet: Any, **changes: Any) -> Any:
    """A ControlNet for a UNet, of pictures twice as large as latents."""
    net = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    return drawn(diffusers.ControlNetModel.from_config({**changeable(net.config), **changes}) if changes else net)


def controlled(pipe: Any, pipeline: Any, net: Any) -> Any:
    """A pipeline with a ControlNet in its folder."""
    options = {"requires_safety_checker": False} if "safety_checker" in pipe.components else {}
    return pipeline(**pipe.components, controlnet=net, **options)


def sd1_control() -> Any:
    """Stable Diffusion 1 with a ControlNet."""
    pipe = stable_diffusion()
    return controlled(pipe, diffusers.StableDiffusionControlNetPipeline, unet_control(pipe.unet))


def sdxl_control() -> Any:
    """Stable Diffusion XL with a ControlNet."""
    pipe = sdxl()
    return controlled(pipe, diffusers.StableDiffusionXLControlNetPipeline, unet_control(pipe.unet))


def sd3_control(zeros: bool = True, late: bool = False) -> Any:
    """Stable Diffusion 3 with a ControlNet, as InstantX trains them; ``late``: as those of 3.5, without texts."""
    pipe = sd3()
    said = {**changeable(pipe.transformer.config), "num_layers": 1, "force_zeros_for_pooled_projection": zeros}
    said |= {"use_pos_embed": False, "joint_attention_dim": None} if late else {}
    net = drawn(diffusers.SD3ControlNetModel.from_config(said))
    return controlled(pipe, diffusers.StableDiffusion3ControlNetPipeline, net)


def flux_control(kinds: int | None = None) -> Any:
    """Flux.1 dev with a ControlNet, of several kinds of pictures where there is a number of them."""
    pipe = flux()
    net = drawn(diffusers.FluxControlNetModel.from_config({**changeable(pipe.transformer.config), "num_mode": kinds}))
    return controlled(pipe, diffusers.FluxControlNetPipeline, net)


BUILDERS = {
    "sd3-control": sd3_control,
    "sd3-control-own": lambda: sd3_control(zeros=False),
    "sd3.5-control": lambda: sd3_control(late=True),
    "flux-control": flux_control,
    "flux-control-union": lambda: flux_control(3),
    "sd1-control": sd1_control,
    "sdxl-control": sdxl_control,
}
