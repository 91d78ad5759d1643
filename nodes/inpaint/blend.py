"""The node ``inpaint.blend``."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import Image, Latent, Noise, Noisy
from flowgen.values.per_item import over_items

from .sizes import check_of_latent


def unused(params: dict[str, Any]) -> set[str]:
    """A clean known part has no noise."""
    return {"noise"} if params["clean"] is True else set()


@node("inpaint.blend", unused=unused, added=("clean",))
def blend(x: Noisy, known: Latent, mask: Image, noise: Noise | None = None, clean: bool = False) -> Noisy:
    """x where the mask is 1, elsewhere the known latent with the noise of x's time; Lugmayr et al. 2022,
    arXiv:2201.09865, eq. 8, for a network that wasn't trained for inpainting.

    For the port 'replace' of a sampler, with x its ``next``. noise: the sampler's start noise. mask: [B, 1, H, W] of
    the picture's size, shrunk to the latent's without smoothing, as diffusers does; or of the latent's, from
    concat.known.

    clean: leave the known part free of noise, as DeepFloyd IF's pipelines do from the first x on: blend the sampler's
    ``x`` for the denoisers, too. It needs no 'noise'.
    """
    if known.is_noisy:
        raise WiringError("the known latent is noisy; a picture's comes from encoder.vae", about="known")
    if (known.space, known.data.shape) != (x.space, x.data.shape):
        raise WiringError(
            f"x ({x.space}, {list(x.data.shape[1:])}) and the known latent ({known.space}, "
            f"{list(known.data.shape[1:])}) differ",
            about="known",
        )
    check_of_latent(mask, known)
    kept = known.data.to(x.data) if clean else noised(known, noise, x)
    free = F.interpolate(mask.unit(), x.data.shape[-2:]).to(x.data)
    return x.replace(data=(1 - free) * kept + free * x.data)


def noised(known: Latent, noise: Noise | None, x: Noisy) -> Tensor:
    """The known latent with the noise of x's time, [B, C, H, W]. Raises WiringError without fitting noise."""
    if noise is None:
        raise WiringError(
            "the known part gets noise, and none is wired",
            hint="noise: the sampler's start noise; or clean: true, for a known part that is free of it",
        )
    if noise.space != x.space:
        raise WiringError(
            f"noise is of the space '{noise.space}', x of '{x.space}'", hint="take the sampler's start noise"
        )
    alpha, sigma = over_items(x.time.alpha, x.data), over_items(x.time.sigma, x.data)
    return alpha * known.data.to(x.data) + sigma * noise.data.to(x.data)
