"""The nodes ``inpaint.masked`` and ``inpaint.concat``: what an inpainting network reads."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from flowgen.node import node
from flowgen.values import Image, Latent

from .sizes import check_of_latent, check_of_picture


@node("inpaint.masked", stored=False)
def masked(image: Image, mask: Image) -> Image:
    """A picture [B, 3, H, W] that is grey where the mask [B, 1, H, W] is 0.5 and above: where it is painted anew."""
    check_of_picture(mask, image)
    low, high = image.range
    hole = mask.unit() >= 0.5
    return image.replace(data=torch.where(hole, (low + high) / 2, image.data))


@node("inpaint.concat", stored=False)
def concat(mask: Image, known: Latent) -> Latent:
    """What an inpainting UNet reads beside x: the mask, shrunk without smoothing, and the latent of the masked picture.

    For the port 'concat' of a denoiser, [B, 1 + C, H, W]; Rombach et al. 2022, section 4.5. mask: [B, 1, H, W] of the
    picture's size.
    """
    check_of_latent(mask, known)
    small = F.interpolate(mask.unit(), known.data.shape[-2:]).to(known.data)
    return known.replace(data=torch.cat([small, known.data], 1))
