"""Tiny models whose networks read something beside x: a depth map, a picture, a picture and a mask."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessorPil

from .controls import changeable
from .images import flux, stable_diffusion


def depth() -> Any:
    """Stable Diffusion 2's depth model, with what estimates depth."""
    pipe = stable_diffusion(act="gelu", unets={"in_channels": 5, "use_linear_projection": True})
    parts = {name: pipe.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=32,
        image_size=48,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        is_hybrid=False,
    )
    parts["depth_estimator"] = DPTForDepthEstimation(config)
    parts["feature_extractor"] = DPTImageProcessorPil(size={"height": 48, "width": 48})
    return diffusers.StableDiffusionDepth2ImgPipeline(**parts)


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
