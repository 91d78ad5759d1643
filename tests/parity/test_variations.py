"""Pictures made of a picture's embedding, against diffusers' pipelines."""

import numpy as np
import pytest
import tiny_models
import torch
from comparing import SEEDS, STEPS, both, gap, pipeline
from PIL import Image as Pillow

from flowgen.experiment import load

SHARE = 0.3
"""of the picture, the rest is the text's"""
GRAPH = """\
flowgen: 1
sweep: {{file: [one.png, two.png], seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  photo: {{type: image.load, file: $file}}
{nodes}outputs: [sampler, made]
"""
VARIATIONS = """\
  seen: {type: encoder.image, image: $photo}
  unseen: {type: condition.zero, context: $seen}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $guided, steps: 3}
  cond: {type: denoiser, x: $sampler.x, context: $seen}
  uncond: {type: denoiser, x: $sampler.x, context: $unseen}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}
  made: {type: decoder.vae, latent: $sampler}
"""
KANDINSKY = """\
  d: {{type: model, from: {decoder}}}
  text: {{type: encoder.text, text: a red cat}}
  empty: {{type: encoder.text, text: ""}}
  first: {{type: noise, seed: 7}}
  prior: {{type: scheduler.ddpm, start: $first, prediction: $told, steps: 3}}
  with: {{type: denoiser, x: $prior.x, context: $text}}
  without: {{type: denoiser, x: $prior.x, context: $empty}}
  told: {{type: guidance.cfg, cond: $with, uncond: $without, scale: 4}}
  said: {{type: condition.embedding, latent: $prior}}
  seen: {{type: encoder.image, image: $photo}}
  mixed: {{type: condition.interpolate, a: $said, b: $seen, at: {at}}}
  black: {{type: condition.black}}
  start: {{type: noise, seed: $seed, model: $d}}
  sampler: {{type: scheduler.ddim, start: $start, prediction: $both, steps: 3, model: $d}}
  cond: {{type: denoiser, x: $sampler.x, context: $mixed, model: $d}}
  uncond: {{type: denoiser, x: $sampler.x, context: $black, model: $d}}
  both: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler, model: $d}}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    pictures = [Pillow.fromarray(random.integers(0, 256, (40, 56, 3), dtype=np.uint8)) for _ in range(2)]
    for picture, name in zip(pictures, ("one", "two"), strict=True):
        picture.save(tmp_path / f"{name}.png")
    return pictures


def mine(tmp_path, folder, nodes):
    file = tmp_path / "g.yaml"
    file.write_text(GRAPH.format(seeds=SEEDS, folder=folder, nodes=nodes))
    return both(load(file).run(tmp_path / "store", tmp_path / "runs", batch=4))


def generators():
    return [torch.Generator("cpu").manual_seed(seed) for _ in range(2) for seed in SEEDS]


def test_image_variations(tmp_path, folders, photos):
    folder = tiny_models.folder("sd1-variations", folders)
    latents, made = mine(tmp_path, folder, VARIATIONS)
    pipe = pipeline(folder)
    options = {"image": [photo for photo in photos for _ in SEEDS], "guidance_scale": 4.0, "num_inference_steps": STEPS}
    theirs = pipe(**options, generator=generators(), output_type="latent").images
    assert gap(latents, theirs) <= 1e-4
    pictures = pipe(**options, generator=generators(), output_type="pt").images
    assert ((made / 2 + 0.5).clamp(0, 1) - pictures).abs().max() <= 1e-4


def test_kandinsky_mixes_a_picture_and_a_text(tmp_path, folders, photos):
    prior, decoder = (tiny_models.folder(name, folders) for name in ("kandinsky-prior", "kandinsky"))
    _, made = mine(tmp_path, prior, KANDINSKY.format(decoder=decoder, at=SHARE))
    first, second = pipeline(prior), pipeline(decoder)
    rows = []
    for photo in photos:
        generator = torch.Generator("cpu").manual_seed(7)
        options = {"generator": generator, "num_inference_steps": STEPS, "guidance_scale": 4.0}
        told = first.interpolate(["a red cat", photo], [1 - SHARE, SHARE], **options)
        rows += [told.image_embeds, told.image_embeds]
        black = told.negative_image_embeds
    options = {"height": 32, "width": 32, "num_inference_steps": STEPS, "guidance_scale": 4.0, "output_type": "pt"}
    options |= {"image_embeds": torch.cat(rows), "negative_image_embeds": black.expand(4, -1)}
    # an untrained decoder enlarges rounding: the pipeline's own pictures, one by one, differ by 2e-4 from its batch
    assert gap(made, second(**options, generator=generators()).images) <= 4e-4
