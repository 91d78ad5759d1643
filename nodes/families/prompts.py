"""What ``encoder.text`` says beside a text, and the language in which words of a text get weights."""

from __future__ import annotations

import re
from collections.abc import Sequence

LOUDER = 1.1
"""what round brackets multiply a weight by, and square brackets divide it by"""
TOKEN = re.compile(
    r"\\(?P<literal>[()\[\]\\])|\\|(?P<open>[(\[])|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|(?P<close>[)\]])|.", re.S
)
BREAK = re.compile(r"\s*\bBREAK\b\s*")
"""where a text goes on in the next chunk"""


class Texts(list[str]):
    """Texts, one for each item, and how they are to be encoded. Families that know no options read the texts alone."""

    def __init__(
        self,
        texts: Sequence[str],
        second: Sequence[str] | None = None,
        third: Sequence[str] | None = None,
        clip_skip: int = 0,
        chunks: int = 1,
        weighted: bool = False,
    ) -> None:
        super().__init__(texts)
        self.others = (second, third)
        """texts for the second and the third encoder, where they read others"""
        self.clip_skip = clip_skip
        """how many of CLIP's layers are left out at the end, beyond those that the model leaves out"""
        self.chunks = chunks
        """how many times the tokeniser's longest input is read"""
        self.weighted = weighted
        """whether brackets give weights"""

    def of(self, encoder: int) -> Texts:
        """The texts of the n-th encoder, from 1; those of the first where it has none of its own."""
        other = self.others[encoder - 2] if encoder > 1 else None
        return Texts(self if other is None else other, None, None, self.clip_skip, self.chunks, self.weighted)

    @classmethod
    def told(cls, texts: Sequence[str]) -> Texts:
        """Plain texts with every option at its default."""
        return texts if isinstance(texts, cls) else cls(texts)


def weighted(text: str) -> list[tuple[str, float]]:
    """The pieces of a text and their weights, in the syntax of A1111's web UI.

    ``(word)`` multiplies the weight by 1.1, ``[word]`` divides it by 1.1, ``(word:1.3)`` multiplies it by 1.3; they
    nest. A backslash before a bracket or a backslash makes it text. What is opened and not closed reaches to the end;
    what closes nothing is text.
    """
    pieces: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def scale(since: int, factor: float) -> None:
        pieces[since:] = [(words, weight * factor) for words, weight in pieces[since:]]

    for found in TOKEN.finditer(text):
        bracket, said = found["open"] or {")": "(", "]": "["}.get(found["close"] or ""), number(found["weight"])
        if found["open"]:
            opened[found["open"]].append(len(pieces))
        elif said is not None and opened["("]:
            scale(opened["("].pop(), said)
        elif bracket and opened[bracket]:
            scale(opened[bracket].pop(), LOUDER if bracket == "(" else 1 / LOUDER)
        elif found[0] != "\\":
            pieces.append((found["literal"] or found[0], 1.0))
    for bracket, places in opened.items():
        for since in places:
            scale(since, LOUDER if bracket == "(" else 1 / LOUDER)
    return joined(pieces)


def number(text: str | None) -> float | None:
    """A weight as it is written, None for what is no number."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def joined(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Neighbours of one weight as one piece."""
    found: list[tuple[str, float]] = []
    for words, weight in pieces:
        if found and found[-1][1] == weight:
            words = found.pop()[0] + words
        found.append((words, weight))
    return found
