"""The nodes ``concat.depth``, ``concat.fill``, ``concat.known`` and ``concat.zero``; ``inpaint.concat`` and ``enlarge``
make others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from flowgen.node import node
from flowgen.values import Image, Latent, Noise

from ..inpaint.sizes import check_of_latent, check_of_places


@node("concat.depth", stored=False)
def depth(image: Image, noise: Noise) -> Latent:
    """A depth map as Stable Diffusion's depth model reads it, [B, 1, H, W] in -1..1 from its least to its largest.

    image: [B, C, H, W], larger where something is nearer, as MiDaS has it; the mean of its channels is resized
    bicubically to the size of the noise. A flat map is -1.
    """
    data = image.data.mean(dim=1, keepdim=True)
    small = F.interpolate(data, noise.data.shape[-2:], mode="bicubic", align_corners=False)
    low, high = small.amin(dim=(1, 2, 3), keepdim=True), small.amax(dim=(1, 2, 3), keepdim=True)
    span = (high - low).clamp(min=torch.finfo(small.dtype).tiny)
    return Latent(2 * (small - low) / span - 1, noise.space)


@node("concat.fill", stored=False)
def fill(mask: Image, known: Latent) -> Latent:
    """What Flux Fill reads: the latent of the masked picture, and the mask, of which each of the latent's places gets
    all pixels as channels, [B, C + f * f, H, W] where a latent is f times smaller than a picture.

    mask: [B, 1, H, W] of the picture's size, 1 where it is painted anew. known: from inpaint.masked and encoder.vae.
    """
    factor = check_of_places(mask, known)
    binary = (mask.unit() >= 0.5).to(known.data)
    return known.replace(data=torch.cat([known.data, F.pixel_unshuffle(binary, factor)], 1))


class Known(NamedTuple):
    """Results."""

    known: Latent
    mask: Image


@node("concat.known", stored=False)
def known_places(mask: Image, known: Latent) -> Known:
    """What Kandinsky's inpainting network reads: the picture's latent, zero where it is painted anew, and a map that is
    1 where it stays, [B, C + 1, H, W].

    mask: [B, 1, H, W] of the picture's size, 1 where it is painted anew, shrunk to the latent's without smoothing;
    there its hole grows by one place, as in diffusers. known: of the whole picture, from encoder.vae.

    Its output ``mask``, [B, 1, H, W] of the latent's size, has the hole that has grown: for inpaint.blend.
    """
    check_of_latent(mask, known)
    hole = F.interpolate((mask.unit() >= 0.5).to(known.data), known.data.shape[-2:])
    stays = 1 - grown(hole)
    return Known(known.replace(data=torch.cat([stays * known.data, stays], 1)), Image(1 - stays, (0.0, 1.0)))


def grown(hole: Tensor) -> Tensor:
    """A hole [B, 1, H, W] and its neighbours in six directions; diffusers leaves out up right and down left."""
    height, width = hole.shape[-2:]
    padded = F.pad(hole, (1, 1, 1, 1))
    shifts = ((1, 1), (0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2))
    return torch.stack([padded[..., y : y + height, x : x + width] for y, x in shifts]).amax(dim=0)


@node("concat.zero", stored=False)
def zero(latent: Latent) -> Latent:
    """Zeros in place of what is read: guidance away from it; Brooks et al. 2023, arXiv:2211.09800, section 3.2.1."""
    return latent.replace(data=torch.zeros_like(latent.data))
