"""Stable Diffusion's upscalers against diffusers' pipelines."""

import numpy as np
import pytest
import tiny_models
import torch
from comparing import PROMPTS, SEEDS, both, gap, pipeline
from PIL import Image as Pillow
from small import Lab

from flowgen.errors import UserError

PICTURES = f"""\
flowgen: 1
sweep: {{prompt: {PROMPTS}, level: [20, 300], seed: {SEEDS[:1]}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: FOLDER}}
  photo: {{type: image.load, file: photo.png}}
  noise: {{type: noise, seed: $seed, width: 48, height: 32}}
  shown: {{type: enlarge, image: $photo, noise: $noise, level: $level}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  told: {{type: condition.class, label: $level, context: $text}}
  untold: {{type: condition.class, label: $level, context: $empty}}
  sampler: {{type: scheduler.ddim, start: $shown.noise, prediction: $guided, steps: 3}}
  cond: {{type: denoiser, x: $sampler.x, context: $told, concat: $shown.picture}}
  uncond: {{type: denoiser, x: $sampler.x, context: $untold, concat: $shown.picture}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler}}
outputs: [sampler, made]
"""
LATENTS = f"""\
flowgen: 1
sweep: {{prompt: {PROMPTS}, seed: {SEEDS}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: FOLDER}}
  base: {{type: model, from: BASE}}
  photo: {{type: image.load, file: photo.png}}
  small: {{type: encoder.vae, image: $photo, model: $base}}
  large: {{type: latent.resize, latent: $small, by: 2, filter: nearest}}
  noise: {{type: noise, seed: $seed, width: 48, height: 32}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  sampler: {{type: scheduler.euler, start: $noise, prediction: $guided, steps: 4}}
  cond: {{type: denoiser, x: $sampler.x, context: $text, concat: $large}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty, concat: $large}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $sampler}}
outputs: [sampler, made, small]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def lab(tmp_path, zoo_folder):
    rows = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Pillow.fromarray(rows).save(tmp_path / "photo.png")
    return Lab(tmp_path, zoo_folder)


def drawn(seed):
    """Start noise and the generator after it, from which the picture's noise comes."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(1, 4, 16, 24, generator=generator), generator


def test_pictures(lab, folders):
    folder = tiny_models.folder("upscaler", folders)
    latents, made = both(lab.run(PICTURES.replace("FOLDER", str(folder)), options={"batch": 8}))
    pipe, photo = pipeline(folder), Pillow.open(lab.folder / "photo.png")
    rows = [(prompt, level, seed) for prompt in PROMPTS for level in (20, 300) for seed in SEEDS[:1]]
    for row, (prompt, level, seed) in enumerate(rows):
        theirs = []
        for kind in ("latent", "pt"):
            noise, generator = drawn(seed)
            options = {"noise_level": level, "guidance_scale": 4.0, "num_inference_steps": 3, "output_type": kind}
            theirs.append(pipe(prompt, photo, latents=noise, generator=generator, **options).images)
        assert gap(latents[row : row + 1], theirs[0]) <= 1e-4
        assert ((made[row : row + 1] / 2 + 0.5).clamp(0, 1) - theirs[1]).abs().max() <= 1e-4


def test_latents(lab, folders):
    folder, base = (tiny_models.folder(name, folders) for name in ("latent-upscaler", "sd1"))
    run = lab.run(LATENTS.replace("FOLDER", str(folder)).replace("BASE", str(base)))
    latents, made = both(run)
    small = torch.tensor(run.results.small.values)
    small = small[None] if small.dim() == 3 else small
    pipe = pipeline(folder)
    for row, (prompt, seed) in enumerate((prompt, seed) for prompt in PROMPTS for seed in SEEDS):
        theirs = []
        for kind in ("latent", "pt"):
            options = {"guidance_scale": 4.0, "num_inference_steps": 4, "output_type": kind}
            theirs.append(pipe(prompt, small, generator=torch.Generator("cpu").manual_seed(seed), **options).images)
        assert gap(latents[row : row + 1], theirs[0]) <= 1e-4
        assert ((made[row : row + 1] / 2 + 0.5).clamp(0, 1) - theirs[1]).abs().max() <= 1e-4


def test_mistakes(lab, folders):
    text = PICTURES.replace("FOLDER", str(tiny_models.folder("upscaler", folders)))
    for change, said in {
        ("context: $told", "context: $text"): "labels",
        (", concat: $shown.picture", ""): "3 channels beside",
        ("model: $m", "model: $other"): "no part",
    }.items():
        changed = text.replace(*change)
        if "$other" in change[1]:
            other = tiny_models.folder("sd1", folders)
            changed = changed.replace("nodes:\n", f"nodes:\n  other: {{type: model, from: {other}}}\n")
        with pytest.raises(UserError, match=said):
            lab.load(changed).check()
