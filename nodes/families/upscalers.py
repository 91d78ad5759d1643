"""Stable Diffusion's upscalers: of a small picture by four, of a latent by two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.values import Conditioning, Model

from .family import Family, Question
from .stable_diffusion import StableDiffusion
from .texts import tokens

HALF = 64
"""places of the noise level's embedding that are 1, and as many that are 0: there is no noise"""


class Upscaler(StableDiffusion):
    """Beside x, the small picture, slightly noisy, at the size of the latent; its noise level is told as a class."""

    pipelines = ("StableDiffusionUpscalePipeline",)
    controlnet = ""
    adapts = False

    def predict(self, net: Any, asked: Question) -> Tensor:
        """v or epsilon."""
        level = asked.needed("labels", "condition.class with the level that 'enlarge' is given")
        return net(asked.x, asked.time, encoder_hidden_states=asked.states(), class_labels=level).sample


class LatentUpscaler(Family):
    """Beside x, the small latent, enlarged without smoothing; Karras et al. 2022, arXiv:2206.00364, preconditioning."""

    pipelines = ("StableDiffusionLatentUpscalePipeline",)
    conditions = "CLIP states with the summary of its last layer"
    width = "cross_attention_dim"
    schedule = {"prediction_type": "edm"}  # noqa: RUF012  its configuration names what the pipeline makes of that

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """CLIP's states after its last layer, not normalised, and the summary, not projected."""
        encoder = model["text_encoder"]
        ids, _ = tokens(model["tokenizer"], texts, encoder.device)
        told = encoder(ids, output_hidden_states=True)
        return Conditioning(told.hidden_states[-1], told.pooler_output, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """F of Karras et al., whose time is a quarter of the logarithm of the noise level. A variance is left out."""
        pooled = asked.pooled()
        still = torch.cat([pooled.new_ones(len(pooled), HALF), pooled.new_zeros(len(pooled), HALF), pooled], 1)
        time = (0.25 * asked.at.level().log()).to(asked.x.dtype)
        said = net(asked.x, time, encoder_hidden_states=asked.states(), timestep_cond=still).sample
        return said[:, : asked.latent["channels"]]
