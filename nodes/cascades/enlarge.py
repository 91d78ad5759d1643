"""The node ``enlarge``: a small picture as an upscaler reads it."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import torch

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Image, Latent, Model, Noise, PerItem
from flowgen.values.per_item import over_items
from flowgen.values.random import draw

from ..schedulers.schedule import alphas_cumprod


class Enlarged(NamedTuple):
    """Results."""

    picture: Latent
    noise: Noise


@node("enlarge", stored=False)
def enlarge(
    image: Image,
    noise: Noise,
    model: Annotated[Model, Uses("image_noising_scheduler?", "low_res_scheduler?")],
    level: PerItem[int] = 250,
) -> Enlarged:
    """A picture at the size of the noise, with noise of its own; Ho et al. 2021, arXiv:2106.15282, section 4.

    picture: goes into the denoiser's ``concat``; resized bilinearly with aligned corners, as diffusers does it. noise:
    goes into the sampler, and is the one given: the picture's noise comes from where its stream stands, and its stream
    goes on after that.

    level: timestep of the noise schedule for pictures, 0 to T - 1. Tell the denoiser the same: condition.class.
    """
    name = "low_res_scheduler" if "low_res_scheduler" in model.parts else "image_noising_scheduler"
    table = alphas_cumprod(model.part(name).config)
    if any(not 0 <= value < len(table) for value in level.values):
        raise WiringError(f"level must be 0 to {len(table) - 1}")
    low, high = image.range
    data = 2 * (image.data - low) / (high - low) - 1
    large = torch.nn.functional.interpolate(data, noise.data.shape[2:], mode="bilinear", align_corners=True)
    fresh, after = draw(noise.stream, tuple(large.shape[1:]))
    bar = torch.tensor(np.array([table[value] for value in level.values]))
    noisy = over_items(bar.sqrt(), large) * large + over_items((1 - bar).sqrt(), large) * fresh.to(large)
    return Enlarged(Latent(noisy, noise.space), noise.replace(stream=after))
