"""Tiny models of what takes time: video (Wan, LTX, CogVideoX, AnimateDiff) and audio (Stable Audio)."""

from __future__ import annotations

from typing import Any

import diffusers

from .images import autoencoder, ddim, unet
from .texts import clip_text, clip_tokenizer, t5_text, t5_tokenizer


def wan(second: bool = False) -> Any:
    """Wan 2.1 text to video, or 2.2 with a second network for the end."""
    tokenizer = t5_tokenizer()
    transformer, other = (
        diffusers.WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=16,
            out_channels=16,
            text_dim=32,
            freq_dim=64,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
        )
        if needed
        else None
        for needed in (True, second)
    )
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    return diffusers.WanPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder=t5_text(tokenizer, multilingual=True),
        tokenizer=tokenizer,
        transformer_2=other,
        boundary_ratio=0.9 if second else None,
    )


def ltx() -> Any:
    """LTX-Video: packed latents, rotary positions in seconds."""
    tokenizer = t5_tokenizer()
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    vae = diffusers.AutoencoderKLLTXVideo(
        in_channels=3,
        out_channels=3,
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, shift_terminal=0.1
    )
    return diffusers.LTXPipeline(
        transformer=transformer, vae=vae, scheduler=scheduler, text_encoder=t5_text(tokenizer), tokenizer=tokenizer
    )


def animatediff() -> Any:
    """AnimateDiff: Stable Diffusion 1 with a motion module."""
    tokenizer = clip_tokenizer()
    adapter = diffusers.MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_norm_num_groups=8,
        motion_num_attention_heads=2,
        motion_max_seq_length=16,
    )
    return diffusers.AnimateDiffPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(),
        motion_adapter=adapter,
        scheduler=ddim(beta_schedule="linear"),
    )


def stable_audio() -> Any:
    """Stable Audio: T5 and the clip's times, latents of sound."""
    tokenizer = t5_tokenizer()
    projection = diffusers.pipelines.stable_audio.StableAudioProjectionModel(
        text_encoder_dim=32, conditioning_dim=16, min_value=0, max_value=32
    )
    transformer = diffusers.StableAudioDiTModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_attention_heads=2,
        cross_attention_dim=16,
        cross_attention_input_dim=16,
        global_states_input_dim=32,
        time_proj_dim=8,
    )
    vae = diffusers.AutoencoderOobleck(
        encoder_hidden_size=6,
        downsampling_ratios=[1, 2],
        decoder_channels=4,
        decoder_input_channels=4,
        audio_channels=2,
        channel_multiples=[2, 4],
        sampling_rate=4,
    )
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(sigma_data=1.0, prediction_type="v_prediction")
    return diffusers.StableAudioPipeline(
        vae=vae,
        text_encoder=t5_text(tokenizer),
        tokenizer=tokenizer,
        projection_model=projection,
        transformer=transformer,
        scheduler=scheduler,
    )


def cogvideox(rotary: bool = False) -> Any:
    """CogVideoX 2B, or 5B with rotary positions."""
    tokenizer = t5_tokenizer(226)
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=32,
        num_layers=2,
        sample_width=8,
        sample_height=6,
        sample_frames=9,
        use_rotary_positional_embeddings=rotary,
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        sample_height=48,
        sample_width=64,
    )
    scheduler = diffusers.CogVideoXDDIMScheduler(
        snr_shift_scale=1.0 if rotary else 3.0,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing" if rotary else "linspace",
    )
    return diffusers.CogVideoXPipeline(
        tokenizer=tokenizer, text_encoder=t5_text(tokenizer), vae=vae, transformer=transformer, scheduler=scheduler
    )


BUILDERS = {
    "wan": wan,
    "wan-2.2": lambda: wan(second=True),
    "ltx": ltx,
    "animatediff": animatediff,
    "cogvideox": cogvideox,
    "cogvideox-5b": lambda: cogvideox(rotary=True),
    "stable-audio": stable_audio,
}
