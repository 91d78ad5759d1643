"""Graphs of other forms than the usual: swept models and shapes, loops in a row, several outputs, pools of pools."""

from __future__ import annotations

import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small import SMALL, Lab, close, computed

from flowgen.node import node
from flowgen.values import PerItem, Score


class Parts(NamedTuple):
    half: Score
    rest: Score


@node("forms.number")
def number(value: PerItem[float]) -> Score:
    """A number."""
    return Score(value.tensor.double(), torch.ones(len(value.values), dtype=torch.long))


@node("forms.parts", stored=True)
def parts(x: Score) -> Parts:
    """Half of it, and the rest of it less one."""
    return Parts(x / 2, x / 2 - 1)


@node("forms.sum")
def total(terms: list[Score], power: int = 1) -> Score:
    """The sum of some scores, to a power."""
    data = torch.stack([term.data for term in terms]).sum(0) ** power
    return terms[0].replace(data=data)


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def unscored(text):
    """Without the features, which take pictures of one size."""
    return "".join(
        line for line in text.splitlines(keepends=True) if not line.startswith(("  features", "  real", "  fid"))
    )


NUMBERS = """\
flowgen: 1
sweep: {a: [1, 2, 3], b: [10, 20], power: [1, 2]}
nodes:
  one: {type: forms.number, value: $a}
  two: {type: forms.number, value: $b}
  cut: {type: forms.parts, x: $one}
  sum: {type: forms.sum, terms: [$cut.half, $cut.rest, $two], power: $power}
  rows: {type: mean, of: $sum, over: [a]}
  all: {type: mean, of: $rows, over: [b]}
  again: {type: forms.sum, terms: [$all, $two]}
outputs: [sum, rows, all, again, cut.rest]
"""


def test_several_outputs_lists_pools_of_pools_and_what_follows_them(lab):
    found = lab.run(NUMBERS).results.load()
    a, b, power = np.array([1, 2, 3.0])[:, None, None], np.array([10, 20.0])[None, :, None], np.array([1, 2])
    expected = (a - 1 + b) ** power
    assert np.array_equal(found["sum"].transpose("a", "b", "power"), expected)
    assert np.allclose(found["rows"].transpose("b", "power"), expected.mean(0))
    assert np.allclose(found["all"], expected.mean((0, 1)))
    assert np.allclose(found["again"].transpose("b", "power"), expected.mean((0, 1)) + b[0])
    assert np.array_equal(found["cut.rest"], a[:, 0, 0] / 2 - 1)


def test_a_sweep_over_models_shares_what_they_share(lab, tmp_path, zoo_folder):
    shutil.copytree(zoo_folder / "digits", tmp_path / "tuned")
    weights = tmp_path / "tuned" / "unet" / "diffusion_pytorch_model.safetensors"
    changed = {
        name: tensor * 1.1 if name == "conv_out.weight" else tensor for name, tensor in load_file(weights).items()
    }
    save_file(changed, weights, metadata={"format": "pt"})
    text = SMALL.replace("sweep:", "sweep:\n  folder: [ZOO/digits, tuned]")
    text = text.replace("from: ZOO/digits}", "from: $folder}").replace("[image, clip, fid]", "[image]")
    run = lab.run(text)
    assert computed(run) == {"text": 2, "empty": 1, "sampler": 24, "image": 24}
    (tmp_path / "apart").mkdir()
    alone = Lab(tmp_path / "apart", zoo_folder).run(SMALL.replace("[image, clip, fid]", "[image]")).results.image
    assert close(torch.tensor(run.results.image.sel(folder="ZOO/digits").values), torch.tensor(alone.values))
    gap = run.results.image.sel(folder="tuned").values - alone.values
    assert np.abs(gap).max() > 1e-3


def test_sizes_and_static_parameters_along_axes(lab):
    text = SMALL.replace("sweep:", "sweep:\n  size: [32, 64]\n  spacing: [leading, trailing]")
    text = text.replace("per: [prompt]", "width: $size, height: $size").replace(
        "steps: 4", "steps: 4, spacing: $spacing"
    )
    text = text.replace("[image, clip, fid]", "[clip]")
    run = lab.run(unscored(text))
    assert run.results["clip"].sizes == {"size": 2, "spacing": 2, "prompt": 2, "guidance": 2, "seed": 3}
    assert np.isfinite(run.results["clip"].values).all()
    assert len(np.unique(run.results["clip"].sel(prompt="a red three", guidance=4, seed=0).values)) == 4


def test_images_of_several_sizes_are_no_array(lab):
    from flowgen.errors import UserError

    text = SMALL.replace("sweep:", "sweep:\n  size: [32, 64]").replace("per: [prompt]", "width: $size, height: $size")
    with pytest.raises(UserError, match="image"):
        lab.run(unscored(text).replace("[image, clip, fid]", "[image]"))
