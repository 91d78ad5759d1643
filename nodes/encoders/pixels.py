"""Pictures as CLIP's image encoders read them, prepared as their folder says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from flowgen.values import Image
from flowgen.values.random import is_abstract

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
"""CLIP's own normalisation (Radford et al. 2021, arXiv:2103.00020), for folders that don't say."""


def prepared(image: Image, about: Mapping[str, Any], side: int) -> Tensor:
    """Pixels [B, 3, H, W], rounded to 8 bits, resized, cut to the middle, normalised, as ``CLIPImageProcessor`` has it.

    about: a ``preprocessor_config.json``. side: of the square that the encoder reads, where that doesn't say.
    """
    large = resized(image.data.shape[-2:], about.get("size", side))
    cut = height_and_width(about.get("crop_size", side))
    large = large if about.get("do_resize", True) else tuple(image.data.shape[-2:])
    cut = cut if about.get("do_center_crop", True) else large
    if is_abstract():
        return image.data.new_empty(len(image.data), 3, *cut)
    rows = (image.unit() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    filter = Pillow.Resampling(about.get("resample", Pillow.Resampling.BICUBIC))
    made = []
    for row in rows:
        picture = Pillow.fromarray(row)
        picture = picture if large == row.shape[:2] else picture.resize(large[::-1], filter)
        left, top = (large[1] - cut[1]) // 2, (large[0] - cut[0]) // 2
        made.append(np.asarray(picture.crop((left, top, left + cut[1], top + cut[0]))))  # black beyond its edges
    pixels = torch.from_numpy(np.stack(made)).to(image.data.device).permute(0, 3, 1, 2).float()
    if about.get("do_rescale", True):
        pixels = pixels * about.get("rescale_factor", 1 / 255)
    if about.get("do_normalize", True):
        mean, std = (torch.tensor(about.get(k, v)) for k, v in (("image_mean", MEAN), ("image_std", STD)))
        pixels = (pixels - mean.to(pixels)[:, None, None]) / std.to(pixels)[:, None, None]
    return pixels


def resized(shape: tuple[int, ...], size: Any) -> tuple[int, int]:
    """Height and width after resizing: of a number, or of ``shortest_edge``, the shorter side is that long."""
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if not isinstance(shortest, int):
        return height_and_width(size)
    height, width = shape
    if height < width:
        return shortest, int(shortest * width / height)
    return int(shortest * height / width), shortest


def height_and_width(size: Any) -> tuple[int, int]:
    """A size that a configuration names."""
    return (size["height"], size["width"]) if isinstance(size, Mapping) else (size, size)
