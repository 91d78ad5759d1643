"""DiT: a transformer that is told a class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .family import Config, Configs, Family, Question


class DiT(Family):
    """Peebles & Xie 2023, arXiv:2212.09748. No class is the class after the last, as it was trained."""

    pipelines = ("DiTPipeline",)
    network = "transformer"
    conditions = "class"

    def latent(self, configs: Configs) -> Config:
        """The transformer cuts latents into patches."""
        found = super().latent(configs)
        return {**found, "multiple": found["factor"] * configs["transformer"]["patch_size"]}

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon and a variance."""
        labels = asked.needed("labels", "use condition.class")
        none = torch.full_like(labels, net.config.num_embeds_ada_norm)
        return net(asked.x, timestep=asked.time, class_labels=torch.where(labels < 0, none, labels)).sample
