"""Masks of another size than the picture: refused by every node that lays one over it."""

import pytest
import torch
from flowgen_nodes.concat.beside import fill, known_places
from flowgen_nodes.inpaint.blend import blend
from flowgen_nodes.inpaint.masked import concat, masked

from flowgen.errors import WiringError
from flowgen.values import Image, Latent, Noisy, Time
from flowgen.values.diffusion import space_of

EIGHTH = space_of(4, 0.18215, 0.0, 8)


def blended(mask, known):
    one = torch.ones(1, dtype=torch.float64)
    x = Noisy(known.data, Time(one, one, one, one, one), known.space)
    return blend(x, known, mask, clean=True)


def hole(mask, known):
    factor = 1 if known.space == "" else 8
    height, width = known.data.shape[-2:]
    return masked(Image(torch.zeros(1, 3, height * factor, width * factor)), mask)


def latent(width, height, space=EIGHTH):
    return Latent(torch.zeros(1, 4, height, width), space)


def mask_of(width, height):
    return Image(torch.ones(1, 1, height, width), (0.0, 1.0))


@pytest.mark.parametrize("node", [blended, hole, concat, known_places, fill])
def test_a_mask_is_of_the_size_of_the_picture(node):
    node(mask_of(96, 64), latent(12, 8))
    for width, height in ((64, 96), (64, 64), (48, 32), (192, 128), (104, 64)):
        with pytest.raises(WiringError, match=f"the mask has {width} x {height} pixels, the picture 96 x 64") as error:
            node(mask_of(width, height), latent(12, 8))
        assert "width: 96, height: 64" in error.value.hint
        assert error.value.about == "mask"
    with pytest.raises(WiringError, match="the mask has 24 x 16 pixels, the picture 12 x 8"):
        node(mask_of(24, 16), latent(12, 8, ""))  # of a model of pixels


@pytest.mark.parametrize("node", [blended, concat, known_places])
def test_a_mask_may_be_of_the_latent_s_size_or_show_a_little_more(node):
    node(mask_of(12, 8), latent(12, 8))
    node(mask_of(100, 71), latent(12, 8))  # which encoders cut
    node(mask_of(60, 40), latent(12, 8, "a space that says no size"))
    with pytest.raises(WiringError, match="the mask has 60 x 48 pixels, the picture 60 x 40"):
        node(mask_of(60, 48), latent(12, 8, "a space that says no size"))
