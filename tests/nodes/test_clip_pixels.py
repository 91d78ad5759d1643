"""Pictures prepared for CLIP against transformers' own processor, and a folder of an image encoder alone."""

import numpy as np
import pytest
import tiny_models
import torch
from driving import opened
from flowgen_nodes.encoders.image import embed_image
from flowgen_nodes.encoders.pixels import prepared
from flowgen_nodes.models.folder import read_model
from PIL import Image as Pillow
from tiny_models.texts import clip_text, clip_tokenizer, clip_vision
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CLIPImageProcessorPil, CLIPVisionModel

from flowgen.errors import UserError, WiringError
from flowgen.values import Image

SETTINGS = [
    {},
    {"size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}},
    {"size": {"shortest_edge": 33}, "crop_size": {"height": 32, "width": 24}, "resample": 2},
    {"size": {"height": 30, "width": 50}, "do_center_crop": False},
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 31}},  # black around it
    {"do_resize": False, "crop_size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.2] * 3},
    {"do_normalize": False, "resample": 1},
    {"do_rescale": False, "do_normalize": False, "crop_size": {"height": 101, "width": 99}},
]


def bytes_of(height, width, count=3):
    return np.random.default_rng(height).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def image_of(rows):
    return Image(torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 127.5 - 1)


@pytest.mark.parametrize("shape", [(64, 64), (50, 91), (91, 50), (37, 20), (224, 224)])
@pytest.mark.parametrize("said", SETTINGS, ids=str)
def test_equals_the_processor(shape, said):
    rows, processor = bytes_of(*shape), CLIPImageProcessorPil(**said)
    expected = processor([Pillow.fromarray(row) for row in rows], return_tensors="pt").pixel_values
    for about in (said, processor.to_dict()):
        mine = prepared(image_of(rows), about, 224)
        assert mine.shape == expected.shape
        assert (mine - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        abstract = prepared(Image(mode.from_tensor(image_of(rows).data)), said, 224)
    assert abstract.shape == expected.shape


def test_old_folders_say_numbers():
    rows = bytes_of(50, 91)
    expected = CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})(
        [Pillow.fromarray(row) for row in rows], return_tensors="pt"
    ).pixel_values
    assert (prepared(image_of(rows), {"size": 40, "crop_size": 32}, 224) - expected).abs().max() <= 1e-5


def test_a_generated_picture_is_clipped_and_rounded():
    levels = torch.tensor([-1.7, -1.0, -0.998, 0.0, 0.9999, 1.4])
    image = Image(levels.reshape(1, 1, 1, 6).expand(1, 3, 6, 6))
    mine = prepared(image, {"do_resize": False, "crop_size": 6, "do_normalize": False, "do_rescale": False}, 6)
    assert mine[0, 0, 0].tolist() == [0, 0, 0, 128, 255, 255]


def test_an_image_encoder_alone(tmp_path):
    torch.manual_seed(0)
    encoder = clip_vision().eval()
    encoder.save_pretrained(tmp_path / "alone")
    rows = bytes_of(64, 48)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pixels = processor([Pillow.fromarray(row) for row in rows], return_tensors="pt").pixel_values
    model = read_model(tmp_path / "alone", "alone")
    with opened():
        assert (embed_image(image_of(rows), model).pooled - encoder(pixels).image_embeds).abs().max() <= 1e-5
    gray = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_std=[1] * 3)
    gray.save_pretrained(tmp_path / "alone")
    pixels = gray([Pillow.fromarray(row) for row in rows], return_tensors="pt").pixel_values
    with opened():
        mine = embed_image(image_of(rows), read_model(tmp_path / "alone", "alone")).pooled
        assert (mine - encoder(pixels).image_embeds).abs().max() <= 1e-5


def test_a_model_that_embeds_no_picture(tmp_path):
    with pytest.raises(WiringError, match="no part 'image_encoder'"), opened():
        embed_image(image_of(bytes_of(32, 32)), read_model(tiny_models.folder("sd1", tmp_path), "sd1"))
    clip_text(clip_tokenizer()).save_pretrained(tmp_path / "text")
    with pytest.raises(UserError, match="can't read the model"):
        read_model(tmp_path / "text", "text")
    plain = CLIPVisionModel(clip_vision().config)
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(WiringError, match="no projection"), opened():
        embed_image(image_of(bytes_of(32, 32)), read_model(tmp_path / "plain", "plain"))
