"""The node ``inpaint.blend``."""

from __future__ import annotations

import torch.nn.functional as F

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import Image, Latent, Noise, Noisy
from flowgen.values.per_item import over_items


@node("inpaint.blend")
def blend(x: Noisy, known: Latent, noise: Noise, mask: Image) -> Noisy:
    """x where the mask is 1, elsewhere the known latent with the noise of x's time; Lugmayr et al. 2022,
    arXiv:2201.09865, eq. 8, for a network that wasn't trained for inpainting.

    For the port 'replace' of a sampler, with x its ``next``. noise: the sampler's start noise. mask: [B, 1, H, W] of
    the picture's size, shrunk to the latent's without smoothing, as diffusers does.
    """
    if known.is_noisy:
        raise WiringError("the known latent is noisy; a picture's comes from encoder.vae", about="known")
    if (known.space, known.data.shape) != (x.space, x.data.shape):
        raise WiringError(
            f"x ({x.space}, {list(x.data.shape[1:])}) and the known latent ({known.space}, "
            f"{list(known.data.shape[1:])}) differ",
            about="known",
        )
    if noise.space != x.space:
        raise WiringError(
            f"noise is of the space '{noise.space}', x of '{x.space}'", hint="take the sampler's start noise"
        )
    alpha, sigma = over_items(x.time.alpha, x.data), over_items(x.time.sigma, x.data)
    kept = alpha * known.data.to(x.data) + sigma * noise.data.to(x.data)
    free = F.interpolate(mask.unit(), x.data.shape[-2:]).to(x.data)
    return x.replace(data=(1 - free) * kept + free * x.data)
