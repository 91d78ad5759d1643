"""The recipe's data: captions that fit the tokeniser, pictures in their declared range."""

import numpy as np
import pytest
import torch
from flowgen_nodes.zoo.digits import data, vocabulary
from flowgen_nodes.zoo.digits.captions import NAMES, WORDS, Scene, caption, default_ground, random_scene


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary.tokenizer()


def test_every_word_is_one_token(tokenizer):
    for word in WORDS:
        assert tokenizer.tokenize(word) == [word + "</w>"]


def test_captions_fit(tokenizer):
    rng = np.random.default_rng(0)
    for n in range(500):
        scene, named = random_scene(n % 10, rng)
        assert scene.ink != scene.ground
        text = caption(scene, named, rng)
        assert len(tokenizer(text).input_ids) <= vocabulary.MAX_LENGTH
        assert ("background" in text) == named


def test_render_range_and_colour():
    digits = torch.zeros(2, 28, 28, dtype=torch.uint8)
    digits[:, 10:18, 10:18] = 255
    red, black = NAMES.index("red"), NAMES.index("black")
    scenes = [Scene(0, red, default_ground(red)), Scene(1, black, default_ground(black))]
    images, masks = data.render(digits, scenes, np.random.default_rng(0))
    assert images.shape == (2, 3, 32, 32)
    assert images.min() >= -1
    assert images.max() <= 1
    centre = images[:, :, 15, 15]
    assert centre[0, 0] > 0.5 > centre[0, 1]
    assert (centre[1] < -0.8).all()
    assert masks[:, 0, 15, 15].tolist() == [1, 1]
