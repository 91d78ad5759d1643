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

from .grey import check_range, flat
from .resample import Filter

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""what pictures come in; Pillow's readers of other formats start programs or have a history of faults"""
LARGEST = 89_478_485
"""pixels; what Pillow warns of as a possible bomb, 256 MiB as RGB"""


@node("image.load", version=2, stored=False)
def load(file: Source, width: int = 0, height: int = 0, crop: bool = True, filter: Filter = "lanczos") -> Image:
    """A picture from a file, [1, 3, H, W] in -1..1, turned as its EXIF entry says; transparent parts are white.

    width, height: pixels, 0 is the file's own. A picture of another shape is cut to the middle (crop) or stretched.
    filter: of Pillow, antialiased. Grey of 16 bits is kept exactly, colours of 16 bits to 8; files of signed, 32-bit or
    floating-point numbers are refused, as nothing says which of them are black and white.
    """
    return Image(read(file, "RGB", width, height, crop, filter) * 2 - 1)


@node("mask.load", version=2, stored=False)
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
    channels = 3 if mode == "RGB" else 1
    try:
        with Pillow.open(file.path, formats=FORMATS) as opened:
            if opened.width * opened.height > LARGEST:
                raise Pillow.DecompressionBombError(f"{opened.width} x {opened.height} are more than {LARGEST} pixels")
            check_range(opened, file.text)
            if is_abstract() and width and height:
                return torch.empty(1, channels, height, width)
            picture = flat(opened, file.path)
            picture = picture if picture.mode == "F" else picture.convert(mode)
    except (MemoryError, WiringError):
        raise
    except Exception as error:  # Pillow's readers raise any kind for a damaged file: SyntaxError, ValueError, TypeError
        said = str(error).strip() or type(error).__name__
        raise WiringError(f"'{file.text}' is no picture that can be read: {said}", about="file") from None
    size = (width or picture.width, height or picture.height)
    if picture.size != size:
        how = getattr(Pillow.Resampling, filter.upper())
        picture = ImageOps.fit(picture, size, how) if crop else picture.resize(size, how)
    if is_abstract():
        return torch.empty(1, channels, size[1], size[0])
    numbers = np.asarray(picture, dtype=np.float32)
    values = torch.from_numpy(numbers.clip(0, 1) if picture.mode == "F" else numbers / 255)
    return values.reshape(1, size[1], size[0], -1).permute(0, 3, 1, 2).expand(-1, channels, -1, -1).contiguous()
