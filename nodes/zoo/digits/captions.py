"""What a caption of zoo:digits can say, and the random captions it is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.10, 0.12),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (1.00, 0.92, 0.15),
    "green": (0.12, 0.70, 0.20),
    "cyan": (0.10, 0.85, 0.90),
    "blue": (0.15, 0.25, 0.95),
    "purple": (0.60, 0.15, 0.80),
    "white": (1.00, 1.00, 1.00),
    "black": (0.00, 0.00, 0.00),
}
"""RGB in 0..1 by colour name; rendering jitters each by up to 7%."""

NAMES = tuple(COLOURS)
WORDS = (
    *DIGITS,
    *(str(d) for d in range(10)),
    *NAMES,
    *["a", "an", "the", "of", "in", "on", "with", "and", "photo", "number", "digit", "background", "drawing"],
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows: everything a caption may mention."""

    digit: int
    """0..9"""
    ink: int
    """index into NAMES"""
    ground: int
    """index into NAMES, never equal to ink"""


def default_ground(ink: int) -> int:
    """The ground when the caption names none: black, or white under black ink."""
    return NAMES.index("white" if NAMES[ink] == "black" else "black")


def random_scene(digit: int, rng: np.random.Generator) -> tuple[Scene, bool]:
    """A scene for a digit, and whether its ground must be named (40% of scenes have another ground)."""
    ink = int(rng.integers(len(NAMES)))
    ground = default_ground(ink)
    if rng.random() < 0.4:
        ground = int(rng.choice([c for c in range(len(NAMES)) if c != ink]))
    return Scene(digit, ink, ground), ground != default_ground(ink)


def caption(scene: Scene, named_ground: bool, rng: np.random.Generator) -> str:
    """One of several phrasings; 4% leave the digit or the colour out, so that partial prompts work too."""
    colour, word = NAMES[scene.ink], DIGITS[scene.digit]
    if rng.random() < 0.1:
        word = str(scene.digit)
    left_out = rng.random()
    if left_out < 0.02:
        word = "digit"
    elif left_out < 0.04:
        colour = ""
    article = "an" if (colour or word)[0] in "aeiou" else "a"
    thing = f"{colour} {word}".strip()
    phrasing = rng.random()
    if phrasing < 0.7:
        text = f"{article} {thing}"
    elif phrasing < 0.8:
        text = thing
    elif phrasing < 0.9 or not colour:
        text = f"a photo of {article} {thing}"
    else:
        text = f"the number {word} in {colour}"
    if named_ground:
        ground = NAMES[scene.ground]
        text += f" on {'an' if ground[0] in 'aeiou' else 'a'} {ground} background"
    return text
