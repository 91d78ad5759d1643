"""One sheet of pictures: tiles in rows and columns under a title, labelled on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from flowgen.language.labels import readable
from flowgen.results.fonts import SIZE, font, legible

SMALLEST = 64
LARGEST = 256
SIDE = 3600
"""pixels that a sheet's tiles should span at most"""
GAP, MARGIN, GUTTER = 4, 20, 220
"""between tiles, around the sheet, of row labels at most; pixels"""
LINES = 3
"""of a column's label at most"""
CAPTION = "Description"
"""the text entry of a PNG that says what is on it"""
STRANGE = "This machine has no font for some letters: \\u and \\U stand before their numbers."
PAPER, INK, FAINT, EMPTY = "#fbfbfa", "#1f2328", "#6e7781", "#e4e6e8"


@dataclass(frozen=True)
class Sheet:
    """What is on a sheet."""

    title: str
    rows: tuple[str, Sequence[str]]
    """the axis' name and its labels; no name and one empty label for a single row"""
    columns: tuple[str, Sequence[str]]
    picture: Callable[[int, int], NDArray[Any] | None]
    """row, column -> [C, H, W] or None for nothing there"""
    scale: Callable[[int, int], tuple[float, float]]
    """row, column -> what stands for black and white in that picture"""
    notes: Sequence[str] = ()
    captions: Callable[[int, int], str] | None = None
    """a label for each tile, above it, in place of the columns' labels"""


def draw(sheet: Sheet) -> Image.Image:
    """The sheet as an RGB image."""
    sheet = written(sheet)
    down, across = len(sheet.rows[1]), len(sheet.columns[1])
    probe = sheet.picture(0, 0)
    if probe is None:
        raise ValueError("a sheet starts with a picture")
    width, height = tile_size(probe.shape[-1], probe.shape[-2], max(down, across))
    above = column_labels(sheet, width)
    gutter, heading = row_space(sheet), (SIZE + 7) * bool(sheet.columns[0]) + label_space(above)
    caption = SIZE + 7 if sheet.captions else 0
    left = MARGIN + gutter
    top = MARGIN + 28 + heading
    wide = left + across * (width + GAP) - GAP + MARGIN
    foot = [line for note in sheet.notes for line in wrapped(note, font(note), max(wide, 360) - 2 * MARGIN, 3)]
    bold = font(sheet.title, SIZE + 3, bold=True)
    wide = max(wide, 360, 2 * MARGIN + min(700, round(bold.getlength(sheet.title))))
    high = top + down * (height + caption + GAP) - GAP + MARGIN + len(foot) * (SIZE + 6)
    page = Image.new("RGB", (wide, high), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 4), fitted(sheet.title, bold, wide - 2 * MARGIN), INK, bold)
    write_columns(pen, sheet.columns[0], above, (left, top), width)
    write_rows(pen, sheet, top, height, caption)
    for row in range(down):
        for column in range(across):
            x, y = left + column * (width + GAP), top + row * (height + caption + GAP)
            picture = sheet.picture(row, column)
            if picture is None:
                continue
            if sheet.captions:
                label = sheet.captions(row, column)
                pen.text((x + width / 2, y + 2), fitted(label, font(label), width), INK, font(label), anchor="ma")
            page.paste(tile(picture, sheet.scale(row, column), width, height), (x, y + caption))
    for n, line in enumerate(foot):
        pen.text((MARGIN, high - MARGIN - (len(foot) - n) * (SIZE + 6) + 12), line, FAINT, font())
    return page


def written(sheet: Sheet) -> Sheet:
    """The sheet with texts that can be drawn, and a note where letters had to be replaced."""
    captions = sheet.captions
    across = range(len(sheet.columns[1]))
    shown = [captions(row, column) for row in range(len(sheet.rows[1])) for column in across] if captions else []
    texts = [sheet.title, *sheet.rows[1], *sheet.columns[1], *shown]
    return replace(
        sheet,
        title=legible(sheet.title),
        rows=(sheet.rows[0], [*map(legible, sheet.rows[1])]),
        columns=(sheet.columns[0], [*map(legible, sheet.columns[1])]),
        captions=(lambda row, column: legible(captions(row, column))) if captions else None,
        notes=[*sheet.notes, STRANGE] if any(legible(text) != text for text in texts) else sheet.notes,
    )


def tile_size(width: int, height: int, count: int) -> tuple[int, int]:
    """A tile's pixels: enlarged by a whole factor to 64 at least, shrunk to 256 at most, less on large sheets."""
    side = min(width, height)
    if side < SMALLEST:
        factor = -(-SMALLEST // side)
        return width * factor, height * factor
    most = min(LARGEST, max(SMALLEST, SIDE // count))
    scale = min(1.0, most / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def tile(picture: NDArray[Any], bounds: tuple[float, float], width: int, height: int) -> Image.Image:
    """A picture [C, H, W] as a tile; one that isn't all numbers is a grey cross."""
    if np.isnan(picture).any():
        cross = Image.new("RGB", (width, height), EMPTY)
        pen = ImageDraw.Draw(cross)
        inset = min(width, height) // 4
        for y in (inset, height - 1 - inset):
            pen.line((inset, y, width - 1 - inset, height - 1 - y), "#9aa0a6", 3)
        return cross
    image = Image.fromarray(pixels(picture, bounds))
    resample = Image.Resampling.NEAREST if width >= picture.shape[-1] else Image.Resampling.LANCZOS
    return image.resize((width, height), resample)


def pixels(picture: NDArray[Any], bounds: tuple[float, float]) -> NDArray[np.uint8]:
    """[C, H, W] as [H, W, 3]: clipped to the range, scaled to 0..255, rounded. One or two channels are grey."""
    low, high = bounds
    unit = np.clip((picture.astype(np.float64) - low) / (high - low), 0, 1)
    three = unit[:3] if len(unit) >= 3 else np.repeat(unit[:1], 3, axis=0)
    return np.ascontiguousarray(np.rint(three * 255).astype(np.uint8).transpose(1, 2, 0))


def row_space(sheet: Sheet) -> int:
    """Pixels left of the tiles."""
    name, labels = sheet.rows
    longest = max(font(label).getlength(label) for label in labels)
    return min(GUTTER, round(max(longest, font(bold=True).getlength(f"{name} ↓")))) + 10 if name else 0


def column_labels(sheet: Sheet, width: int) -> list[list[str]]:
    """The lines over each column, as wide as a tile; none where tiles have captions."""
    if sheet.captions is not None:
        return []
    return [wrapped(label, font(label), width + GAP - 2, LINES) for label in sheet.columns[1]]


def label_space(labels: Sequence[Sequence[str]]) -> int:
    """Pixels of the lines over the columns."""
    lines = max((len(label) for label in labels if any(label)), default=0)
    return lines * (SIZE + 4) + 3 if lines else 0


def write_columns(
    pen: ImageDraw.ImageDraw, name: str, labels: Sequence[Sequence[str]], corner: tuple[int, int], width: int
) -> None:
    """The column axis' name, and a label over each column that ends above the tiles."""
    left, top = corner
    if name:
        pen.text((left, top - label_space(labels) - SIZE - 7), f"{name} →", FAINT, font(bold=True))
    for n, lines in enumerate(labels):
        for k, line in enumerate(reversed(lines)):
            y = top - SIZE - 6 - k * (SIZE + 4)
            pen.text((left + n * (width + GAP) + width / 2, y), line, INK, font(line), anchor="ma")


def write_rows(pen: ImageDraw.ImageDraw, sheet: Sheet, top: int, height: int, caption: int) -> None:
    """The row axis' name, and a label beside each row, in as many lines as fit."""
    name, labels = sheet.rows
    if not name:
        return
    pen.text((MARGIN, top - SIZE - 6), fitted(f"{name} ↓", font(bold=True), GUTTER), FAINT, font(bold=True))
    for n, label in enumerate(labels):
        lines = wrapped(label, font(label), GUTTER, max(1, height // (SIZE + 4)))
        middle = top + n * (height + caption + GAP) + caption + height / 2
        for k, line in enumerate(lines):
            y = middle + (k - (len(lines) - 1) / 2) * (SIZE + 4)
            pen.text((MARGIN, y), line, INK, font(label), anchor="lm")


def fitted(text: str, face: FreeTypeFont, width: float) -> str:
    """A text cut in the middle with … where it is wider than ``width`` pixels."""
    text = text if len(text) <= 1000 else readable(text, 1000)
    if face.getlength(text) <= width:
        return text
    low, high = 1, len(text)
    while high - low > 1:
        half = (low + high) // 2
        low, high = (half, high) if face.getlength(readable(text, half)) <= width else (low, half)
    return readable(text, low)


def wrapped(text: str, face: FreeTypeFont, width: float, lines: int) -> list[str]:
    """A text in lines of at most ``width`` pixels; the last is cut off where there is more."""
    found: list[str] = [""]
    for word in text[:1000].split(" "):
        longer = f"{found[-1]} {word}".strip()
        if not found[-1] or face.getlength(longer) <= width:
            found[-1] = longer
        else:
            found.append(word)
    if len(found) > lines:
        found = [*found[: lines - 1], " ".join(found[lines - 1 :])]
    return [fitted(line, face, width) for line in found]
