"""Tiny cascades: DeepFloyd IF (pixels, then larger pixels) and Kandinsky 2.2 (an image embedding, then latents)."""

from __future__ import annotations

from typing import Any

import diffusers

from .images import unet
from .texts import clip_pixels, clip_text, clip_tokenizer, clip_vision, t5_text, t5_tokenizer

LEARNED = {"variance_type": "learned_range", "beta_schedule": "squaredcos_cap_v2", "thresholding": True}


def deepfloyd(upscaler: bool = False) -> Any:
    """DeepFloyd IF, first stage or upscaler."""
    tokenizer = t5_tokenizer()
    changes: dict[str, Any] = {"class_embed_type": "timestep"} if upscaler else {}
    net = unet(
        in_channels=6 if upscaler else 3,
        out_channels=6,
        sample_size=32 if upscaler else 16,
        encoder_hid_dim=32,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm",
        resnet_time_scale_shift="scale_shift",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        **changes,
    )
    said: dict[str, Any] = {
        "tokenizer": tokenizer,
        "text_encoder": t5_text(tokenizer),
        "unet": net,
        "scheduler": diffusers.DDPMScheduler(**LEARNED, sample_max_value=1.5, clip_sample=False),
        "safety_checker": None,
        "feature_extractor": None,
        "watermarker": None,
        "requires_safety_checker": False,
    }
    if upscaler:
        noising = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
        return diffusers.IFSuperResolutionPipeline(**said, image_noising_scheduler=noising)
    return diffusers.IFPipeline(**said)


def kandinsky(inpaints: bool = False) -> Any:
    """The decoder of Kandinsky 2.2: an image embedding becomes a picture."""
    net = unet(
        in_channels=9 if inpaints else 4,
        out_channels=8,
        addition_embed_type="image",
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        resnet_time_scale_shift="scale_shift",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    )
    movq = diffusers.VQModel(
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        num_vq_embeddings=16,
        norm_num_groups=4,
        norm_type="spatial",
        vq_embed_dim=4,
        layers_per_block=1,
    )
    movq.quant_conv.weight.data /= 16  # a picture's latent is near 1, as in a trained one
    said: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
    if (
        inpaints
    ):  # bounded, as what an untrained network says isn't, nor the noise that it would have after the last step
        learned = {"variance_type": "learned_range", "thresholding": True, "sample_max_value": 2.0}
        scheduler = diffusers.DDPMScheduler(**said, **learned, steps_offset=0)
        return diffusers.KandinskyV22InpaintPipeline(unet=net, scheduler=scheduler, movq=movq)
    scheduler = diffusers.DDIMScheduler(**said, steps_offset=1)
    return diffusers.KandinskyV22Pipeline(unet=net, scheduler=scheduler, movq=movq)


def kandinsky_prior() -> Any:
    """The prior of Kandinsky 2.2: a text becomes an image embedding."""
    tokenizer = clip_tokenizer()
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1, num_embeddings=77
    )
    scheduler = diffusers.UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", num_train_timesteps=1000, clip_sample_range=5.0
    )
    return diffusers.KandinskyV22PriorPipeline(
        prior=prior,
        image_encoder=clip_vision(),
        text_encoder=clip_text(tokenizer, projected=True),
        tokenizer=tokenizer,
        scheduler=scheduler,
        image_processor=clip_pixels(),
    )


BUILDERS = {
    "if": deepfloyd,
    "if-upscaler": lambda: deepfloyd(upscaler=True),
    "kandinsky": kandinsky,
    "kandinsky-inpaint": lambda: kandinsky(inpaints=True),
    "kandinsky-prior": kandinsky_prior,
}
