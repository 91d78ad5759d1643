"""Stable Audio Open: T5's states and the sound's length, a transformer over latents of sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question
from .texts import tokens


class StableAudio(Family):
    """Evans et al. 2024, arXiv:2407.14358. Latents are [B, C, L], always as long as the longest sound."""

    pipelines = ("StableAudioPipeline",)
    network = "transformer"
    makes = "sounds"
    conditions = "T5 states with seconds"
    width = "cross_attention_input_dim"
    emptied = ("states",)

    def about(self, index: Config, configs: Configs) -> Config:
        """How long the longest sound is, in seconds."""
        vae, length = configs["vae"], configs["transformer"]["sample_size"]
        return {"longest": length * hop(vae) / vae["sampling_rate"]}

    def latent(self, configs: Configs) -> Config:
        """One size."""
        net, vae = configs["transformer"], configs["vae"]
        return {
            "shape": [net["in_channels"], net["sample_size"]],
            "channels": net["in_channels"],
            "space": self.space(vae),
        }

    def space(self, vae: Config) -> str:
        """Channels and the length of a step."""
        return f"{vae['decoder_input_channels']} channels of sound, 1/{hop(vae)} samples"

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """Projected states of the text; its length follows with ``lasting``."""
        encoder = model["text_encoder"]
        ids, mask = tokens(model["tokenizer"], texts, encoder.device)
        told = encoder(ids, attention_mask=mask)[0]
        written = torch.tensor([bool(text) for text in texts], device=told.device)[:, None, None]
        told = torch.where((mask[..., None] > 0) | written, told, 0.0)  # a negative text's padding is zeros
        states = model["projection_model"](text_hidden_states=told).text_hidden_states * mask[..., None]
        return Conditioning(states, mask=mask, space=self.conditions)

    def lasting(self, model: Model, found: Conditioning, seconds: Sequence[float | None]) -> Conditioning:
        """Start and end as two more states, and as the summary."""
        assert found.states is not None
        longest = self.options["longest"]
        for value in seconds:
            if value is not None and not 0 <= value <= longest:
                hint = "leave 'seconds' out for the longest sound"
                raise WiringError(f"seconds must be up to {longest:.4g}, not {value}", hint=hint)
        ends = torch.tensor([value or longest for value in seconds], device=found.states.device)
        told = model["projection_model"](start_seconds=torch.zeros_like(ends), end_seconds=ends)
        times = [told.seconds_start_hidden_states, told.seconds_end_hidden_states]
        return found.replace(
            states=torch.cat([found.states, *times], 1), pooled=torch.cat(times, 2).squeeze(1), mask=None
        )

    def predict(self, net: Any, asked: Question) -> Tensor:
        """v, with rotary positions for the sound and the token of its length."""
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        places = get_1d_rotary_pos_embed(
            net.config.attention_head_dim // 2, asked.x.shape[2] + 1, use_real=True, repeat_interleave_real=False
        )
        return net(
            asked.x,
            asked.time,
            encoder_hidden_states=asked.states(),
            global_hidden_states=asked.pooled()[:, None],
            rotary_embedding=tuple(each.to(asked.x.device) for each in places),
        ).sample

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        """As they are."""
        return latents

    scaled = unscaled


def hop(vae: Config) -> int:
    """Samples for each step of the latent."""
    return math.prod(vae["downsampling_ratios"])
