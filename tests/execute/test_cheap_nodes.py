"""Cheap nodes whose arguments differ from item to item: they are called apart, and what reads them once for all."""

from __future__ import annotations

import shutil
from itertools import product

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from small import Lab

from flowgen import load

PHOTOS = """\
flowgen: 1
numerics: strict
sweep: {photo: {files: "photos/*.png"}, filter: [nearest, lanczos]}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  picture: {type: image.load, file: $photo, width: 32, height: 32, filter: $filter}
  init: {type: encoder.vae, image: $picture}
outputs: [init]
"""
TEXTS = """\
flowgen: 1
numerics: strict
sweep: {which: [ZOO/digits, other], seed: {range: 2}}
nodes:
  digits: {type: model, from: ZOO/digits}
  told: {type: model, from: $which}
  text: {type: encoder.text, model: $told, text: a red three, store: never}
  noise: {type: noise, model: $digits, seed: $seed}
  sampler: {type: scheduler.ddim, model: $digits, start: $noise, prediction: $cond, steps: 2}
  cond: {type: denoiser, model: $digits, x: $sampler.x, context: $text}
outputs: [sampler]
"""


@pytest.fixture
def lab(tmp_path, zoo_folder):
    made = Lab(tmp_path, zoo_folder)
    (tmp_path / "photos").mkdir()
    for n in range(3):
        rows = np.random.default_rng(n).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(rows).save(tmp_path / "photos" / f"{n}.png")
    shutil.copytree(zoo_folder / "digits", tmp_path / "other")
    (weights,) = (tmp_path / "other" / "text_encoder").glob("*.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    return made


def together_and_alone(lab, text, first, second):
    """A run of all points, and the same numbers by a run for each point with an empty store."""
    (one, some), (other, more) = first, second
    file = lab.folder / "g.yaml"
    file.write_text(text)
    run = load(file, sweep={one: some, other: more}).run(lab.store, lab.runs)
    assert not run.failures
    (output,) = run.results.data_vars
    each = [
        load(file, sweep={one: [a], other: [b]}).run(lab.folder / f"store {a} {b}".replace("/", "-"), lab.runs)
        for a, b in product(some, more)
    ]
    return run, run.results[output].values, [apart.results[output].values for apart in each]


def test_pictures_of_files_are_encoded_together_whatever_is_told_to_load_them(lab):
    files = [f"photos/{n}.png" for n in range(3)]
    run, whole, each = together_and_alone(lab, PHOTOS, ("photo", files), ("filter", ["nearest", "lanczos"]))
    assert [len(cut) for cut in run.plan.parcels if cut.stage == "init"] == [6]
    assert run.tally.calls()["encoder.vae"] == (1, 16)  # strict numerics pad to 16
    assert len({values.tobytes() for values in each}) == 6
    for values, one in zip(whole.reshape(6, -1), each, strict=True):
        assert np.array_equal(values, one.ravel())


def test_a_cheap_node_has_the_model_of_each_item(lab):
    run, whole, each = together_and_alone(lab, TEXTS, ("which", ["ZOO/digits", "other"]), ("seed", [0, 1]))
    assert [len(cut) for cut in run.plan.parcels if cut.stage == "sampler"] == [4]
    assert len({values.tobytes() for values in each}) == 4
    for values, one in zip(whole.reshape(4, -1), each, strict=True):
        assert np.array_equal(values, one.ravel())


def test_pictures_of_several_sizes_stay_apart_behind_what_makes_them_equal(lab):
    Image.new("RGB", (64, 64)).save(lab.folder / "photos" / "3.png")
    text = PHOTOS.replace(", width: 32, height: 32", "").replace("image: $picture", "image: $small")
    text = text.replace("  init:", "  small: {type: image.resize, image: $picture, width: 32, height: 32}\n  init:")
    files = [f"photos/{n}.png" for n in range(4)]
    run, whole, each = together_and_alone(lab, text, ("photo", files), ("filter", ["nearest"]))
    assert sorted(len(cut) for cut in run.plan.parcels if cut.stage == "init") == [1, 3]
    for values, one in zip(whole.reshape(4, -1), each, strict=True):
        assert np.array_equal(values, one.ravel())
