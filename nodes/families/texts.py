"""How texts become states: what the text encoders of several families have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def tokens(tokenizer: Any, texts: Sequence[str], device: Any, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Token numbers and mask [B, L], padded and cut to ``length`` or the tokeniser's longest input."""
    said = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True)
    return tuple(torch.tensor(said[name], device=device) for name in ("input_ids", "attention_mask"))  # type: ignore[return-value]


def penultimate(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """CLIP's states before its last layer [B, L, D], and its first output: with a projection the summary [B, D']."""
    ids, _ = tokens(tokenizer, texts, encoder.device)
    told = encoder(ids, output_hidden_states=True)
    return told.hidden_states[-2], told[0]


def t5(encoder: Any, tokenizer: Any, texts: Sequence[str], length: int, masked: bool) -> tuple[Tensor, Tensor]:
    """T5's states [B, L, D] and the mask [B, L]; ``masked``: the encoder doesn't attend to padding."""
    ids, mask = tokens(tokenizer, texts, encoder.device, length)
    return encoder(ids, attention_mask=mask if masked else None)[0], mask
