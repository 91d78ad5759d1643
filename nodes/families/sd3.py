"""Stable Diffusion 3 and 3.5: two CLIPs and T5, a transformer, flow matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question
from .prompts import Texts
from .texts import penultimate, t5

LENGTH = 256
"""T5's tokens"""


class StableDiffusion3(Family):
    """Esser et al. 2024, arXiv:2403.03206: CLIP's states and T5's one after the other, both CLIPs' summaries."""

    pipelines = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")
    network = "transformer"
    conditions = "CLIP and T5 states with two summaries"
    width = "joint_attention_dim"
    told = ("clip_skip", "text_2", "text_3")
    schedule = {"timestep_spacing": "linspace"}  # noqa: RUF012

    def about(self, index: Config, configs: Configs) -> Config:
        """How wide T5's states are, where the folder has no T5: zeros take their place."""
        return {} if "text_encoder_3" in configs else {"width": configs["transformer"]["joint_attention_dim"]}

    def latent(self, configs: Configs) -> Config:
        """The transformer cuts latents into patches."""
        found = super().latent(configs)
        return {**found, "multiple": found["factor"] * configs["transformer"]["patch_size"]}

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, 77 + 256, D]."""
        said = Texts.told(texts)
        clips = [
            penultimate(model[f"text_encoder{n}"], model[f"tokenizer{n}"], said.of(each))
            for each, n in enumerate(("", "_2"), 1)
        ]
        first = torch.cat([states for states, _ in clips], -1)
        if "text_encoder_3" in model.parts:
            second, _ = t5(model["text_encoder_3"], model["tokenizer_3"], said.of(3), LENGTH, masked=False)
        else:
            second = first.new_zeros(len(texts), LENGTH, self.options["width"])
        first = torch.nn.functional.pad(first, (0, second.shape[-1] - first.shape[-1]))
        pooled = torch.cat([summary for _, summary in clips], -1)
        return Conditioning(torch.cat([first, second], 1), pooled, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """The flow from data to noise."""
        states, pooled = asked.states(), asked.pooled()
        return net(asked.x, timestep=asked.time, encoder_hidden_states=states, pooled_projections=pooled).sample
