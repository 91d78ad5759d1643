"""Stable Diffusion 3 and 3.5: two CLIPs and T5, a transformer, flow matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.values import Conditioning, Model

from .controls import Controlled, Groups, summed
from .family import Config, Configs, Family, Question
from .prompts import Texts
from .texts import penultimate, t5

LENGTH = 256
"""T5's tokens"""


class StableDiffusion3(Family):
    """Esser et al. 2024, arXiv:2403.03206: CLIP's states and T5's one after the other, both CLIPs' summaries."""

    pipelines = (
        "StableDiffusion3Pipeline",
        "StableDiffusion3Img2ImgPipeline",
        "StableDiffusion3InpaintPipeline",
        "StableDiffusion3ControlNetPipeline",
    )
    network = "transformer"
    conditions = "CLIP and T5 states with two summaries"
    width = "joint_attention_dim"
    controlnet = "SD3ControlNetModel"
    shared = ("in_channels", "patch_size", "num_attention_heads", "attention_head_dim")
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
        told = {
            "timestep": asked.time,
            "encoder_hidden_states": asked.states(),
            "pooled_projections": asked.pooled(),
            "block_controlnet_hidden_states": self.residuals(net, asked),
        }
        return net(asked.x, **told).sample

    def residuals(self, net: Any, asked: Question) -> list[Tensor] | None:
        """What ControlNets add to the blocks. Those of 3.5 read no text and have the transformer's positions."""

        def ask(control: Controlled) -> Groups:
            own, x, pooled = control.net.config, asked.x, asked.pooled()
            added = control.net(
                control.told(x if own.use_pos_embed else net.pos_embed(x)),
                controlnet_cond=control.data,
                encoder_hidden_states=None if own.joint_attention_dim is None else control.told(asked.states()),
                pooled_projections=control.told(torch.zeros_like(pooled) if zeroed(own) else pooled),
                timestep=asked.time,
            )
            return (added.controlnet_block_samples,)

        return summed(asked, ask)[0] if asked.controls else None

    def led_by(self, net: Any, data: Tensor, model: Model) -> Tensor:
        """A latent; the ControlNets of InstantX read latents without the shift."""
        vae = model.config("vae")
        return data + vae["shift_factor"] * vae["scaling_factor"] if zeroed(net.config) else data


def zeroed(config: Any) -> bool:
    """Whether a ControlNet is told zeros for the texts' summaries: those of InstantX."""
    return bool(config.force_zeros_for_pooled_projection)
