"""The node ``condition.size``."""

from __future__ import annotations

import torch

from flowgen.node import node
from flowgen.values import Conditioning, PerItem


@node("condition.size", stored=False)
def condition_size(
    context: Conditioning,
    original_width: PerItem[float | None] = None,
    original_height: PerItem[float | None] = None,
    crop_left: PerItem[float | None] = None,
    crop_top: PerItem[float | None] = None,
    target_width: PerItem[float | None] = None,
    target_height: PerItem[float | None] = None,
    aesthetic: PerItem[float | None] = None,
) -> Conditioning:
    """A condition with the sizes that Stable Diffusion XL is told; Podell et al. 2023, arXiv:2307.01952, section 2.2.

    original: size of the picture before it was cropped, in pixels; crop: where the crop begins; target: size of the
    crop. What isn't given is the size of the picture that is sampled, without a crop.

    aesthetic: score from 0 to 10 that the refiner is told, 6 if not given; 2.5 is usual for the negative prompt.
    """
    said = (original_height, original_width, crop_top, crop_left, target_height, target_width, aesthetic)
    columns = [[-1.0 if value is None else value for value in numbers.values] for numbers in said]
    sizes = torch.tensor(list(zip(*columns, strict=True)))
    return context.replace(sizes=sizes.to(next(iter(context.tensors().values())).device))
