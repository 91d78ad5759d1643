"""How texts become states: what the text encoders of several families have in common."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import WiringError

from .prompts import BREAK, Texts, weighted


@dataclass(frozen=True, slots=True)
class Cut:
    """A text that a tokeniser cuts."""

    text: str
    words: str
    """what isn't read"""
    tokens: int
    """how many are, the first and last that every text gets included"""
    reader: str
    """CLIP or T5"""


_cuts: contextvars.ContextVar[list[Cut] | None] = contextvars.ContextVar("cuts", default=None)


@contextlib.contextmanager
def noting_cuts() -> Iterator[list[Cut]]:
    """While this holds, texts that are cut are noted."""
    found: list[Cut] = []
    token = _cuts.set(found)
    try:
        yield found
    finally:
        _cuts.reset(token)


def note(tokenizer: Any, text: str, gone: Sequence[int], tokens: int) -> None:
    """Note what of a text isn't read."""
    kept = _cuts.get()
    if kept is not None and gone:
        reader = type(tokenizer).__name__.partition("Tokenizer")[0]
        kept.append(Cut(text, tokenizer.decode(gone).strip(), tokens, reader))


def tokens(tokenizer: Any, texts: Sequence[str], device: Any, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Token numbers and mask [B, L], padded and cut to ``length`` or the tokeniser's longest input."""
    said = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True)
    if _cuts.get() is not None:
        for text, whole in zip(texts, tokenizer(list(texts))["input_ids"], strict=True):
            most = length or tokenizer.model_max_length
            note(tokenizer, text, whole[most - 1 : -1], most)
    return tuple(torch.tensor(said[name], device=device) for name in ("input_ids", "attention_mask"))  # type: ignore[return-value]


def t5(encoder: Any, tokenizer: Any, texts: Sequence[str], length: int, masked: bool) -> tuple[Tensor, Tensor]:
    """T5's states [B, L, D] and the mask [B, L]; ``masked``: the encoder doesn't attend to padding."""
    ids, mask = tokens(tokenizer, texts, encoder.device, length)
    return encoder(ids, attention_mask=mask if masked else None)[0], mask


def clip(encoder: Any, tokenizer: Any, texts: Texts, take: Callable[[Any], Tensor]) -> tuple[Tensor, Tensor]:
    """CLIP's states [B, chunks * L, D] and its first output for the first chunk, with a projection the summary.

    ``take`` says which states of what the encoder returned. Each chunk is encoded alone.
    """
    if texts.chunks == 1 and not texts.weighted:
        ids, mask = tokens(tokenizer, texts, encoder.device)
        weights = None
    else:
        ids, mask, weights = chunked(tokenizer, texts, encoder.device)
    attended = mask if getattr(encoder.config, "use_attention_mask", False) else None
    told = encoder(ids, attention_mask=attended, output_hidden_states=True)
    states = take(told)
    if weights is not None and texts.weighted:
        states = emphasised(states, weights)
    return states.reshape(len(texts), -1, states.shape[-1]), told[0][:: texts.chunks]


def last(encoder: Any, skip: int) -> Callable[[Any], Tensor]:
    """CLIP's last states, or those before the last ``skip`` layers, normalised as the last are."""
    if not skip:
        return lambda told: told.last_hidden_state
    norm = getattr(encoder, "text_model", encoder).final_layer_norm
    return lambda told: norm(layer(told, 1, skip))


def penultimate(encoder: Any, tokenizer: Any, texts: Texts) -> tuple[Tensor, Tensor]:
    """CLIP's states before its last layer (or more of them), and its first output: with a projection the summary."""
    return clip(encoder, tokenizer, texts, lambda told: layer(told, 2, texts.clip_skip))


def layer(told: Any, back: int, skip: int) -> Tensor:
    """The states of the layer ``back`` from the end, or ``skip`` before it. Raises WiringError where there is none."""
    most = len(told.hidden_states) - back
    if skip > most:
        said = f"'clip_skip' leaves out more than the encoder's {len(told.hidden_states) - 1} layers"
        raise WiringError(said, hint=f"{most} at most: the model itself leaves out {back - 1}", about="clip_skip")
    found: Tensor = told.hidden_states[-back - skip]
    return found


def chunked(tokenizer: Any, texts: Texts, device: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Token numbers, mask and weights [B * chunks, L], each chunk with its own beginning and end."""
    most, start, end = tokenizer.model_max_length, tokenizer.bos_token_id, tokenizer.eos_token_id
    rows: list[list[tuple[int, float]]] = []
    for text in texts:
        found = parts(tokenizer, text, texts.weighted, texts.chunks > 1, most - 2)
        found += [[]] * (texts.chunks - len(found))
        note(tokenizer, text, [number for part in found[texts.chunks :] for number, _ in part], texts.chunks * most)
        rows += [[(start, 1.0), *part, (end, 1.0)] for part in found[: texts.chunks]]
    padded = [row + [(tokenizer.pad_token_id, 1.0)] * (most - len(row)) for row in rows]
    ids = torch.tensor([[number for number, _ in row] for row in padded], device=device)
    mask = torch.tensor([[int(n < len(row)) for n in range(most)] for row in rows], device=device)
    return ids, mask, torch.tensor([[weight for _, weight in row] for row in padded], device=device)


def parts(tokenizer: Any, text: str, weights: bool, breaks: bool, room: int) -> list[list[tuple[int, float]]]:
    """A text's tokens with their weights in chunks of at most ``room``; the word BREAK begins a new one."""
    found: list[list[tuple[int, float]]] = [[]]
    for words, weight in weighted(text) if weights else [(text, 1.0)]:
        for n, between in enumerate(BREAK.split(words) if breaks else [words]):
            if n:
                found.append([])
            for number in tokenizer(between, add_special_tokens=False)["input_ids"]:
                if len(found[-1]) == room:
                    found.append([])
                found[-1].append((number, weight))
    return found


def emphasised(states: Tensor, weights: Tensor) -> Tensor:
    """States [B, L, D] times their tokens' weights [B, L], then scaled so that each chunk's mean is what it was.

    This is how A1111's web UI weights ("original" emphasis).
    """
    told = states.float() * weights[..., None].float()
    before, after = states.float().mean((1, 2)), told.mean((1, 2))
    ratio = torch.where(after == 0, 1.0, before / after)
    return (told * ratio[:, None, None]).to(states.dtype)
