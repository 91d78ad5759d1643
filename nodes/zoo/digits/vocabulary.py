"""A CLIP byte-level BPE vocabulary in which every word of the captions is one token."""

from __future__ import annotations

from transformers import CLIPTokenizer

from .captions import WORDS

MAX_LENGTH = 16
"""Tokens of a caption, start and end included."""


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes, in CLIP's order (Radford et al. 2019, byte-level BPE)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_ins = [chr(b) for b in printable]
    return stand_ins + [chr(256 + n) for n in range(256 - len(printable))]


def split(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Apply the merges to one word, lowest rank first, as BPE does."""
    parts = [*word[:-1], word[-1] + "</w>"]
    while len(parts) > 1:
        pairs = [(ranks.get(pair, len(ranks)), n) for n, pair in enumerate(zip(parts, parts[1:], strict=False))]
        rank, n = min(pairs)
        if rank == len(ranks):
            break
        parts[n : n + 2] = [parts[n] + parts[n + 1]]
    return parts


def tokenizer() -> CLIPTokenizer:
    """Bytes, bytes that end a word, then for each word the merges that the earlier merges leave to do."""
    alphabet = byte_alphabet()
    vocabulary = alphabet + [letter + "</w>" for letter in alphabet]
    merges: list[tuple[str, str]] = []
    ranks: dict[tuple[str, str], int] = {}
    for word in sorted(WORDS, key=len):
        while len(parts := split(word, ranks)) > 1:
            pair = (parts[0], parts[1])
            ranks[pair] = len(merges)
            merges.append(pair)
            if (joined := pair[0] + pair[1]) not in vocabulary:
                vocabulary.append(joined)
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: n for n, token in enumerate(vocabulary)},
        merges=merges,
        model_max_length=MAX_LENGTH,
        pad_token="<|endoftext|>",
    )
