"""Tiny image models: pixels, Stable Diffusion 1 to 3, Flux, PixArt, DiT."""

from __future__ import annotations

from typing import Any

import diffusers

from .texts import clip_pixels, clip_text, clip_tokenizer, clip_vision, t5_text, t5_tokenizer

SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DOWN = ("DownBlock2D", "CrossAttnDownBlock2D")
UP = ("CrossAttnUpBlock2D", "UpBlock2D")


def autoencoder(channels: int = 4, scale: float = 0.18215, shift: float | None = None, quant: bool = True) -> Any:
    """An AutoencoderKL that halves the size."""
    return diffusers.AutoencoderKL(
        latent_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=scale,
        shift_factor=shift,
        use_quant_conv=quant,
        use_post_quant_conv=quant,
    )


def unet(**changes: Any) -> Any:
    """A conditional UNet of two levels."""
    said: dict[str, Any] = {
        "sample_size": 16,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "block_out_channels": (16, 32),
        "cross_attention_dim": 32,
        "attention_head_dim": 8,
        "down_block_types": DOWN,
        "up_block_types": UP,
    }
    return diffusers.UNet2DConditionModel(**{**said, **changes})


def ddim(**changes: Any) -> Any:
    """Stable Diffusion's DDIM configuration."""
    said = {**SCALED, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    return diffusers.DDIMScheduler(**{**said, **changes})


def pixels(pipeline: Any = diffusers.DDPMPipeline, scheduler: Any = diffusers.DDPMScheduler) -> Any:
    """An unconditional model of pixels."""
    net = diffusers.UNet2DModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return pipeline(unet=net, scheduler=scheduler())


def stable_diffusion(
    pipeline: Any = diffusers.StableDiffusionPipeline, act: str = "quick_gelu", unets: Any = None, **schedule: Any
) -> Any:
    """Stable Diffusion 1; 2 with another activation and kind of prediction."""
    tokenizer = clip_tokenizer("!" if act == "gelu" else "<|endoftext|>")
    return pipeline(
        vae=autoencoder(),
        text_encoder=clip_text(tokenizer, act=act),
        tokenizer=tokenizer,
        unet=unet(**(unets or {})),
        scheduler=ddim(**schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def variations() -> Any:
    """Stable Diffusion that is told a picture."""
    return diffusers.StableDiffusionImageVariationPipeline(
        vae=autoencoder(),
        image_encoder=clip_vision(),
        unet=unet(),
        scheduler=ddim(),
        safety_checker=None,
        feature_extractor=clip_pixels(),
        requires_safety_checker=False,
    )


def sdxl(refiner: bool = False, inpaints: bool = False) -> Any:
    """Stable Diffusion XL: two text encoders, or the refiner with the second alone and an aesthetic score."""
    first, second = clip_tokenizer(), clip_tokenizer("!")
    numbers = 5 if refiner else 6
    net = unet(
        in_channels=9 if inpaints else 4,
        cross_attention_dim=32 if refiner else 64,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * numbers + 32,
    )
    scheduler = diffusers.EulerDiscreteScheduler(**SCALED, steps_offset=1, timestep_spacing="leading")
    pipeline = diffusers.StableDiffusionXLImg2ImgPipeline if refiner else diffusers.StableDiffusionXLPipeline
    pipeline = diffusers.StableDiffusionXLInpaintPipeline if inpaints else pipeline
    options = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False} if refiner else {}
    return pipeline(
        vae=autoencoder(scale=0.13025),
        unet=net,
        scheduler=scheduler,
        tokenizer=None if refiner else first,
        tokenizer_2=second,
        text_encoder=None if refiner else clip_text(first),
        text_encoder_2=clip_text(second, projected=True, act="gelu"),
        **options,
    )


def sd3(third: bool = True) -> Any:
    """Stable Diffusion 3: two CLIPs and, where it is kept, T5."""
    first, second, t5 = clip_tokenizer(), clip_tokenizer("!"), t5_tokenizer()
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        pos_embed_max_size=32,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(16, 1.5305, 0.0609, quant=False),
        tokenizer=first,
        tokenizer_2=second,
        tokenizer_3=t5 if third else None,
        text_encoder=clip_text(first, projected=True),
        text_encoder_2=clip_text(second, projected=True, act="gelu"),
        text_encoder_3=t5_text(t5, 64) if third else None,
    )


def flux(guidance: bool = True) -> Any:
    """Flux.1 dev (with distilled guidance) or schnell."""
    first, second = clip_tokenizer(), t5_tokenizer()
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance,
    )
    shift = {"shift": 3.0, "use_dynamic_shifting": True} if guidance else {"shift": 1.0}
    return diffusers.FluxPipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**shift),
        tokenizer=first,
        tokenizer_2=second,
        vae=autoencoder(16, 0.3611, 0.1159, quant=False),
        text_encoder=clip_text(first),
        text_encoder_2=t5_text(second),
    )


def pixart() -> Any:
    """PixArt alpha: T5 with a mask, and a variance that its sampler ignores."""
    tokenizer = t5_tokenizer(120)
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=16,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        cross_attention_dim=24,
        in_channels=4,
        out_channels=8,
    )
    return diffusers.PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_text(tokenizer),
        vae=autoencoder(),
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def dit() -> Any:
    """DiT: one of 1000 classes."""
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=16,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=1000,
    )
    return diffusers.DiTPipeline(transformer=transformer, vae=autoencoder(), scheduler=diffusers.DDIMScheduler())


BUILDERS = {
    "ddpm": pixels,
    "ddim": lambda: pixels(diffusers.DDIMPipeline, diffusers.DDIMScheduler),
    "sd1": stable_diffusion,
    "sd2": lambda: stable_diffusion(act="gelu", unets={"use_linear_projection": True}, prediction_type="v_prediction"),
    "sd1-inpaint": lambda: stable_diffusion(diffusers.StableDiffusionInpaintPipeline, unets={"in_channels": 9}),
    "sd1-variations": variations,
    "sdxl": sdxl,
    "sdxl-inpaint": lambda: sdxl(inpaints=True),
    "sdxl-refiner": lambda: sdxl(refiner=True),
    "sd3": sd3,
    "sd3-without-t5": lambda: sd3(third=False),
    "flux": flux,
    "flux-schnell": lambda: flux(guidance=False),
    "pixart": pixart,
    "dit": dit,
}
