"""The nodes ``image.resize`` and ``latent.resize``."""

from __future__ import annotations

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import Image, Latent

from .resample import Filter, resample

LARGEST = 1 << 17
"""of a side; what JPEG and WEBP can hold is half of it at most, and the weights of a resampling grow with it"""


@node("image.resize", stored=False)
def resize_image(image: Image, width: int = 0, height: int = 0, by: float = 1.0, filter: Filter = "lanczos") -> Image:
    """A picture of another size, in floating point, not clipped; stretched where its shape changes.

    width, height: in pixels; where one is 0 it is the picture's own times ``by``. filter: of Pillow, antialiased.
    """
    here = image.data.shape[-2:]
    size = (height or round(here[0] * by), width or round(here[1] * by))
    return image.replace(data=resized(image.data, size, filter))


@node("latent.resize", stored=False)
def resize_latent(latent: Latent, by: float = 2.0, filter: Filter = "bicubic") -> Latent:
    """A clean latent of a picture or a video, with ``by`` times the height and width, in its own space.

    The result is coarse; image to image (``init``, ``strength``) mends it. The way through the picture (decoder.vae,
    image.resize, encoder.vae) is sharper, for two calls of the autoencoder more.
    """
    if latent.is_noisy:
        raise WiringError("resized noise is no noise any more", hint="resize a clean latent", about="latent")
    if latent.data.dim() < 4:
        raise WiringError("only latents of pictures and videos have a height and a width", about="latent")
    size = (round(latent.data.shape[-2] * by), round(latent.data.shape[-1] * by))
    return latent.replace(data=resized(latent.data, size, filter))


def resized(data: Tensor, size: tuple[int, int], filter: Filter) -> Tensor:
    """The same at another size. Raises WiringError for one without pixels."""
    if min(size) < 1:
        raise WiringError(
            f"a size of {size[1]} x {size[0]} holds nothing",
            hint="'by' is a factor: 2 is twice the size",
            about="by width height",
        )
    if max(size) > LARGEST:
        raise WiringError(f"a size of {size[1]} x {size[0]} is beyond {LARGEST}, the most that one side may have")
    return resample(data, size, filter)
