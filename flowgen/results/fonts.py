"""Fonts of pictures: DejaVu Sans, as matplotlib ships it, or another of this machine where that lacks a letter."""

from __future__ import annotations

import functools
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

SIZE = 13
"""pixels"""
FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def font(text: str = "", size: int = SIZE, bold: bool = False) -> FreeTypeFont:
    """A font that has all letters of a text; DejaVu Sans where there is none."""
    return opened(other(text) or str(FOLDER / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def legible(text: str) -> str:
    """A text that ``font`` can write: where no font has all letters, strange ones stand by their numbers, \\u3042."""
    if other(text):
        return text
    strange = lacking(text)
    return "".join(c.encode("ascii", "backslashreplace").decode() if ord(c) in strange else c for c in text)


def lacking(text: str) -> set[int]:
    """The letters that DejaVu Sans doesn't have."""
    return {ord(c) for c in text} - letters(str(FOLDER / "DejaVuSans.ttf"))


@functools.lru_cache(maxsize=4096)
def other(text: str) -> str | None:
    """The first font of this machine, by name, with all letters of a text that DejaVu Sans can't write."""
    if not lacking(text):
        return None
    from matplotlib import font_manager  # looks through the machine, which takes its time

    wanted = {ord(c) for c in f"{text}…"}
    found = (path for path in sorted(font_manager.findSystemFonts()) if wanted <= letters(path))
    return next((path for path in found if "LastResort" not in path), None)  # that one has a box for every letter


@functools.cache
def letters(path: str) -> frozenset[int]:
    """What a font can write; nothing where it can't be had in any size, as pictures of emoji."""
    try:
        opened(path, SIZE)
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@functools.cache
def opened(path: str, size: int) -> FreeTypeFont:
    """A font in a size."""
    return ImageFont.truetype(path, size)
