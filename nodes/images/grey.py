"""What the numbers of a picture file mean: which of them is white, and which is transparent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from flowgen.errors import WiringError

UNBOUNDED = {"I": "signed or 32-bit whole numbers", "F": "floating-point numbers"}
"""Pillow's modes of pictures that may hold any numbers"""
SPREAD = {"L;2": 85, "L;4": 17}
"""by what Pillow multiplies the greys of a PNG of few bits, by its name for them; not the one that is transparent"""


def check_range(opened: ImageFile, name: str) -> None:
    """Raise WiringError for a picture of which nothing says what is black and what is white."""
    if opened.mode in UNBOUNDED:
        raise WiringError(
            f"'{name}' holds {UNBOUNDED[opened.mode]}, and nothing says which of them are black and white",
            hint="save it as a PNG of 8 or 16 bits, where black is 0 and white 255 or 65535; numbers of 0 to 1 so: "
            "Image.fromarray((x * 65535).round().astype('uint16'))",
            about="file",
        )


def flat(opened: ImageFile, path: Path) -> Pillow.Image:
    """A picture turned as its EXIF entry says, white where it is transparent: of 8 bits, or F in 0..1 for deeper grey.

    Pillow would cut those at 255, and compare a PNG's transparent colour with numbers that it has changed.
    """
    name = opened.tile[0].args if opened.format == "PNG" and opened.tile else ""
    picture = ImageOps.exif_transpose(opened)
    clear = picture.info.get("transparency")
    if picture.mode.startswith("I;16"):
        return deep(np.asarray(picture), *ends(opened), clear)
    if name == "RGB;16B" and clear is not None:
        samples = np.asarray(picture, dtype=np.uint16) * 256 + np.asarray(lower_halves(path))
        picture.putalpha(Pillow.fromarray(np.where((samples == clear).all(-1), 0, 255).astype(np.uint8)))
        del picture.info["transparency"]
    elif name in SPREAD and clear is not None:
        picture.info["transparency"] = clear * SPREAD[str(name)]
    if "A" in picture.getbands() or "transparency" in picture.info:
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, picture.convert("RGBA"))
    return picture


def ends(opened: ImageFile) -> tuple[int, int]:
    """Which numbers of a picture of deep grey are black and white."""
    if not isinstance(opened, TiffImageFile):
        return 0, 65535
    most = 2 ** opened.tag_v2.get(BITSPERSAMPLE, (16,))[0] - 1
    return (most, 0) if opened.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0 else (0, most)


def deep(samples: NDArray[np.uint16], black: int, white: int, clear: int | None) -> Pillow.Image:
    """Deep grey [H, W] as a picture of floating point in 0..1, white where a sample is ``clear``."""
    grey = (samples.astype(np.float32) - black) / np.float32(white - black)
    return Pillow.fromarray(grey if clear is None else np.where(samples == clear, np.float32(1), grey))


def lower_halves(path: Path) -> Pillow.Image:
    """The lower bytes of a PNG's colours of 16 bits, as a picture; Pillow reads the upper ones."""
    with Pillow.open(path, formats=("PNG",)) as opened:
        opened.tile = [tile._replace(args="RGB;16L") for tile in opened.tile]
        return ImageOps.exif_transpose(opened)
