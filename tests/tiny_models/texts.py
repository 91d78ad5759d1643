"""Tokenisers and text encoders of the tiny folders."""

from __future__ import annotations

import string
from typing import Any

from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    RobertaTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

WIDTH = 32
WORDS = [
    "a",
    "an",
    "the",
    "of",
    "on",
    "with",
    "red",
    "green",
    "blue",
    "yellow",
    "black",
    "cat",
    "dog",
    "house",
    "one",
    "two",
    "three",
    "four",
    "seven",
    "eight",
    "digit",
]


def clip_tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """CLIP's layout: every printable ASCII byte, the same at the end of a word, a merge for each word of WORDS."""
    letters = [chr(n) for n in range(33, 127)]
    tokens, merges = letters + [letter + "</w>" for letter in letters], []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            parts = ["".join(pair), *parts[2:]]
            if pair not in merges:
                merges.append(pair)
            if parts[0] not in tokens:
                tokens.append(parts[0])
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77, pad_token=pad)


def roberta_tokenizer() -> RobertaTokenizer:
    """Letters."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "\u0120", *(chr(n) for n in range(33, 127))]
    return RobertaTokenizer(vocab={piece: n for n, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def t5_tokenizer(longest: int = 77) -> T5Tokenizer:
    """Words and letters, as sentence pieces."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -100.0), ("\u2581", -3.0)]
    pieces += [("\u2581" + word, -4.0) for word in WORDS if len(word) > 1]
    pieces += [(letter, -6.0) for letter in string.ascii_lowercase + string.digits + ".,-"]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=longest)


def clip_text(tokenizer: Any, projected: bool = False, act: str = "quick_gelu", width: int = WIDTH) -> Any:
    """A CLIP text encoder of two layers; ``projected`` has the projection on top."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        hidden_act=act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5_text(tokenizer: Any, width: int = WIDTH, multilingual: bool = False) -> Any:
    """A T5 (or UMT5) encoder of two layers."""
    config = UMT5Config if multilingual else T5Config
    said = config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=2 * width,
        num_layers=2,
        num_heads=4,
        is_encoder_decoder=False,
        use_cache=False,
        feed_forward_proj="gated-gelu",
    )
    return (UMT5EncoderModel if multilingual else T5EncoderModel)(said)


def clip_vision(width: int = WIDTH, size: int = 32) -> Any:
    """A CLIP image encoder of two layers with its projection, for pictures of ``size`` pixels."""
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=size,
        patch_size=8,
        projection_dim=width,
    )
    return CLIPVisionModelWithProjection(config)


def clip_pixels(size: int = 32) -> Any:
    """How pictures are prepared for it."""
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
