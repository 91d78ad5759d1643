"""The node ``mask.box``."""

from __future__ import annotations

import torch

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import Image, PerItem


@node("mask.box", version=2, stored=False)
def box(
    image: Image, left: PerItem[float], top: PerItem[float], right: PerItem[float], bottom: PerItem[float]
) -> Image:
    """A mask [B, 1, H, W] of a picture's size, 1 in a rectangle and 0 around it.

    left, top, right, bottom: fractions of width and height, 0 to 1, rounded to the nearest edge of a pixel, half way
    between two to that of the even number. A box too thin for that is as thick as the pixels that its middle lies in.
    """
    height, width = image.data.shape[-2:]
    data = torch.zeros(len(image.data), 1, height, width, device=image.data.device)
    for row, (x, y, to_x, to_y) in enumerate(zip(left.values, top.values, right.values, bottom.values, strict=True)):
        if not (0 <= x < to_x <= 1 and 0 <= y < to_y <= 1):
            raise WiringError(
                f"a box from ({x}, {y}) to ({to_x}, {to_y}) isn't in the picture's 0 to 1",
                about="right bottom left top",
            )
        data[row, :, pixels(y, to_y, height), pixels(x, to_x, width)] = 1
    return Image(data, (0.0, 1.0))


def pixels(begin: float, end: float, count: int) -> slice:
    """Those of ``count`` that lie between two fractions: one at least."""
    first, last = round(begin * count), round(end * count)
    if first < last:
        return slice(first, last)
    middle = min(int((begin + end) / 2 * count), count - 1)
    return slice(middle, middle + 1)
