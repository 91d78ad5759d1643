"""The node ``encoder.text``."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from flowgen.node import Uses, node
from flowgen.values import Conditioning, Model, PerItem
from flowgen.values.per_item import over_items

from ..families import Family

PARTS = (
    "family",
    "text_encoder?",
    "text_encoder_2?",
    "text_encoder_3?",
    "tokenizer?",
    "tokenizer_2?",
    "tokenizer_3?",
    "projection_model?",
)


@node("encoder.text")
def encode_text(
    text: PerItem[str],
    model: Annotated[Model, Uses(*PARTS)],
    empty: Literal["model", "encode"] = "model",
    seconds: PerItem[float | None] = None,
) -> Conditioning:
    """A text as the model's denoiser reads it, encoded with all of the model's text encoders as its family does.

    states: [B, L, D], one for each token, padded and cut to the length that the model was trained with. Families that
    have them add a summary (pooled) and a mask.

    empty: how an empty text is encoded. "model" is what the model's own pipeline does without a negative prompt:
    Stable Diffusion XL takes zeros; "encode" encodes it like any other.

    seconds: how long the sound is, for models that are told it; the longest if not given.
    """
    family: Family = model["family"]
    lengths = [None] * len(text) if seconds is None else seconds.values
    found = family.lasting(model, family.encode(model, text.values), lengths)
    blank = [empty == "model" and not said for said in text.values]
    if not family.emptied or not any(blank):
        return found
    kept = torch.tensor([float(not each) for each in blank])
    fields = {name: getattr(found, name) for name in family.emptied}
    return found.replace(**{name: value * over_items(kept, value) for name, value in fields.items()})
