"""LTX-Video: T5's states with a mask, packed latents, positions in seconds and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question
from .texts import t5

LENGTH = 128
"""T5's tokens"""
HEIGHT, WIDTH, FRAMES = 512, 704, 161
"""of a video where nothing is said"""


class LTX(Family):
    """LTX-Video; HaCohen et al. 2024, arXiv:2501.00103. Latents in a graph are [B, C, F, H, W]."""

    pipelines = ("LTXPipeline",)
    network = "transformer"
    makes = "videos"
    conditions = "T5 states with a mask, of videos"
    width = "caption_channels"
    paced = True
    schedule = {"timestep_spacing": "trailing"}  # noqa: RUF012

    def latent(self, configs: Configs) -> Config:
        """Sizes are the pipeline's own; neither network says any."""
        vae = configs["vae"]
        factor, step = factors(vae)
        return {
            "channels": vae["latent_channels"],
            "height": HEIGHT // factor,
            "width": WIDTH // factor,
            "frames": FRAMES,
            "factor": factor,
            "frame_factor": step,
            "space": self.space(vae),
        }

    def space(self, vae: Config) -> str:
        """Channels and sizes; the statistics are weights."""
        factor, step = factors(vae)
        return f"{vae['latent_channels']} channels, 1/{factor} size, 1/{step} frames, LTX"

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, 128, D] and the mask."""
        states, mask = t5(model["text_encoder"], model["tokenizer"], texts, LENGTH, masked=False)
        return Conditioning(states, mask=mask, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """The flow from data to noise."""
        count, channels, frames, height, width = asked.x.shape
        factor = asked.latent["factor"]
        said = net(
            asked.x.flatten(2).transpose(1, 2),
            encoder_hidden_states=asked.states(),
            timestep=asked.time,
            encoder_attention_mask=asked.needed("mask", "encode the text with the model's own encoder").bool(),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(asked.latent["frame_factor"] / asked.rate, factor, factor),
        ).sample
        return said.transpose(1, 2).reshape(count, channels, frames, height, width)

    def scaled(self, vae: Any, latents: Tensor) -> Tensor:
        """Each channel to mean 0 and deviation 1."""
        mean, deviation = statistics(vae, latents)
        return (latents - mean) * (vae.config.scaling_factor or 1.0) / deviation

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        """The inverse."""
        mean, deviation = statistics(vae, latents)
        return latents * deviation / (vae.config.scaling_factor or 1.0) + mean

    def decode(self, vae: Any, latents: Tensor) -> Tensor:
        """Raises WiringError for a decoder that denoises once more, as that of LTX 0.9.1."""
        if vae.config.timestep_conditioning:
            raise WiringError("decoders that are told a time, as that of LTX 0.9.1, aren't supported yet")
        return super().decode(vae, latents)


def factors(vae: Config) -> tuple[int, int]:
    """By how much the autoencoder shrinks sides, and frames."""
    halvings = 2 ** sum(map(bool, vae["spatio_temporal_scaling"]))
    return vae["patch_size"] * halvings, vae["patch_size_t"] * halvings


def statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, [C, 1, 1, 1]."""
    mean, deviation = (each.to(latents).reshape(-1, 1, 1, 1) for each in (vae.latents_mean, vae.latents_std))
    return mean, deviation
