"""Unconditional models of pixels: DDPM's and DDIM's UNet2D."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .family import Family, Question


class Pixels(Family):
    """A UNet that sees pixels and time, perhaps a class; Ho et al. 2020, arXiv:2006.11239."""

    pipelines = ("DDPMPipeline", "DDIMPipeline")
    conditions = "class"

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon; the class where the network has any."""
        if net.config.num_class_embeds or net.config.class_embed_type:
            return net(asked.x, asked.time, class_labels=asked.needed("labels", "use condition.class")).sample
        return net(asked.x, asked.time).sample
