"""Tiny models with what leads them: ControlNets whose last layers aren't zero, as they are before training."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .images import sdxl, stable_diffusion


def drawn(net: Any) -> Any:
    """A network with every weight that is zero drawn anew."""
    for weight in net.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return net


def unet_control(unet: Any, **changes: Any) -> Any:
    """A ControlNet for a UNet, of pictures twice as large as latents."""
    net = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    return drawn(diffusers.ControlNetModel.from_config({**net.config, **changes}) if changes else net)


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


BUILDERS = {"sd1-control": sd1_control, "sdxl-control": sdxl_control}
