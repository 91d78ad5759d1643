"""The node ``encoder.image``."""

from __future__ import annotations

from typing import Annotated

import torch

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Conditioning, Image, Model

from ..families.kandinsky import EMBEDDING
from .pixels import prepared

PARTS = ("image_encoder", "image_processor?", "feature_extractor?")


@node("encoder.image")
def embed_image(
    image: Image, model: Annotated[Model, Uses(*PARTS)], states: bool = False, blank: bool = False
) -> Conditioning:
    """A picture's embedding [B, D] by the model's image encoder, as a condition (its field ``pooled``).

    The picture is clipped to its range, rounded to 8 bits, resized, cut to a square in the middle and normalised as the
    folder's image processor says, or else as CLIP's own (Radford et al. 2021, arXiv:2103.00020).

    states: also the states before the encoder's last layer [B, L, D'], which some adapters read (IP-Adapter Plus).

    blank: of nothing, zeros where the normalised picture would be: the unconditional half of guidance for those.
    """
    encoder = model["image_encoder"]
    name = next((name for name in ("image_processor", "feature_extractor") if name in model.parts), "")
    pixels = prepared(image, model.config(name) if name else {}, encoder.config.image_size)
    pixels = torch.zeros_like(pixels) if blank else pixels
    told = encoder(pixels.to(encoder.dtype), output_hidden_states=states)
    if not hasattr(told, "image_embeds"):
        raise WiringError(f"the image encoder of '{model.label}' has no projection, and so no embedding", about="model")
    inner = told.hidden_states[-2].float() if states else None
    return Conditioning(inner, told.image_embeds.float(), space=EMBEDDING)
