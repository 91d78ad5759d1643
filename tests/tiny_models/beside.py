"""Tiny models whose networks read something beside x: a depth map, a picture, a picture and a mask."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from .controls import changeable
from .images import flux, stable_diffusion


def depth() -> Any:
    """Stable Diffusion 2's depth model, without what estimates depth: maps are given."""
    pipe = stable_diffusion(act="gelu", unets={"in_channels": 5, "use_linear_projection": True})
    parts = {name: pipe.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    return diffusers.StableDiffusionDepth2ImgPipeline(**parts, depth_estimator=None, feature_extractor=None)


def pix2pix() -> Any:
    """InstructPix2Pix."""
    return stable_diffusion(diffusers.StableDiffusionInstructPix2PixPipeline, unets={"in_channels": 8})


def flux_beside(pipeline: Any, beside: int) -> Any:
    """Flux.1 dev whose network reads more channels of a patch of 2 x 2."""
    pipe = flux()
    said = {**changeable(pipe.transformer.config), "in_channels": 64 + 4 * beside, "out_channels": 64}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformer = diffusers.FluxTransformer2DModel.from_config(said)
    return pipeline(**{**parts_of(pipe), "transformer": transformer})


def parts_of(pipe: Any) -> dict[str, Any]:
    """What a Flux pipeline is made of, adapters aside."""
    names = ("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    return {name: pipe.components[name] for name in names}


BUILDERS = {
    "sd2-depth": depth,
    "pix2pix": pix2pix,
    "flux-canny": lambda: flux_beside(diffusers.FluxControlPipeline, 16),
    "flux-fill": lambda: flux_beside(diffusers.FluxFillPipeline, 16 + 4),
}
