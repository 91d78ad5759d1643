"""An item's result never depends on the batch, the neighbours, the order or the workers."""

import numpy as np
import pytest
import torch
from small import SMALL, Lab, close

MIXED = SMALL.replace("steps: 4", "steps: $steps, eta: $eta").replace(
    "  seed: {range: 3}", "  seed: {range: 2}\n  steps: [3, 5]\n  eta: [0, 1]"
)
IMAGES = MIXED.replace("outputs: [image, clip, fid]", "outputs: [image, sampler, noise]")


@pytest.fixture
def labs(tmp_path, zoo_folder):
    def make(name):
        (tmp_path / name).mkdir()
        return Lab(tmp_path / name, zoo_folder)

    return make


def test_alone_together_reordered_and_among_other_steps(labs):
    together = labs("together").run(IMAGES, options={"batch": 16}).results.load()
    few = labs("few").run(IMAGES, options={"batch": 5}).results.load()
    turned = IMAGES.replace("seed: {range: 2}", "seed: [1, 0]").replace("eta: [0, 1]", "eta: [1, 0]")
    reordered = labs("reordered").run(turned, options={"batch": 7}).results.load().sel(together.coords)
    for other in (few, reordered):
        assert np.array_equal(other.noise, together.noise)
        for name in ("image", "sampler"):
            assert close(torch.tensor(other[name].values), torch.tensor(together[name].values))
    point = {"prompt": "a red three", "guidance": 4, "seed": 1, "steps": 5, "eta": 1}
    alone = labs("alone").run(IMAGES, **point).results.load()
    assert np.array_equal(alone.noise.squeeze(), together.noise.sel({k: point[k] for k in together.noise.coords}))
    for name in ("image", "sampler"):
        assert close(torch.tensor(alone[name].values.squeeze()), torch.tensor(together[name].sel(point).values))


def test_strict_is_equal_to_the_bit(labs):
    strict = MIXED.replace("flowgen: 1", "flowgen: 1\nnumerics: strict").replace(
        "[image, clip", "[image, sampler, clip"
    )
    point = {"prompt": "a red three", "guidance": 4, "seed": 1, "steps": 5, "eta": 1}
    one = labs("one").run(strict, options={"workers": 0}).results.load()
    two = labs("two").run(strict, options={"workers": 2}).results.load()
    assert one.equals(two)
    turned = strict.replace("seed: {range: 2}", "seed: [1, 0]").replace("guidance: [1, 4]", "guidance: [4, 1]")
    assert labs("turned").run(turned).results.load().sel(one.coords).equals(one)
    alone = labs("alone").run(strict, **point).results.load()
    for name in ("image", "sampler"):
        assert np.array_equal(alone[name].values.squeeze(), one[name].sel(point).values)


@pytest.mark.parametrize("size", [8, 32])
def test_a_batch_as_large_as_the_picture_is_wide(labs, size):
    """A per-item scale would silently scale columns if it met the last axis."""
    scales = [round(0.5 + 0.25 * n, 2) for n in range(size)]
    text = SMALL.replace("[1, 4]", str(scales)).replace("seed: {range: 3}", "seed: [0]")
    text = text.replace("outputs: [image, clip, fid]", "outputs: [image]")
    text = text.replace("[a red three, a blue seven on a yellow background]", "[a red three]")
    together = labs(f"together{size}").run(text, options={"batch": size}).results.load()
    apart = labs(f"apart{size}").run(text, options={"batch": 3}).results.load()
    assert together.image.shape[-1] == 32
    assert close(torch.tensor(apart.image.values), torch.tensor(together.image.values))
