"""Folders of published models in full size: configurations alone, no weights, no vocabularies.

The values are those of the repositories that ``MODELS`` names, without entries that say what the class's default says.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

Config = dict[str, Any]
CROSS, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
CLIP_L |= {"vocab_size": 49408, "projection_dim": 768, "max_position_embeddings": 77}
CLIP_G = {**CLIP_L, "hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20}
CLIP_G |= {"num_hidden_layers": 32, "projection_dim": 1280}
T5_XXL = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24, "vocab_size": 32128}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
WAN_VAE = {"base_dim": 96, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "z_dim": 16}
SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def clip(size: Config, projected: bool = False, act: str = "quick_gelu") -> tuple[str, str, Config]:
    """A CLIP text encoder."""
    cls = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    return "transformers", cls, {**size, "hidden_act": act, "model_type": "clip_text_model"}


def t5(multilingual: bool = False) -> tuple[str, str, Config]:
    """T5 1.1 XXL's encoder, or UMT5's."""
    config: Config = {**T5_XXL, "feed_forward_proj": "gated-gelu", "model_type": "t5"}
    if multilingual:
        return "transformers", "UMT5EncoderModel", {**config, "vocab_size": 256384, "model_type": "umt5"}
    return "transformers", "T5EncoderModel", config


def vae(**changes: Any) -> tuple[str, str, Config]:
    """An AutoencoderKL."""
    return "diffusers", "AutoencoderKL", {**VAE, **changes}


def wan(heads: int, feed_forward: int, layers: int) -> Config:
    """Wan 2.1 text to video."""
    from diffusers import AutoencoderKLWan

    said = inspect.signature(AutoencoderKLWan).parameters
    statistics = {name: list(said[name].default) for name in ("latents_mean", "latents_std")}
    config = {"num_attention_heads": heads, "attention_head_dim": 128, "ffn_dim": feed_forward, "num_layers": layers}
    config |= {"patch_size": [1, 2, 2], "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256}
    return {
        "_class_name": "WanPipeline",
        "transformer": ("diffusers", "WanTransformer3DModel", config),
        "vae": ("diffusers", "AutoencoderKLWan", {**WAN_VAE, **statistics}),
        "text_encoder": t5(multilingual=True),
        "tokenizer": ("transformers", "T5TokenizerFast", {"model_max_length": 512}),
        "scheduler": (
            "diffusers",
            "UniPCMultistepScheduler",
            {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0},
        ),
    }


MODELS: dict[str, Config] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": {
        "_class_name": "StableDiffusionPipeline",
        "unet": (
            "diffusers",
            "UNet2DConditionModel",
            {
                "sample_size": 64,
                "block_out_channels": [320, 640, 1280, 1280],
                "down_block_types": [CROSS, CROSS, CROSS, "DownBlock2D"],
                "up_block_types": ["UpBlock2D", CROSS_UP, CROSS_UP, CROSS_UP],
                "attention_head_dim": 8,
                "cross_attention_dim": 768,
            },
        ),
        "vae": vae(),
        "text_encoder": clip(CLIP_L),
        "tokenizer": ("transformers", "CLIPTokenizer", {"model_max_length": 77}),
        "scheduler": ("diffusers", "PNDMScheduler", {**SCALED, "skip_prk_steps": True}),
    },
    "stabilityai/stable-diffusion-xl-base-1.0": {
        "_class_name": "StableDiffusionXLPipeline",
        "unet": (
            "diffusers",
            "UNet2DConditionModel",
            {
                "sample_size": 128,
                "block_out_channels": [320, 640, 1280],
                "down_block_types": ["DownBlock2D", CROSS, CROSS],
                "up_block_types": [CROSS_UP, CROSS_UP, "UpBlock2D"],
                "attention_head_dim": [5, 10, 20],
                "transformer_layers_per_block": [1, 2, 10],
                "cross_attention_dim": 2048,
                "use_linear_projection": True,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
            },
        ),
        "vae": vae(scaling_factor=0.13025, sample_size=1024, force_upcast=True),
        "text_encoder": clip(CLIP_L),
        "text_encoder_2": clip(CLIP_G, projected=True, act="gelu"),
        "tokenizer": ("transformers", "CLIPTokenizer", {"model_max_length": 77}),
        "tokenizer_2": ("transformers", "CLIPTokenizer", {"model_max_length": 77}),
        "scheduler": ("diffusers", "EulerDiscreteScheduler", {**SCALED, "timestep_spacing": "leading"}),
    },
    "stabilityai/stable-diffusion-3-medium-diffusers": {
        "_class_name": "StableDiffusion3Pipeline",
        "transformer": (
            "diffusers",
            "SD3Transformer2DModel",
            {
                "sample_size": 128,
                "patch_size": 2,
                "in_channels": 16,
                "out_channels": 16,
                "num_layers": 24,
                "num_attention_heads": 24,
                "attention_head_dim": 64,
                "joint_attention_dim": 4096,
                "caption_projection_dim": 1536,
                "pooled_projection_dim": 2048,
                "pos_embed_max_size": 192,
            },
        ),
        "vae": vae(
            latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, sample_size=1024,
            use_quant_conv=False, use_post_quant_conv=False,
        ),
        "text_encoder": clip(CLIP_L, projected=True),
        "text_encoder_2": clip(CLIP_G, projected=True, act="gelu"),
        "text_encoder_3": t5(),
        "tokenizer": ("transformers", "CLIPTokenizer", {"model_max_length": 77}),
        "tokenizer_2": ("transformers", "CLIPTokenizer", {"model_max_length": 77}),
        "tokenizer_3": ("transformers", "T5TokenizerFast", {"model_max_length": 512}),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    },
    "black-forest-labs/FLUX.1-dev": {
        "_class_name": "FluxPipeline",
        "transformer": (
            "diffusers",
            "FluxTransformer2DModel",
            {
                "patch_size": 1,
                "in_channels": 64,
                "num_layers": 19,
                "num_single_layers": 38,
                "num_attention_heads": 24,
                "attention_head_dim": 128,
                "joint_attention_dim": 4096,
                "pooled_projection_dim": 768,
                "guidance_embeds": True,
            },
        ),
        "vae": vae(
            latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, sample_size=1024,
            use_quant_conv=False, use_post_quant_conv=False,
        ),
        "text_encoder": clip(CLIP_L),
        "text_encoder_2": t5(),
        "tokenizer": ("transformers", "CLIPTokenizer", {"model_max_length": 77}),
        "tokenizer_2": ("transformers", "T5TokenizerFast", {"model_max_length": 512}),
        "scheduler": (
            "diffusers", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_dynamic_shifting": True},
        ),
    },
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": wan(heads=12, feed_forward=8960, layers=30),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": wan(heads=40, feed_forward=13824, layers=40),
}  # fmt: skip
FILES = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}


def folder(name: str, parent: Path) -> Path:
    """Write a model's folder."""
    found = parent / name.replace("/", "--")
    index: Config = {}
    for part, about in MODELS[name].items():
        if part == "_class_name":
            index[part] = about
            continue
        library, cls, config = about
        index[part] = [library, cls]
        (found / part).mkdir(parents=True)
        file = FILES.get(part.partition("_")[0], "config.json")
        (found / part / file).write_text(json.dumps({"_class_name": cls, **config}))
    (found / "model_index.json").write_text(json.dumps(index))
    return found
