"""Flux.1: CLIP's summary and T5's states, packed latents, a scale that the network is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.values import Conditioning, Model

from .controls import Controlled, Groups, summed
from .family import Config, Configs, Family, Question
from .prompts import Texts
from .texts import t5, tokens

LENGTH = 512
"""T5's tokens"""
SIZE = 128
"""height and width of a latent where nothing is said: a megapixel"""
SCALE = 3.5
"""what a distilled network is told where nothing is said"""


class Flux(Family):
    """Flux.1 dev and schnell. Latents in a graph are [B, 16, H, W]; patches of 2 x 2 are made for the network alone."""

    pipelines = (
        "FluxPipeline",
        "FluxImg2ImgPipeline",
        "FluxInpaintPipeline",
        "FluxControlNetPipeline",
        "FluxControlPipeline",
        "FluxFillPipeline",
    )
    network = "transformer"
    conditions = "T5 states with CLIP's summary"
    width = "joint_attention_dim"
    controlnet = "FluxControlNetModel"
    shared = ("in_channels", "num_attention_heads", "attention_head_dim", "joint_attention_dim")
    told = ("text_2",)
    schedule = {"timestep_spacing": "trailing"}  # noqa: RUF012

    def latent(self, configs: Configs) -> Config:
        """The network's own number of channels is that of a patch; some read a picture beside x, or one and a mask."""
        found = super().latent(configs)
        beside = configs["transformer"]["in_channels"] // 4 - found["channels"]
        return {**found, "height": SIZE, "width": SIZE, "beside": beside, "multiple": 2 * found["factor"]}

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """T5's states [B, 512, D] and CLIP's summary."""
        encoder = model["text_encoder"]
        ids, _ = tokens(model["tokenizer"], texts, encoder.device)
        second = Texts.told(texts).of(2)
        states, _ = t5(model["text_encoder_2"], model["tokenizer_2"], second, LENGTH, masked=False)
        return Conditioning(states, encoder(ids).pooler_output, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """The flow from data to noise."""
        guidance = asked.guidance
        if guidance is None:
            guidance = torch.full_like(asked.time, SCALE, dtype=torch.float32)
        states, (height, width) = asked.states(), asked.x.shape[-2:]
        told = {
            "timestep": asked.time.to(asked.x.dtype) / 1000,
            "pooled_projections": asked.pooled(),
            "encoder_hidden_states": states,
            "txt_ids": states.new_zeros(states.shape[1], 3),
            "img_ids": places(height // 2, width // 2, asked.x),
        }
        more = {"guidance": guidance if net.config.guidance_embeds else None}
        if asked.controls:
            more |= residuals(asked, told, guidance)
        return unpacked(net(packed(asked.x), **told, **more).sample, height, width)


def residuals(asked: Question, told: dict[str, Tensor], guidance: Tensor) -> dict[str, Any]:
    """What ControlNets add to the blocks, as the transformer's arguments; they are told what it is told."""

    def ask(control: Controlled) -> Groups:
        given: dict[str, Any] = control.told(told)
        given["guidance"] = guidance if control.net.config.guidance_embeds else None
        given["controlnet_mode"] = None if control.mode is None else control.mode[:, None]
        x = control.told(packed(asked.x))
        groups: Groups = control.net(x, controlnet_cond=packed(control.data), return_dict=False, **given)
        return groups

    blocks, singles = summed(asked, ask)
    return {"controlnet_block_samples": blocks, "controlnet_single_block_samples": singles}


def packed(x: Tensor) -> Tensor:
    """Latents [B, C, H, W] as patches of 2 x 2, row by row, [B, H/2 * W/2, 4 C]."""
    count, channels, height, width = x.shape
    patches = x.reshape(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(count, (height // 2) * (width // 2), 4 * channels)


def unpacked(patches: Tensor, height: int, width: int) -> Tensor:
    """The inverse of ``packed``."""
    count, _, wide = patches.shape
    x = patches.reshape(count, height // 2, width // 2, wide // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(count, wide // 4, height, width)


def places(rows: int, columns: int, like: Tensor) -> Tensor:
    """Where each patch is, for rotary embeddings: 0, row, column, [rows * columns, 3]."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], -1).reshape(-1, 3).to(like)
