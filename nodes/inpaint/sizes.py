"""Whether a mask is of the picture that it masks."""

from __future__ import annotations

from flowgen.errors import WiringError
from flowgen.values import Image, Latent
from flowgen.values.diffusion import factor_of

Size = tuple[int, int]
"""height and width"""


def check_of_picture(mask: Image, image: Image) -> None:
    """Raise WiringError for a mask of another size than the picture."""
    if size_of(mask) != size_of(image):
        raise misfit(size_of(mask), size_of(image))


def check_of_latent(mask: Image, latent: Latent) -> None:
    """Raise WiringError for a mask that is neither of the size of the latent's picture nor of that of the latent.

    A picture may be larger than what its latent shows, by less than one place.
    """
    (height, width), places, factor = size_of(mask), size_of(latent), pixels_of_place(mask, latent)
    if places not in ((height, width), (height // factor, width // factor)):
        raise misfit((height, width), (places[0] * factor, places[1] * factor))


def check_of_places(mask: Image, latent: Latent) -> int:
    """How many pixels of the mask each of the latent's places has, along height and width. Raises WiringError where
    they are not as many everywhere."""
    factor = pixels_of_place(mask, latent)
    height, width = size_of(latent)
    if size_of(mask) != (height * factor, width * factor):
        raise misfit(size_of(mask), (height * factor, width * factor))
    return factor


def pixels_of_place(mask: Image, latent: Latent) -> int:
    """By how much a latent is smaller than its picture; where its space doesn't say, than the mask."""
    return factor_of(latent.space) or max(1, size_of(mask)[1] // size_of(latent)[1])


def size_of(value: Image | Latent) -> Size:
    """Of what has a height and a width in the end."""
    height, width = value.data.shape[-2:]
    return height, width


def misfit(mask: Size, picture: Size) -> WiringError:
    """The words for it."""
    return WiringError(
        f"the mask has {mask[1]} x {mask[0]} pixels, the picture {picture[1]} x {picture[0]}",
        hint=f"make it of the same picture, or of its size: width: {picture[1]}, height: {picture[0]} of mask.load "
        "or image.resize",
        about="mask",
    )
