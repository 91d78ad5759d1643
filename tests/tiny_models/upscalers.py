"""Tiny upscalers of Stable Diffusion."""

from __future__ import annotations

from typing import Any

import diffusers

from .images import SCALED, autoencoder, ddim, unet
from .texts import WIDTH, clip_text, clip_tokenizer


def upscaler() -> Any:
    """Of a small picture, which has as many pixels as the latent has places."""
    tokenizer = clip_tokenizer("!")
    return diffusers.StableDiffusionUpscalePipeline(
        vae=autoencoder(scale=0.08333),
        text_encoder=clip_text(tokenizer, act="gelu"),
        tokenizer=tokenizer,
        unet=unet(in_channels=7, num_class_embeds=1000, use_linear_projection=True),
        low_res_scheduler=diffusers.DDPMScheduler(**SCALED),
        scheduler=ddim(prediction_type="v_prediction"),
    )


def latent_upscaler() -> Any:
    """Of a small latent; K-diffusion's blocks, without a middle."""
    tokenizer = clip_tokenizer("!")
    net = diffusers.UNet2DConditionModel(
        act_fn="gelu",
        attention_head_dim=8,
        norm_num_groups=None,
        block_out_channels=[32, 32, 64, 64],
        layers_per_block=1,
        time_cond_proj_dim=128 + WIDTH,
        conv_in_kernel=1,
        conv_out_kernel=1,
        cross_attention_dim=WIDTH,
        down_block_types=("KDownBlock2D", *["KCrossAttnDownBlock2D"] * 3),
        up_block_types=(*["KCrossAttnUpBlock2D"] * 3, "KUpBlock2D"),
        mid_block_type=None,
        in_channels=8,
        out_channels=5,
        resnet_time_scale_shift="scale_shift",
        time_embedding_type="fourier",
        timestep_post_act="gelu",
        sample_size=16,
    )
    return diffusers.StableDiffusionLatentUpscalePipeline(
        vae=autoencoder(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=net,
        scheduler=diffusers.EulerDiscreteScheduler(**SCALED, prediction_type="sample"),
    )


BUILDERS = {"upscaler": upscaler, "latent-upscaler": latent_upscaler}
