"""The node ``depth.estimate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from flowgen.node import Uses, node
from flowgen.values import Image, Model

from ..encoders.pixels import height_and_width, prepared

PARTS = ("depth_estimator", "feature_extractor?", "image_processor?")


@node("depth.estimate")
def estimate(image: Image, model: Annotated[Model, Uses(*PARTS)]) -> Image:
    """How near each place of a picture is, [B, 3, h, w] in 0..1 from the farthest to the nearest, three channels alike.

    The size is the estimator's own. model: one with a DPT (Ranftl et al. 2021, arXiv:2103.13413) as its
    ``depth_estimator``, or a DPT's folder. Pictures are prepared as the folder's image processor says.
    """
    estimator = model["depth_estimator"]
    name = next((name for name in ("feature_extractor", "image_processor") if name in model.parts), "")
    given = pixels(image, model.config(name) if name else {}, estimator.config.image_size)
    depth = estimator(given.to(estimator.dtype)).predicted_depth.float()
    low, high = depth.amin(dim=(1, 2), keepdim=True), depth.amax(dim=(1, 2), keepdim=True)
    span = (high - low).clamp(min=torch.finfo(depth.dtype).tiny)
    return Image(((depth - low) / span)[:, None].expand(-1, 3, -1, -1).contiguous(), (0.0, 1.0))


def pixels(image: Image, about: Mapping[str, Any], side: int) -> Tensor:
    """Pixels [B, 3, H, W] as ``DPTImageProcessor`` has them. about: a ``preprocessor_config.json``.

    side: the height and width that the estimator reads, where that doesn't say.
    """
    height, width = image.data.shape[-2:]
    high, wide = height_and_width(about.get("size", side))
    tall, broad = high / height, wide / width
    if about.get("keep_aspect_ratio"):  # by the factor that changes less
        tall = broad = broad if abs(1 - broad) < abs(1 - tall) else tall
    multiple = about.get("ensure_multiple_of") or 1
    size = {"height": round(tall * height / multiple) * multiple, "width": round(broad * width / multiple) * multiple}
    standard = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return prepared(image, {**standard, **about, "size": size, "do_center_crop": False}, side)
