"""The node ``encoder.image``."""

from __future__ import annotations

from typing import Annotated

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Conditioning, Image, Model

from ..families.kandinsky import EMBEDDING
from .pixels import prepared

PARTS = ("image_encoder", "image_processor?", "feature_extractor?")


@node("encoder.image")
def embed_image(image: Image, model: Annotated[Model, Uses(*PARTS)]) -> Conditioning:
    """A picture's embedding [B, D] by the model's image encoder, as a condition (its field ``pooled``).

    The picture is clipped to its range, rounded to 8 bits, resized, cut to a square in the middle and normalised as the
    folder's image processor says, or else as CLIP's own (Radford et al. 2021, arXiv:2103.00020).
    """
    encoder = model["image_encoder"]
    name = next((name for name in ("image_processor", "feature_extractor") if name in model.parts), "")
    pixels = prepared(image, model.config(name) if name else {}, encoder.config.image_size)
    told = encoder(pixels.to(encoder.dtype))
    if not hasattr(told, "image_embeds"):
        raise WiringError(f"the image encoder of '{model.label}' has no projection, and so no embedding")
    return Conditioning(pooled=told.image_embeds.float(), space=EMBEDDING)
