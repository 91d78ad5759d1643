"""Stable Diffusion 1 and 2: CLIP's states, a UNet, latents of an AutoencoderKL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from flowgen.values import Conditioning, Model

from .adapters import image_embeds
from .controls import UNET, unet_residuals
from .family import Config, Configs, Family, Question
from .kandinsky import EMBEDDING
from .prompts import Texts
from .texts import clip, last


class StableDiffusion(Family):
    """Latent diffusion with cross attention to CLIP's last states; Rombach et al. 2022, arXiv:2112.10752."""

    pipelines = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionDepth2ImgPipeline",
    )
    conditions = "CLIP states"
    width = "cross_attention_dim"
    controlnet = "ControlNetModel"
    shared = UNET
    adapts = True
    told = ("clip_skip", "chunks", "weighting")

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """Padded and cut to the tokeniser's longest input, as the model was trained."""
        encoder, said = model["text_encoder"], Texts.told(texts)
        states, _ = clip(encoder, model["tokenizer"], said, last(encoder, said.clip_skip))
        return Conditioning(states, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon or v."""
        told = {"encoder_hidden_states": asked.states()}
        more = {"added_cond_kwargs": image_embeds(asked)} if asked.prompts else {}
        return net(asked.x, asked.time, **told, **more, **unet_residuals(asked, told)).sample


class InstructPix2Pix(StableDiffusion):
    """Brooks et al. 2023, arXiv:2211.09800: beside x, the latent of the picture that is edited, not scaled."""

    pipelines = ("StableDiffusionInstructPix2PixPipeline",)

    def about(self, index: Config, configs: Configs) -> Config:
        """How latents are scaled."""
        return {"scale": configs["vae"].get("scaling_factor") or 1.0}

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon."""
        own = asked.latent["channels"]
        x, beside = asked.x[:, :own], asked.x[:, own:] / self.options["scale"]
        return super().predict(net, replace(asked, x=torch.cat([x, beside], 1)))


class Variations(Family):
    """Stable Diffusion tuned to read a picture's CLIP embedding, as its only token, where it read a text."""

    pipelines = ("StableDiffusionImageVariationPipeline",)
    conditions = EMBEDDING

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon."""
        return net(asked.x, asked.time, encoder_hidden_states=asked.pooled()[:, None]).sample
