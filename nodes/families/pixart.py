"""PixArt: T5's states with a mask, a transformer that also says a variance, which its samplers don't read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question
from .texts import t5


class PixArt(Family):
    """PixArt alpha; Chen et al. 2023, arXiv:2310.00426. Texts are lowered; captions aren't cleaned otherwise."""

    pipelines = ("PixArtAlphaPipeline",)
    network = "transformer"
    conditions = "T5 states with a mask"
    width = "caption_channels"
    length: ClassVar[int] = 120
    """T5's tokens"""
    told_size: ClassVar[bool] = True
    """whether networks of a megapixel are told the picture's size"""

    def latent(self, configs: Configs) -> Config:
        """The transformer cuts latents into patches."""
        found = super().latent(configs)
        return {**found, "multiple": found["factor"] * configs["transformer"]["patch_size"]}

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, 120, D] and the mask."""
        lowered = [text.lower().strip() for text in texts]
        states, mask = t5(model["text_encoder"], model["tokenizer"], lowered, self.length, masked=True)
        return Conditioning(states, mask=mask, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon and a variance."""
        added: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if self.told_size and net.config.sample_size == 128:
            height, width = (side * asked.latent["factor"] for side in asked.x.shape[-2:])
            sizes = torch.tensor([[height, width]], device=asked.x.device, dtype=asked.x.dtype)
            added = {"resolution": sizes.expand(len(asked.x), -1)}
            added["aspect_ratio"] = sizes.new_full((len(asked.x), 1), height / width)
        mask = asked.needed("mask", "encode the text with the model's own encoder")
        return net(
            asked.x,
            encoder_hidden_states=asked.states(),
            encoder_attention_mask=mask,
            timestep=asked.time,
            added_cond_kwargs=added,
        ).sample


class PixArtSigma(PixArt):
    """PixArt sigma; Chen et al. 2024, arXiv:2403.04692: longer texts, no sizes."""

    pipelines = ("PixArtSigmaPipeline",)
    length = 300
    told_size = False
