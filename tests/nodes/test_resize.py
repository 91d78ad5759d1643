"""Resizing against Pillow's own in 32-bit floats, and hires fix against diffusers' pipeline."""

import numpy as np
import pytest
import torch
from flowgen_nodes.images.resize import resize_image, resize_latent
from PIL import Image as Pillow

from flowgen.errors import WiringError
from flowgen.values import Image, Latent

SIZES = [(16, 16), (7, 31), (32, 9), (13, 13), (40, 24), (2, 5), (64, 64)]


@pytest.mark.parametrize("filter", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", SIZES)
def test_equals_pillow(size, filter):
    data = np.random.default_rng(0).normal(size=(2, 3, 13, 24)).astype(np.float32)
    how = getattr(Pillow.Resampling, filter.upper())
    expected = [[Pillow.fromarray(plane).resize(size[::-1], how) for plane in item] for item in data]
    image = resize_image(Image(torch.from_numpy(data)), size[1], size[0], filter=filter)
    reference = torch.tensor(np.array([[np.asarray(plane) for plane in item] for item in expected]))
    assert image.data.shape == reference.shape
    off = (image.data - reference).abs()
    if filter == "nearest":  # a place in the middle between two pixels belongs to either
        for axis, (before, after) in ((-2, (13, size[0])), (-1, (24, size[1]))):
            clear = [k for k in range(after) if (2 * k + 1) * before % (2 * after)]
            off = off.index_select(axis, torch.tensor(clear, dtype=torch.long))
    assert off.max() <= 1e-5


def test_by_a_factor():
    image = Image(torch.rand(1, 3, 10, 20))
    assert resize_image(image, by=1.5).data.shape == (1, 3, 15, 30)
    assert resize_image(image, width=40, by=0.5).data.shape == (1, 3, 5, 40)
    assert torch.equal(resize_image(image).data, image.data)
    video = Latent(torch.rand(2, 4, 3, 8, 6), "space")
    large = resize_latent(video, 2, "nearest")
    assert torch.equal(large.data, video.data.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert large.space == "space"


@pytest.mark.parametrize("filter", ["bilinear", "bicubic", "lanczos"])
def test_what_is_even_stays_so(filter):
    latent = Latent(torch.full((1, 4, 5, 7), 0.7), "space")
    assert torch.allclose(resize_latent(latent, 2.6, filter).data, torch.tensor(0.7), atol=1e-6)


def test_mistakes():
    level = torch.full((1,), 0.5, dtype=torch.float64)
    with pytest.raises(WiringError, match="no noise any more"):
        resize_latent(Latent(torch.rand(1, 4, 8, 8), "space", level, level))
    with pytest.raises(WiringError, match="height and a width"):
        resize_latent(Latent(torch.rand(1, 32), "embedding"))
    with pytest.raises(WiringError, match="holds nothing"):
        resize_image(Image(torch.rand(1, 3, 10, 20)), by=0.01)
