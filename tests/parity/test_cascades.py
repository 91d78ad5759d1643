"""Cascades, and models that have no pipeline from text alone, against diffusers."""

import pytest
import tiny_models
import torch
from comparing import PROMPTS, SEEDS, STEPS, asked, both, gap, pipeline

from flowgen.experiment import load

HEAD = f"""\
flowgen: 1
sweep: {{prompt: {PROMPTS}, seed: {SEEDS}}}
defaults: {{model: $m}}
"""
LOOP = """\
  text: {type: encoder.text, text: $prompt}
  empty: {type: encoder.text, text: ""}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddpm, start: $noise, prediction: $guided, steps: 3}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  uncond: {type: denoiser, x: $sampler.x, context: $empty}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def run(parent, text):
    """Both outputs of a graph."""
    file = parent / "g.yaml"
    file.write_text(HEAD + text + "outputs: [sampler, made]\n")
    return both(load(file).run(parent / "store", parent / "runs", batch=4))


def options(**more):
    return {"num_inference_steps": STEPS, "guidance_scale": 4.0, **more}


@pytest.mark.parametrize(("family", "sampler"), [("ddpm", "scheduler.ddpm"), ("ddim", "scheduler.ddim")])
def test_pixels(tmp_path, folders, family, sampler):
    folder = tiny_models.folder(family, folders)
    file = tmp_path / "g.yaml"
    file.write_text(f"""\
flowgen: 1
sweep: {{seed: {SEEDS}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: {sampler}, start: $noise, prediction: $told, steps: 4}}
  told: {{type: denoiser, x: $sampler.x}}
  made: {{type: decoder.vae, latent: $sampler}}
outputs: [sampler, made]
""")
    latents, made = both(load(file).run(tmp_path / "store", tmp_path / "runs"))
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]
    theirs = pipeline(folder)(2, generators, num_inference_steps=4, output_type="np").images
    assert ((made / 2 + 0.5).clamp(0, 1) - torch.tensor(theirs).movedim(-1, 1)).abs().max() <= 1e-4
    assert torch.equal(latents, made)


def test_deepfloyd(tmp_path, folders):
    small, large = (tiny_models.folder(name, folders) for name in ("if", "if-upscaler"))
    mine, _ = run(
        tmp_path,
        f"nodes:\n  m: {{type: model, from: {small}}}\n{LOOP}  made: {{type: decoder.vae, latent: $sampler}}\n",
    )
    plain = options(clean_caption=False)
    first = pipeline(small, watermarker=None)(**asked("pt", **plain)).images
    assert gap(mine, first) <= 1e-4
    text = f"""\
nodes:
  m: {{type: model, from: {large}}}
  small: {{type: model, from: {small}}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed, model: $small}}
  sampler: {{type: scheduler.ddpm, start: $noise, prediction: $guided, model: $small, steps: 3}}
  text1: {{type: encoder.text, text: $prompt, model: $small}}
  empty1: {{type: encoder.text, text: "", model: $small}}
  cond: {{type: denoiser, x: $sampler.x, context: $text1, model: $small}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty1, model: $small}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  made: {{type: decoder.vae, latent: $large}}
  base: {{type: decoder.vae, latent: $sampler, model: $small}}
  start: {{type: noise, seed: $seed}}
  shown: {{type: enlarge, image: $base, noise: $start, level: 100}}
  large: {{type: scheduler.ddpm, start: $shown.noise, prediction: $both, steps: 3}}
  yes: {{type: denoiser, x: $large.x, context: $told, concat: $shown.picture}}
  "no": {{type: denoiser, x: $large.x, context: $untold, concat: $shown.picture}}
  both: {{type: guidance.cfg, cond: $yes, uncond: $no, scale: 4}}
  told: {{type: condition.class, label: 100, context: $text}}
  untold: {{type: condition.class, label: 100, context: $empty}}
"""
    _, mine = run(tmp_path, text)
    pipe = pipeline(large, watermarker=None)
    second = pipe(image=first, noise_level=100, **asked("pt", **plain)).images
    assert gap(mine, second) <= 1e-4


def test_kandinsky(tmp_path, folders):
    prior, decoder = (tiny_models.folder(name, folders) for name in ("kandinsky-prior", "kandinsky"))
    text = f"""\
nodes:
  m: {{type: model, from: {prior}}}
  d: {{type: model, from: {decoder}}}
{LOOP}
  embedding: {{type: condition.embedding, latent: $sampler}}
  black: {{type: condition.black}}
  start: {{type: noise, seed: $seed, model: $d}}
  decoder: {{type: scheduler.ddim, start: $start, prediction: $both, steps: 3, model: $d}}
  yes: {{type: denoiser, x: $decoder.x, context: $embedding, model: $d}}
  "no": {{type: denoiser, x: $decoder.x, context: $black, model: $d}}
  both: {{type: guidance.cfg, cond: $yes, uncond: $no, scale: 4}}
  made: {{type: decoder.vae, latent: $decoder, model: $d}}
"""
    latents, made = run(tmp_path, text)
    first = pipeline(prior)
    embeddings = first(**asked("pt", **options()))
    assert gap(first.prior.post_process_latents(latents), embeddings.image_embeds) <= 1e-4
    asks = asked("pt", **options(height=32, width=32))
    asks.pop("prompt")
    asks |= {"image_embeds": embeddings.image_embeds, "negative_image_embeds": embeddings.negative_image_embeds}
    pictures = pipeline(decoder)(**asks).images
    assert gap(made, pictures) <= 1e-4  # 'pt' is as the decoder has it
