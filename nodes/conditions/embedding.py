"""The nodes ``condition.embedding`` and ``condition.black``: what a decoder of image embeddings is told."""

from __future__ import annotations

from typing import Annotated

import torch

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Conditioning, Latent, Model

from ..families.kandinsky import EMBEDDING


@node("condition.embedding")
def condition_embedding(latent: Latent, model: Annotated[Model, Uses("latent", "prior")]) -> Conditioning:
    """An image embedding that a prior sampled, as a condition; Ramesh et al. 2022, arXiv:2204.06125, section 2."""
    if latent.space != model["latent"]["space"]:
        raise WiringError(
            f"the latent ({latent.space or 'pixels'}) is no embedding of the prior of '{model.label}'",
            hint="wire the sampler whose denoiser is the prior",
            about="latent",
        )
    prior = model["prior"]
    return Conditioning(pooled=prior.post_process_latents(latent.data.to(prior.dtype)).float(), space=EMBEDDING)


@node("condition.black")
def condition_black(model: Annotated[Model, Uses("image_encoder")]) -> Conditioning:
    """The embedding of a black picture, the decoder's unconditional half of guidance. It has no items: one for all."""
    encoder = model["image_encoder"]
    size = encoder.config.image_size
    black = torch.zeros(1, 3, size, size, device=encoder.device, dtype=encoder.dtype)
    return Conditioning(pooled=encoder(black).image_embeds.float(), space=EMBEDDING)
