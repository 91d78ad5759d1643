"""DeepFloyd IF: T5's states, UNets over pixels that also say a variance, upscalers that see the small picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question
from .texts import t5

LENGTH = 77
"""T5's tokens"""


class DeepFloyd(Family):
    """The cascade of Imagen, Saharia et al. 2022, arXiv:2205.11487: each stage is a model of its own.

    An upscaler reads the enlarged, slightly noisy picture beside x and is told its noise level as a class. Texts are
    lowered; captions aren't cleaned otherwise.
    """

    pipelines = (
        "IFPipeline",
        "IFImg2ImgPipeline",
        "IFInpaintingPipeline",
        "IFSuperResolutionPipeline",
        "IFImg2ImgSuperResolutionPipeline",
        "IFInpaintingSuperResolutionPipeline",
    )
    conditions = "T5 states"
    width = "encoder_hid_dim"

    def latent(self, configs: Configs) -> Config:
        """Pixels; half of what the network says is a variance."""
        net = configs["unet"]
        channels = net["out_channels"] // 2
        return {**super().latent(configs), "channels": channels, "beside": net["in_channels"] - channels}

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, 77, D]."""
        lowered = [text.lower().strip() for text in texts]
        states, _ = t5(model["text_encoder"], model["tokenizer"], lowered, LENGTH, masked=True)
        return Conditioning(states, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon and a variance."""
        labels = asked.needed("labels", "use condition.class") if net.config.class_embed_type else None
        return net(asked.x, asked.time, encoder_hidden_states=asked.states(), class_labels=labels).sample
