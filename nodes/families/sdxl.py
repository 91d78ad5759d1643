"""Stable Diffusion XL and its refiner: one or two text encoders, a summary, sizes that the UNet is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import UserError
from flowgen.values import Conditioning, Model
from flowgen.values.model import Part

from .adapters import image_embeds
from .controls import UNET, unet_residuals
from .family import Config, Configs, Family, Question
from .prompts import Texts
from .texts import penultimate

AESTHETIC = 6.0
"""the score that the refiner is told where nothing is said"""


class StableDiffusionXL(Family):
    """Podell et al. 2023, arXiv:2307.01952: the states of two CLIPs side by side, the second one's summary."""

    pipelines = (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionXLControlNetPipeline",
    )
    conditions = "CLIP states with a summary"
    width = "cross_attention_dim"
    controlnet = "ControlNetModel"
    shared = UNET
    adapts = True
    told = ("clip_skip", "chunks", "weighting", "text_2")
    careful = True
    reads = {"force_zeros_for_empty_prompt": True, "requires_aesthetics_score": False}  # noqa: RUF012

    def about(self, index: Config, configs: Configs) -> Config:
        """How empty texts and scores are told. Raises UserError for latents with statistics of their own."""
        if configs.get("vae", {}).get("latents_mean"):
            raise UserError(
                "latents with a mean and deviation of their own, as Playground 2.5 has, aren't supported yet"
            )
        return super().about(index, configs)

    def load(self, part: Part, device: str) -> StableDiffusionXL:
        """With the options, which say whether an empty text is zeros."""
        super().load(part, device)
        if self.options["force_zeros_for_empty_prompt"]:
            self.emptied = ("states", "pooled")  # type: ignore[misc]
        return self

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """The states before each encoder's last layer; the refiner has the second encoder alone."""
        names = [n for n in ("", "_2") if f"text_encoder{n}" in model.parts]
        said = [Texts.told(texts).of(n) for n in range(1, 1 + len(names))]
        found = [
            penultimate(model[f"text_encoder{n}"], model[f"tokenizer{n}"], each)
            for n, each in zip(names, said, strict=True)
        ]
        states = torch.cat([states for states, _ in found], -1)
        return Conditioning(states, found[-1][1], space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon, told the picture's sizes, section 2.2 of the paper, or an aesthetic score."""
        sizes = self.sizes(asked)
        kept = [0, 1, 2, 3, 6] if self.options["requires_aesthetics_score"] else [0, 1, 2, 3, 4, 5]
        added = {"text_embeds": asked.pooled(), "time_ids": sizes[:, kept].to(asked.x.dtype)}
        told = {"encoder_hidden_states": asked.states(), "added_cond_kwargs": added}
        residuals = unet_residuals(asked, told)
        told["added_cond_kwargs"] = {**added, **image_embeds(asked)}
        return net(asked.x, asked.time, **told, **residuals).sample

    def sizes(self, asked: Question) -> Tensor:
        """Original height and width, top and left of the crop, height and width, score, [B, 7]; x's own if unsaid."""
        factor = asked.latent["factor"]
        height, width = asked.x.shape[-2] * factor, asked.x.shape[-1] * factor
        own = torch.tensor([height, width, 0, 0, height, width, AESTHETIC], device=asked.x.device).float()
        own = own.expand(len(asked.x), -1)
        said = asked.context.sizes
        return own if said is None else torch.where(said < 0, own, said)
