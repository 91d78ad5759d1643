"""Wan 2.1 and 2.2: T5's states, a video transformer or two that take turns, flow matching."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import UserError
from flowgen.values import Conditioning, Model
from flowgen.values.model import Part

from .family import Config, Configs, Family, Question
from .pair import PAIR, pair
from .texts import t5

LENGTH = 512
"""T5's tokens"""
HEIGHT, WIDTH, FRAMES = 480, 832, 81
"""of a video where nothing is said"""


class Wan(Family):
    """Wan 2.1 and 2.2 text to video; Wan et al. 2025, arXiv:2503.20314. Latents are [B, 16, F, H, W].

    Wan 2.2 has two networks: one for the noisy beginning, one for the end.
    """

    pipelines = ("WanPipeline",)
    network = "transformer"
    makes = "videos"
    conditions = "UMT5 states"
    width = "text_dim"

    def about(self, index: Config, configs: Configs) -> Config:
        """The time from which the second network takes over, where there are two. Raises UserError for Wan 2.2 5B."""
        if index.get("expand_timesteps"):
            raise UserError("Wan 2.2 5B, whose network is told a time for each frame, isn't supported yet")
        ratio, total = index.get("boundary_ratio"), configs["scheduler"].get("num_train_timesteps", 1000)
        if self.network == PAIR:
            return {"boundary": None if ratio is None else ratio * total}
        if ratio is not None:
            raise UserError("Wan 2.2 has two networks, and there is no 'transformer_2' or no 'transformer'")
        return {}

    def load(self, part: Part, device: str) -> Wan:
        """With the options, which say whether there are two networks."""
        super().load(part, device)
        if "boundary" in self.options:
            self.network = PAIR  # type: ignore[misc]
        return self

    def made_parts(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """Both networks as one."""
        if "transformer" not in parts or "transformer_2" not in parts:
            return {}
        self.network = PAIR  # type: ignore[misc]
        return {PAIR: pair(parts["transformer"], parts["transformer_2"])}

    def latent(self, configs: Configs) -> Config:
        """Sizes are the pipeline's own; neither network says any."""
        vae = configs["vae"]
        factor, step = vae.get("scale_factor_spatial") or 8, vae.get("scale_factor_temporal") or 4
        return {
            "channels": vae["z_dim"],
            "height": HEIGHT // factor,
            "width": WIDTH // factor,
            "frames": FRAMES,
            "factor": factor,
            "frame_factor": step,
            "multiple": factor * configs["transformer"]["patch_size"][1],
            "space": self.space(vae),
            "beside": configs["transformer"]["in_channels"] - vae["z_dim"],
        }

    def space(self, vae: Config) -> str:
        """The latents' statistics tell Wan's VAEs apart."""
        means, deviations = vae["latents_mean"], vae["latents_std"]
        factor, step = vae.get("scale_factor_spatial") or 8, vae.get("scale_factor_temporal") or 4
        return f"{vae['z_dim']} channels, 1/{factor} size, 1/{step} frames, mean {means[0]:g}, std {deviations[0]:g}"

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, 512, D], zeros after a text's end. Spaces and HTML entities are cleaned up."""
        cleaned = [" ".join(html.unescape(html.unescape(text)).split()) for text in texts]
        states, mask = t5(model["text_encoder"], model["tokenizer"], cleaned, LENGTH, masked=True)
        return Conditioning(states * mask[..., None], space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """The flow from data to noise."""
        told = {"boundary": self.options["boundary"]} if self.network == PAIR else {}
        return net(asked.x, timestep=asked.time, encoder_hidden_states=asked.states(), **told).sample

    def scaled(self, vae: Any, latents: Tensor) -> Tensor:
        """Each channel to mean 0 and deviation 1."""
        mean, deviation = statistics(vae, latents)
        return (latents - mean) / deviation

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        """The inverse."""
        mean, deviation = statistics(vae, latents)
        return latents * deviation + mean


def statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, [C, 1, 1, 1]."""
    mean, deviation = (
        torch.tensor(numbers, device=latents.device, dtype=latents.dtype).reshape(-1, 1, 1, 1)
        for numbers in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, deviation
