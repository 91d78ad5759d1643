"""The nodes ``image.load`` and ``mask.load``."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Source, node
from flowgen.values import Image
from flowgen.values.random import is_abstract

from .resample import Filter

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""what pictures come in; Pillow's readers of other formats start programs or have a history of faults"""
LARGEST = 89_478_485
"""pixels; what Pillow warns of as a possible bomb, 256 MiB as RGB"""


@node("image.load", stored=False)
def load(file: Source, width: int = 0, height: int = 0, crop: bool = True, filter: Filter = "lanczos") -> Image:
    """A picture from a file, [1, 3, H, W] in -1..1, turned as its EXIF entry says; transparent parts are white.

    width, height: pixels, 0 is the file's own. A picture of another shape is cut to the middle (crop) or stretched.
    filter: of Pillow, antialiased.
    """
    return Image(read(file, "RGB", width, height, crop, filter) * 2 - 1)


@node("mask.load", stored=False)
def load_mask(file: Source, width: int = 0, height: int = 0, crop: bool = True, filter: Filter = "lanczos") -> Image:
    """A mask from a file, [1, 1, H, W], 0 (stays) or 1 (is painted anew) by whether its grey is below 0.5.

    The other arguments are those of image.load.
    """
    grey = read(file, "L", width, height, crop, filter)
    return Image((grey >= 0.5).float(), (0.0, 1.0))


def read(file: Source, mode: Literal["RGB", "L"], width: int, height: int, crop: bool, filter: str) -> Tensor:
    """The pixels of a file, [1, C, H, W] in 0..1. Raises WiringError for a file that is no picture, and no size."""
    for name, pixels in (("width", width), ("height", height)):
        if pixels < 0:
            raise WiringError(f"{name} is a number of pixels, not {pixels}", hint="0 is the file's own")
    try:
        with Pillow.open(file.path, formats=FORMATS) as opened:
            if opened.width * opened.height > LARGEST:
                raise Pillow.DecompressionBombError(f"{opened.width} x {opened.height} are more than {LARGEST} pixels")
            size = (width or opened.width, height or opened.height)
            if is_abstract() and width and height:
                return torch.empty(1, 3 if mode == "RGB" else 1, height, width)
            picture = ImageOps.exif_transpose(opened)
            if "A" in picture.getbands() or "transparency" in picture.info:
                white = Pillow.new("RGBA", picture.size, "white")
                picture = Pillow.alpha_composite(white, picture.convert("RGBA"))
            picture = picture.convert(mode)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise any kind for a damaged file: SyntaxError, ValueError, TypeError
        said = str(error).strip() or type(error).__name__
        raise WiringError(f"'{file.text}' is no picture that can be read: {said}", about="file") from None
    size = (width or picture.width, height or picture.height)
    if picture.size != size:
        how = getattr(Pillow.Resampling, filter.upper())
        picture = ImageOps.fit(picture, size, how) if crop else picture.resize(size, how)
    values = np.asarray(picture, dtype=np.float32) / 255
    if is_abstract():
        return torch.empty(1, 3 if mode == "RGB" else 1, size[1], size[0])
    return torch.from_numpy(values).reshape(1, size[1], size[0], -1).permute(0, 3, 1, 2).contiguous()
