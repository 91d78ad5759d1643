"""Stable Diffusion 1 and 2: CLIP's states, a UNet, latents of an AutoencoderKL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flowgen.values import Conditioning, Model

from .family import Family, Question
from .prompts import Texts
from .texts import clip, last


class StableDiffusion(Family):
    """Latent diffusion with cross attention to CLIP's last states; Rombach et al. 2022, arXiv:2112.10752."""

    pipelines = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetPipeline",
    )
    conditions = "CLIP states"
    width = "cross_attention_dim"
    told = ("clip_skip", "chunks", "weighting")

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """Padded and cut to the tokeniser's longest input, as the model was trained."""
        encoder, said = model["text_encoder"], Texts.told(texts)
        states, _ = clip(encoder, model["tokenizer"], said, last(encoder, said.clip_skip))
        return Conditioning(states, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon or v."""
        return net(asked.x, asked.time, encoder_hidden_states=asked.states()).sample
