"""Pictures and masks from files, and masks by numbers, against what was written and what Pillow makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flowgen_nodes.images.load import load, load_mask
from flowgen_nodes.images.mask import box
from flowgen_nodes.inpaint.masked import masked
from PIL import Image as Pillow

from flowgen.errors import WiringError
from flowgen.node import Source
from flowgen.values import Image, PerItem

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def written(folder, picture):
    picture.save(folder / "p.png")
    return Source("p.png", folder / "p.png")


def test_pixels_are_those_of_the_file(tmp_path):
    found = load(written(tmp_path, Pillow.fromarray(PIXELS))).data
    expected = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert found.shape == (1, 3, 6, 8)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_picture_is_cut_to_the_middle_or_stretched(tmp_path):
    file = written(tmp_path, Pillow.fromarray(PIXELS))
    middle = load(file, 6, 6).data
    assert torch.equal(middle, load(file).data[..., 1:7])
    assert load(file, 4, 3, crop=False).data.shape == (1, 3, 3, 4)


def test_transparent_parts_are_white(tmp_path):
    clear = np.concatenate([PIXELS, np.zeros((6, 8, 1), dtype=np.uint8)], 2)
    assert bool((load(written(tmp_path, Pillow.fromarray(clear, "RGBA"))).data == 1).all())


def test_a_mask_is_0_or_1(tmp_path):
    grey = Pillow.fromarray(np.array([[0, 127, 128, 255]], dtype=np.uint8))
    assert load_mask(written(tmp_path, grey)).data.tolist() == [[[[0, 0, 1, 1]]]]


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "p.png").write_text("no picture")
    with pytest.raises(WiringError, match=r"'p\.png' is no picture"):
        load(Source("p.png", tmp_path / "p.png"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_damaged_picture_is_read_or_refused(tmp_path, kind):
    Pillow.fromarray(PIXELS).save(tmp_path / "sound", kind)
    sound, rng, refused = (tmp_path / "sound").read_bytes(), np.random.default_rng(1), []
    for _ in range(200):
        damaged = np.frombuffer(sound, np.uint8).copy()
        damaged[rng.integers(0, min(len(sound), 200), 2)] = rng.integers(0, 256, 2)
        (tmp_path / "p").write_bytes(damaged.tobytes())
        try:
            load(Source("p", tmp_path / "p"))
        except WiringError as error:
            refused.append(error.message)
    assert refused
    assert [words for words in refused if not words.startswith("'p' is no picture that can be read: ")] == []


def test_a_box_in_fractions_and_the_hole_it_makes():
    image = Image(torch.ones(1, 3, 4, 8))
    mask = box(image, *(PerItem([n]) for n in (0.5, 0.25, 1, 0.75)))
    expected = torch.zeros(1, 1, 4, 8)
    expected[..., 1:3, 4:] = 1
    assert torch.equal(mask.data, expected)
    assert torch.equal(masked(image, mask).data, (1 - expected).expand(1, 3, 4, 8))
    with pytest.raises(WiringError, match="isn't in the picture"):
        box(image, *(PerItem([n]) for n in (0.5, 0, 0.5, 1)))
