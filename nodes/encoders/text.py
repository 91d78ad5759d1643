"""The node ``encoder.text``."""

from __future__ import annotations

from typing import Annotated

import torch

from flowgen.node import Uses, node
from flowgen.values import Conditioning, Model, PerItem


@node("encoder.text")
def encode_text(text: PerItem[str], model: Annotated[Model, Uses("text_encoder", "tokenizer")]) -> Conditioning:
    """A text as the denoiser reads it: the text encoder's last hidden states [B, L, D].

    Padded and cut to the tokeniser's longest input, as Stable Diffusion was trained (Rombach et al. 2022).
    """
    tokens = model["tokenizer"](text.values, padding="max_length", truncation=True)
    encoder = model["text_encoder"]
    ids = torch.tensor(tokens["input_ids"], device=encoder.device)
    return Conditioning(encoder(ids).last_hidden_state)
